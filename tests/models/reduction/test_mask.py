"""Mask files and exact budgets."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effml.errors import UserError
from effml.models.gated import FixedGate
from effml.models.reduction.budget import excess, fit_to_budget, parse_budget
from effml.models.reduction.fit import Plan
from effml.models.reduction.mask import ReluMask
from effml.models.reduction.network import GatedNetwork
from effml.models.reduction.strategies import GateSettings, settle
from effml.models.reduction.strategies.learned import prepare_autorep
from effml.models.resnet import ResNet


def gated(width=4, size=8, **options):
    return GatedNetwork(ResNet(10, width, 1), (1, size, size), **options)


def draws(network):
    return {name: torch.randn(site.gate.decide().shape) for name, site in network.sites.items()}


def test_file_keeps_every_bit(tmp_path):
    network = gated()
    fit_to_budget(network, 321, draws(network))
    mask = ReluMask.of(network, strategy="random", budget=321)
    mask.save(tmp_path / "mask.npz")
    read = ReluMask.load(tmp_path / "mask.npz")
    other = gated()
    read.apply(other)
    assert read.kept == other.kept == 321 and read.made_by == {"strategy": "random", "budget": 321}
    assert all(
        torch.equal(a.gate.state, b.gate.state)
        for a, b in zip(network.sites.values(), other.sites.values(), strict=True)
    )
    with np.load(tmp_path / "mask.npz") as archive:
        bits = sum(int(np.unpackbits(archive[key]).sum()) for key in archive if key.startswith("bits/"))
        assert bits == json.loads(str(archive["header"]))["kept"] == 321


def test_mask_of_another_architecture_is_refused():
    mask = ReluMask.of(gated())
    with pytest.raises(
        UserError, match=r"made for architecture \w{16} with 1,920 sites, but the network is \w{16} with 2,400"
    ):
        mask.apply(gated(5))


def test_damaged_and_foreign_files_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("not a mask")
    with pytest.raises(UserError, match="is not a mask file"):
        ReluMask.load(tmp_path / "text.npz")
    ReluMask.of(gated()).save(tmp_path / "mask.npz")
    with np.load(tmp_path / "mask.npz") as archive:
        arrays = dict(archive)
    first = next(key for key in arrays if key.startswith("bits/"))
    arrays[first] = np.zeros_like(arrays[first])
    np.savez(tmp_path / "mask.npz", **arrays)
    with pytest.raises(UserError, match="is damaged: its bits keep 1,664 of 1,920"):
        ReluMask.load(tmp_path / "mask.npz")


@pytest.mark.parametrize(
    ("text", "budget"), [("12900", 12_900), ("12.9K", 12_900), ("2.6%", 12_779), ("100%", 491_520), (" 9 k", 9000)]
)
def test_budgets_are_read_exactly(text, budget):
    assert parse_budget(text, 491_520) == budget


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "keeps none of the network's 1,920 ReLUs"),
        ("0.01%", "keeps none"),
        ("2000", r"\(2,000 ReLUs\) is above the network's total of 1,920"),
        ("101%", "above the network's total"),
        ("few", "is not a budget; write"),
        ("-5", "is not a budget"),
    ],
)
def test_impossible_budgets_are_refused(text, words):
    with pytest.raises(UserError, match=words):
        parse_budget(text, 1920)


@given(share=st.floats(0.001, 1), opened=st.floats(0, 1))
def test_budget_is_met_exactly_by_the_best_scores(share, opened):
    network = gated(2)
    budget = max(1, int(share * network.total))
    network.set_gates(lambda _, site: FixedGate(torch.rand(site.site) < opened))
    before, scores = network.kept, draws(network)
    old = torch.cat([site.gate.state.flatten() for site in network.sites.values()])
    closed, added = fit_to_budget(network, budget, scores)
    new = torch.cat([site.gate.state.flatten() for site in network.sites.values()])
    flat = torch.cat([score.flatten() for score in scores.values()])
    assert network.kept == budget == before - closed + added
    assert not (closed and added), "open sites come before closed ones"
    kept, lost = flat[old & new], flat[old & ~new]
    assert not len(kept) or not len(lost) or kept.min() >= lost.max()


def test_channel_gates_never_exceed_the_budget():
    network = gated(gates="channel")
    fit_to_budget(network, 777, draws(network))
    assert 777 - 64 < network.kept <= 777


def test_settling_stays_within_a_larger_mask():
    network = gated()
    settle(network, 500, draws(network))
    large = {name: site.gate.state.clone() for name, site in network.sites.items()}
    settle(network, 100, draws(network))
    assert network.kept == 100
    assert all(bool((~site.gate.state | large[name]).all()) for name, site in network.sites.items())


def test_penalty_and_its_gradient_vanish_within_the_budget():
    network = gated()
    prepare_autorep(network, 1900, GateSettings(), Plan(1, []), torch.Generator().manual_seed(0))
    weights = network.gate_parameters()
    over = excess(network, 1900)
    grads = torch.autograd.grad(over, weights)
    assert over.item() == pytest.approx(20 / 1920)
    for weight, grad in zip(weights, grads, strict=True):
        torch.testing.assert_close(grad, torch.nn.functional.softplus(weight) / 1920)
    for budget in (1920, 1921):
        within = excess(network, budget)
        assert within.item() == 0
        assert all(float(grad.abs().max()) == 0 for grad in torch.autograd.grad(within, weights))
