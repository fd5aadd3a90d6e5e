"""The recomputed batch norm against torch's own, alone and fused with the reversible neuron."""

import copy

import pytest
import torch
from torch import nn

from effml.experiments.core.measure import saved_tensors
from effml.models.spiking.norm import NormRevLIF, RecomputedBatchNorm
from effml.models.spiking.revlif import RevLIF


def twins(channels=6, **options):
    """torch's norm and ours with the same, uneven parameters; one channel's gamma is 0 and one is tiny."""
    torch_norm, ours = nn.BatchNorm2d(channels, **options).double(), RecomputedBatchNorm(channels, **options).double()
    with torch.no_grad():
        torch_norm.weight.uniform_(-2, 2)
        torch_norm.weight[1], torch_norm.weight[4] = 0.0, 1e-6
        torch_norm.bias.normal_()
    ours.load_state_dict(torch_norm.state_dict())
    return torch_norm, ours


@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"track_running_stats": False}, {"eps": 0.1}])
@pytest.mark.parametrize("training", [True, False])
def test_equals_batch_norm_with_gradients_and_running_statistics(training, options):
    torch_norm, ours = (norm.train(training) for norm in twins(**options))
    for _ in range(3):
        x, weights = torch.randn(5, 6, 4, 3, dtype=torch.float64) * 3 + 1, torch.randn(5, 6, 4, 3, dtype=torch.float64)
        results = []
        for norm in (torch_norm, ours):
            leaf = x.clone().requires_grad_()
            norm.zero_grad()
            z = norm(leaf)
            (z * weights).sum().backward()
            results.append((z.detach(), leaf.grad, norm.weight.grad, norm.bias.grad))
        assert torch.equal(results[0][0], results[1][0])
        for want, got in zip(results[0][1:], results[1][1:], strict=True):
            torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    assert torch_norm.state_dict().keys() == ours.state_dict().keys()
    for name, value in torch_norm.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


def test_keeps_its_output_alone():
    norm = RecomputedBatchNorm(8)
    x = torch.randn(3, 4, 8, 5, 5, requires_grad=True)
    with saved_tensors(*norm.parameters(), *norm.buffers()) as saved:
        z = norm(x)
    assert saved.without(z) == 8 * 4, "one standard deviation a channel"
    flat = nn.BatchNorm2d(8)(x.flatten(0, 1))
    torch.testing.assert_close(z.flatten(0, 1), flat)


@pytest.mark.parametrize("detach", [False, True])
def test_fused_equals_norm_then_neuron(detach):
    torch_norm, _ = twins()
    fused = NormRevLIF(6, alpha=0.4, beta=0.7, spike_grad="sigmoid", detach_reset=detach).double()
    fused.norm.load_state_dict(torch_norm.state_dict())
    neuron = RevLIF(alpha=0.4, beta=0.7, spike_grad="sigmoid", detach_reset=detach, multi_step=True).double()
    x, weights = torch.randn(7, 3, 6, 2, 2, dtype=torch.float64), torch.randn(7, 3, 6, 2, 2, dtype=torch.float64)
    results = []
    for run, norm in (
        (lambda leaf: neuron(torch_norm(leaf.flatten(0, 1)).view(x.shape))[0], torch_norm),
        (fused, fused.norm),
    ):
        leaf = x.clone().requires_grad_()
        y = run(leaf)
        (y * weights).sum().backward()
        results.append((y.detach(), leaf.grad, norm.weight.grad, norm.bias.grad, norm.running_var))
    for want, got in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_fused_keeps_output_and_bits_alone_and_holds_in_float32_over_many_steps():
    fused = NormRevLIF(8)
    x = torch.randn(64, 2, 8, 4, 4, requires_grad=True)
    exact, leaf = copy.deepcopy(fused).double(), x.detach().double().requires_grad_()
    with saved_tensors(*fused.parameters(), *fused.buffers()) as saved:
        y = fused(x)
    assert saved.without(y) == x.numel() // 8 + 8 * 4, "bits and standard deviations"
    weights = torch.randn_like(x)
    (y * weights).sum().backward()
    (exact(leaf) * weights.double()).sum().backward()
    # A spike near the threshold may fall differently in float32; the gradients agree but for those few neurons.
    error = (x.grad.double() - leaf.grad).abs() / leaf.grad.abs().max()
    assert float(error.quantile(0.9)) < 1e-5


def test_what_cannot_work_is_refused():
    with pytest.raises(TypeError, match=r"\.float\(\)"):
        RecomputedBatchNorm(4)(torch.zeros(1, 4, 2, 2).bfloat16())
    with pytest.raises(ValueError, match=r"takes \[\.\.\., 4, h, w\]"):
        NormRevLIF(4)(torch.zeros(1, 1, 6, 2, 2))
    with pytest.raises(ValueError, match="even number"):
        NormRevLIF(5)
    with pytest.raises(ValueError, match="have a name"):
        NormRevLIF(4, spike_grad=lambda m: m.sigmoid())
    y = NormRevLIF(4)(torch.randn(2, 3, 4, 2, 2, requires_grad=True))
    with torch.no_grad():
        y.relu_()
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()
