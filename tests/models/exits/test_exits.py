"""Exits really stop, change nothing they should not, and each row's result is its own."""

import pytest
import torch

from effml.models.exits.forward import forward
from effml.models.exits.losses import exit_losses, pseudo_uncertainty
from effml.models.exits.policies import (
    Berxit,
    Calibrated,
    Calm,
    FixedLayer,
    Joint,
    Never,
    Oracle,
    Pabee,
    Random,
    TimeSchedule,
    Uem,
)
from effml.models.uvit import UViT

SMALL = {"sample_size": 8, "patch_size": 2, "in_channels": 1, "width": 32, "depth": 6, "heads": 2, "uem": "tokens"}


@pytest.fixture
def model():
    net = UViT(**SMALL).eval()
    with torch.no_grad():  # spread the uncertainties, so that rows exit at different depths
        for head in net.uncertainty_heads:
            head.weight.normal_(0, 1.0)
    return net


def noisy(rows):
    """Images of different loudness, so that their uncertainties differ."""
    return torch.randn(rows, 1, 8, 8) * torch.linspace(0.1, 8, rows)[:, None, None, None]


def middle(model, x):
    """A threshold between two rows' uncertainty after the first block: some rows stop there, some do not."""
    first = forward(model, x, 400, Uem(2.0)).uncertainty.sort().values
    return float(first[len(x) // 2 - 1 : len(x) // 2 + 1].mean())


def by_layer(model, x, t):
    with torch.no_grad():
        tokens, _ = model.layers(x, t)
        return torch.stack([model.head(i, h) for i, h in enumerate(tokens)])


def test_threshold_zero_is_the_plain_model_to_the_bit(model):
    x = torch.randn(5, 1, 8, 8)
    result = forward(model, x, 300, Uem(0.0))
    with torch.no_grad():
        assert torch.equal(result.output, model(x, 300))
    assert result.layer.tolist() == [6] * 5 and result.checks == 0 and result.syncs == 0


def test_threshold_above_one_always_stops_at_the_first_layer(model):
    x = torch.randn(4, 1, 8, 8)
    result = forward(model, x, 300, Uem(1.5))
    assert result.layer.tolist() == [0] * 4
    torch.testing.assert_close(result.output, by_layer(model, x, 300)[0], rtol=1e-5, atol=1e-5)


EVERY = [
    Uem(0.5),
    Uem(0.5, patience=2),
    Uem(0.5, every=2),
    Uem(0.6, statistic="max"),
    Random(0.3),
    Pabee(0.5),
    Calm(0.9),
    FixedLayer(3),
    TimeSchedule([6, 4, 2, 0]),
    Calibrated({0: 6, 999: 1}),
]


@pytest.mark.parametrize("policy", EVERY, ids=lambda policy: type(policy).__name__)
def test_every_row_gets_the_head_of_the_layer_where_it_stopped(model, policy):
    x = noisy(33)
    result = forward(model, x, 400, policy)
    right = by_layer(model, x, 400)[result.layer, torch.arange(33)]
    torch.testing.assert_close(result.output, right, rtol=1e-4, atol=1e-5)


def test_rows_stop_at_different_layers_and_batch_mates_change_nothing(model):
    x = noisy(64)
    threshold = middle(model, x)
    whole = forward(model, x, 400, Uem(threshold))
    assert len(set(whole.layer.tolist())) > 1
    alone = [forward(model, x[i : i + 1], 400, Uem(threshold)) for i in range(64)]
    layers = torch.cat([one.layer for one in alone])
    # A row within rounding of the threshold may fall on either side; none is expected here, and few are allowed.
    moved = (layers != whole.layer).nonzero()[:, 0]
    assert all(abs(whole.uncertainty[i] - threshold) < 1e-5 for i in moved)
    same = layers == whole.layer
    torch.testing.assert_close(torch.cat([one.output for one in alone])[same], whole.output[same], rtol=1e-4, atol=1e-4)
    order = torch.randperm(64)
    assert torch.equal(
        forward(model, x[order], 400, Uem(threshold)).layer[same[order]], whole.layer[order][same[order]]
    )


def test_depth_never_grows_with_the_threshold(model):
    x = torch.randn(16, 1, 8, 8)
    depths = torch.stack([forward(model, x, 400, Uem(t)).layer for t in (0.3, 0.4, 0.5, 0.6, 0.7, 2.0)])
    assert (depths.diff(dim=0) <= 0).all()


def test_work_shrinks_with_the_batch(model):
    """The simulated exits of other code run every block on every row; here the rows that left are not computed."""
    rows = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    x = noisy(64)
    threshold = middle(model, x)
    rows.clear()
    result = forward(model, x, 400, Uem(threshold))
    assert rows == [int((result.layer >= i).sum()) for i in range(len(rows))]


def test_time_policies_never_wait_for_the_device(model):
    x = torch.randn(4, 1, 8, 8)
    for policy in (Never(), FixedLayer(2), TimeSchedule([6, 0]), Calibrated({0: 3})):
        assert forward(model, x, 10, policy).syncs == 0
    assert forward(model, x, 10, Uem(0.5)).syncs > 0
    assert (
        forward(model, x, 10, TimeSchedule([6, 0])).layer[0] == 6
        and forward(model, x, 990, TimeSchedule([6, 0])).layer[0] == 0
    )


def test_oracle_stops_where_the_full_network_agrees(model):
    x = torch.randn(8, 1, 8, 8)
    with torch.no_grad():
        full = model(x, 400)
    result = forward(model, x, 400, Oracle(0.2, full))
    distance = (by_layer(model, x, 400) - full).abs().tanh().flatten(2).mean(2)
    first = [next((i for i in range(6) if distance[i, row] < 0.2), 6) for row in range(8)]
    assert result.layer.tolist() == first


def test_guidance_pairs_leave_together(model):
    result = forward(model, noisy(32), 400, Joint(Uem(0.5)))
    assert torch.equal(result.layer[:16], result.layer[16:])


def test_berxit_reads_its_probes(model):
    probes = torch.nn.ModuleList([torch.nn.Linear(32, 1) for _ in range(7)])
    torch.nn.init.constant_(probes[2].bias, -50.0)
    for i in (0, 1):
        torch.nn.init.constant_(probes[i].bias, 50.0)
    assert forward(model, torch.randn(3, 1, 8, 8), 10, Berxit(probes, 0.5)).layer.tolist() == [2, 2, 2]


def exits_of(model, x, t):
    tokens, time = model.layers(x, t)
    predictions = [model.head(i, h) for i, h in enumerate(tokens)]
    return predictions, [model.uncertainty(i, h, time) for i, h in enumerate(tokens)]


def test_uncertainty_loss_teaches_no_backbone(model):
    predictions, uncertainties = exits_of(model, torch.randn(2, 1, 8, 8), torch.tensor([5, 700]))
    losses = exit_losses(predictions, uncertainties, torch.randn(2, 1, 8, 8), beta=0.0)
    losses.uncertainty.backward()
    backbone = [p for name, p in model.named_parameters() if not name.startswith("uncertainty_heads")]
    assert all(p.grad is None or p.grad.abs().max() == 0 for p in backbone)
    assert all(head.weight.grad.abs().sum() > 0 for head in model.uncertainty_heads)


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("form", ["paper", "repository"])
def test_layerwise_loss_teaches_the_heads_unless_detached(model, detach, form):
    predictions, uncertainties = exits_of(model, torch.randn(2, 1, 8, 8), torch.tensor([5, 700]))
    losses = exit_losses(predictions, uncertainties, torch.randn(2, 1, 8, 8), lam=0.0, form=form, detach_weights=detach)
    losses.layerwise.backward()
    grads = [head.weight.grad for head in list(model.uncertainty_heads)[:-1]]
    assert all(g is None for g in grads) if detach else all(g.abs().sum() > 0 for g in grads)


def test_losses_in_closed_form():
    noise = torch.zeros(1, 1, 2, 2)
    predictions = [torch.full_like(noise, v) for v in (3.0, 2.0, 1.0)]
    uncertainties = [torch.full_like(noise, u) for u in (0.5, 0.25, 0.0)]
    repo = exit_losses(predictions, uncertainties, noise)
    weights = torch.tensor([0.5, 0.75, 1.0])
    assert repo.simple == 1.0 and torch.isclose(
        repo.layerwise, (weights / weights.sum() * torch.tensor([9.0, 4.0, 1.0])).sum()
    )
    paper = exit_losses(predictions, uncertainties, noise, form="paper")
    assert torch.isclose(paper.layerwise, torch.tensor(0.5 * 9 + 0.75 * 4))
    assert torch.isclose(paper.uncertainty, 3 * repo.uncertainty)
    targets = torch.tanh(torch.tensor([3.0, 2.0, 1.0]))
    assert torch.isclose(paper.uncertainty, (torch.tensor([0.5, 0.25, 0.0]) - targets).square().sum())
    alike = exit_losses(predictions, [torch.full_like(noise, 0.3)] * 3, noise)
    assert torch.isclose(alike.layerwise, torch.tensor(14 / 3))
    assert not pseudo_uncertainty(predictions[0].requires_grad_(), noise).requires_grad


def test_expected_uncertainty_of_gaussian_errors():
    """E tanh |N(0, s^2)|: an uncertainty threshold of 0.08 means an error of about 0.1."""
    for s, expected in [(0.05, 0.0398), (0.1, 0.0793), (0.2, 0.1556), (0.5, 0.3497), (1.0, 0.5560)]:
        drawn = pseudo_uncertainty(s * torch.randn(400_000), torch.zeros(400_000)).mean()
        assert drawn == pytest.approx(expected, abs=3e-3)


def test_dit_runs_under_the_same_interface():
    from effml.models.exits.dit import CachedDiT, DiT

    net = DiT(CachedDiT(num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=8, num_layers=4, sample_size=8,
                        patch_size=2, num_embeds_ada_norm=10)).eval()  # fmt: skip
    x, labels = torch.randn(12, 4, 8, 8), torch.arange(12) % 10
    with torch.no_grad():
        for head in net.uncertainty_heads:
            head.weight.normal_(0, 0.5)
        torch.testing.assert_close(forward(net, x, 300, Never(), class_labels=labels).output, net(x, 300, labels))
        # Between two rows' uncertainty after the first block, so that some stop there and some do not.
        first = forward(net, x, 300, Uem(2.0), class_labels=labels).uncertainty.sort().values
        rule = Uem(float(first[5:7].mean()))
        whole = forward(net, x, 300, rule, class_labels=labels)
        alone = [forward(net, x[i : i + 1], 300, rule, class_labels=labels[i : i + 1]) for i in range(12)]
    assert len(set(whole.layer.tolist())) > 1
    torch.testing.assert_close(torch.cat([a.output for a in alone]), whole.output, rtol=1e-4, atol=1e-4)
