"""The Triton kernels of the ordinary neuron, interpreted on the CPU, against the reference in the same precision."""

import pytest
import torch

from effml.kernels.lif import RESETS, reference
from effml.kernels.lif import gpu as kernels
from effml.kernels.spiking import surrogate_of


def compare(steps, n, reset, state=True):
    x, beta = torch.randn(steps, n) * 1.5 + 0.3, torch.tensor(0.6)
    v, grad_v = (torch.randn(n), torch.randn(n)) if state else (None, None)
    for want, got in zip(
        reference.forward(x, v, beta, 1.0, reset), kernels.forward(x, v, beta, 1.0, reset), strict=True
    ):
        assert torch.equal(want, got)
    args = x, v, torch.randn_like(x), grad_v, beta, 1.0, reset, surrogate_of("fast_sigmoid")
    for want, got in zip(reference.backward(*args), kernels.backward(*args), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reset", RESETS)
def test_resets_equal_reference(reset):
    compare(6, 700, reset)


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 10])
def test_replay_over_segments_of_every_length(steps):
    compare(steps, 9, "zero", state=steps > 2)
