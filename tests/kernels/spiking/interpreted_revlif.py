"""The Triton kernels of the reversible node, interpreted on the CPU, against the reference in the same precision."""

import pytest
import torch

from effml.kernels.spiking import MODES, Rule, reference, surrogate_of
from effml.kernels.spiking import gpu as kernels


def compare(rule, steps, rows, half, state=True, grad_state=True, beta=1.0, atol=0.0):
    x = torch.randn(steps, rows, 2, half) * 1.5 + 0.3
    v = torch.randn(rows, 2, half) if state else None
    alpha, beta = torch.tensor(0.5), torch.tensor(beta)
    expected = reference.forward(x, v, alpha, beta, rule)
    actual = kernels.forward(x, v, alpha, beta, rule)
    for name, want, got in zip(("y", "u", "bits", "anchors"), expected, actual, strict=False):
        assert torch.equal(want.reshape(-1), got.reshape(-1)), f"{name} differs from the reference"
    if rule.mode == "exact":
        assert float(actual[4].max()) == float(expected[4].max()), "the range is what refuses overflow"
    y, u, bits, anchors, _ = expected
    grad_y, grad_u = torch.randn_like(y), torch.randn_like(u) if grad_state else None
    want = reference.backward(y, u, v, bits, anchors, grad_y, grad_u, alpha, beta, rule)
    got = kernels.backward(y, u, v, bits, anchors, grad_y, grad_u, alpha, beta, rule)
    for index in (0, 1):
        torch.testing.assert_close(got[index], want[index], rtol=2e-5, atol=2e-6)
    torch.testing.assert_close(got[2], want[2], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 3, 5), (4, 1, 600)])
def test_modes_equal_reference(mode, shape):
    compare(Rule(mode=mode, anchor_every=3), *shape)


def test_state_and_its_gradient_are_optional():
    compare(Rule(), 5, 2, 9, state=False, grad_state=False)


@pytest.mark.parametrize("steps", [2, 9, 10, 17])
def test_replay_over_segments_of_every_length(steps):
    compare(Rule(), steps, 1, 13, beta=0.25)


@pytest.mark.parametrize("name", ["atan", "fast_sigmoid", "sigmoid", "triangle"])
@pytest.mark.parametrize("detach", [False, True])
def test_surrogates(name, detach):
    compare(Rule(tau=3.0, threshold=0.8, surrogate=surrogate_of(name), detach_reset=detach), 4, 2, 11)
