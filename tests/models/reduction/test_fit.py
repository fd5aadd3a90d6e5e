"""Batches and fitting: repeatable, resumable, budgets met by every strategy on a small problem."""

import copy

import pytest
import torch

from effml.models.reduction.batches import Batches
from effml.models.reduction.fit import Objective, Plan, accuracy, fit
from effml.models.reduction.network import GatedNetwork
from effml.models.reduction.point import REPLACEMENTS, Recipe, degree_of, reach, start
from effml.models.reduction.strategies import STRATEGIES, GateSettings, prepare
from effml.models.resnet import ResNet


@pytest.fixture(scope="module")
def stripes():
    """Two classes that no linear function parts: whether two halves of an image agree in sign."""
    generator = torch.Generator().manual_seed(5)
    signs = torch.randint(0, 2, (400, 2), generator=generator) * 2.0 - 1
    images = signs[:, :, None].repeat(1, 1, 18).reshape(400, 1, 6, 6)
    return images + 0.1 * torch.randn(images.shape, generator=generator), (signs[:, 0] == signs[:, 1]).long()


def small(**options):
    torch.manual_seed(1)
    return GatedNetwork(ResNet(2, 4, 1, blocks=(1, 1)), (1, 6, 6), **options)


def weights_plan(network, steps, **options):
    return Plan(steps, [{"params": network.weight_parameters(), "lr": 0.01}], **options)


def test_batches_depend_on_step_alone(stripes):
    batches = Batches(*stripes, 32, seed=7, crop=1, flip=True)
    images, labels = batches(13)
    again, same = Batches(*stripes, 32, seed=7, crop=1, flip=True)(13)
    assert torch.equal(images, again) and torch.equal(labels, same)
    assert not torch.equal(images, batches(14)[0])


def test_an_epoch_holds_every_example_once():
    numbers = torch.arange(96.0).reshape(96, 1, 1, 1)
    batches = Batches(numbers, numbers.flatten().long(), 32, seed=3)
    seen = torch.cat([batches(step)[1] for step in range(3)])
    assert sorted(seen.tolist()) == list(range(96)) and batches.per_epoch == 3


def test_crop_shifts_and_flip_mirrors():
    image = torch.arange(1.0, 17).reshape(1, 1, 4, 4).repeat(64, 1, 1, 1)
    padded = torch.nn.functional.pad(image[0, 0], [1] * 4)
    crops = [padded[top : top + 4, left : left + 4] for top in range(3) for left in range(3)]
    known = {tuple(x.flatten().tolist()) for crop in crops for x in (crop, crop.flip(1))}
    drawn = {tuple(x.flatten().tolist()) for x in Batches(image, torch.zeros(64).long(), 64, 0, 1, True)(0)[0]}
    assert drawn <= known and len(drawn) > 9


def test_interrupted_fit_ends_where_the_whole_one_does(stripes):
    batches, objective, held = Batches(*stripes, 32, seed=2, flip=True), Objective(), (stripes[0][:50], stripes[1][:50])
    whole, stopped = small(), small()
    fit(whole, batches, objective, weights_plan(whole, 12, check_every=4), held)
    kept = []
    plan = weights_plan(stopped, 12, check_every=4, after=lambda step: step == 5)
    fit(stopped, batches, objective, plan, held, keep=lambda state: kept.append(copy.deepcopy(state)))
    resumed = small()
    done = fit(resumed, batches, objective, weights_plan(resumed, 12, check_every=4), held, kept[-1])
    assert kept[-1]["fitted"]["steps"] == 4 and done.steps == 12
    for ours, right in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, right, rtol=0, atol=0)


@pytest.mark.parametrize("strategy", ["autorep", "snl"])
def test_interrupted_selection_goes_on_where_it_stopped(strategy, stripes):
    batches, settings = Batches(*stripes, 32, seed=2), GateSettings(spread=0.02, rate=5e-3, snl_look=1, snl_growth=1.5)

    def begin():
        network = small()
        network.meter(batches.plain(2))
        network.calibrate("exact")
        plan = weights_plan(network, 12, check_every=3)
        return network, prepare(strategy, network, 5, settings, plan, torch.Generator().manual_seed(0))

    kept = []
    whole, plan = begin()
    fit(whole, batches, Objective(), plan, stripes, keep=lambda state: kept.append(copy.deepcopy(state)))
    resumed, plan = begin()
    fit(resumed, batches, Objective(), plan, stripes, kept[1])
    for ours, right in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, right, rtol=0, atol=0)


def test_divergence_is_named(stripes):
    network = small()
    plan = Plan(3, [{"params": network.weight_parameters(), "lr": 1e30}], "sgd", check_every=1)
    with pytest.raises(FloatingPointError, match="outgrown its inputs"):
        fit(network, Batches(*stripes, 32, 0), Objective(), plan, stripes)


@pytest.fixture(scope="module")
def teacher(stripes):
    network = small()
    fit(network, Batches(*stripes, 64, 0), Objective(), weights_plan(network, 60))
    assert accuracy(network, *stripes) > 0.97
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("replacement", ["dapa", "linear"])
def test_every_strategy_meets_the_budget_along_a_curve(strategy, replacement, stripes, teacher):
    network = small(degree=degree_of(replacement))
    wanted = network.state_dict().keys()
    network.load_state_dict(
        {k: v for k, v in teacher.state_dict().items() if k in wanted and "poly" not in k}, strict=False
    )
    batches, recipe = (
        Batches(*stripes, 64, 0),
        Recipe(steps=20, rate=5e-3, polynomial_rate=5e-3, probe_batches=2, check_every=10),
    )
    settings = GateSettings(spread=0.02, rate=5e-3, pressure=1e-3, snl_rate=0.1, snl_strength=1e-3, snl_look=2)
    start(network, replacement, batches, 2)
    masks = []
    for budget in (100, 40):
        point = reach(
            network, budget, strategy, replacement, batches, Objective(teacher), recipe, settings,
            torch.Generator().manual_seed(0), 0, stripes,
        )  # fmt: skip
        assert network.kept == (0 if strategy == "none" else budget)
        assert point.selecting.steps + point.fitted.steps == 20, "methods are compared at equal steps"
        masks.append(torch.cat([site.gate.state.flatten() for site in network.sites.values()]))
    if strategy not in ("autorep", "snl"):
        assert not bool((masks[1] & ~masks[0]).any()), "a scored strategy's masks are nested"
    if replacement == "linear":
        assert all(bool((site.polynomial.c1 == 1).all()) for site in network.sites.values())
    if strategy == "none" and replacement == "linear":
        assert accuracy(network, *stripes) < 0.8, "no linear network parts these classes"


def test_replacements_have_degrees():
    assert [degree_of(name) for name in REPLACEMENTS] == [2, 2, 1, 2, 1]


@pytest.mark.parametrize(("pressure", "factor"), [(None, 140.0), (0.5, None)])
def test_the_penalty_is_the_papers_factor_on_the_share_above_the_budget_or_the_given_price_of_a_relu(pressure, factor):
    network = small()
    plan = prepare("autorep", network, 40, GateSettings(pressure=pressure), weights_plan(network, 1), torch.Generator())
    above = network.total - 40
    expected = factor * above / network.total if factor else pressure * above
    assert plan.penalty().item() == pytest.approx(expected)
