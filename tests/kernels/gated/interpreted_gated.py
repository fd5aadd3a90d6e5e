"""The Triton kernels of the gated polynomial, interpreted: run by `test_gated_gpu.py` in a process of their own."""

import pytest
import torch

from effml.kernels.gated import gpu


def formula(z, table):
    relu, c0, c1, c2 = table
    return relu * z.relu() + (c2 * z + c1) * z + c0


@pytest.mark.parametrize(("batch", "sites"), [(1, 1), (3, 1000), (5, 1024), (4, 1025), (0, 3)])
def test_forward(batch, sites):
    z, table = torch.randn(batch, sites), torch.randn(4, sites)
    torch.testing.assert_close(gpu.forward(z, table), formula(z, table), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(("batch", "sites"), [(1, 1), (3, 1000), (5, 1025), (1100, 2), (0, 3)])
def test_backward(batch, sites):
    z, table = torch.randn(batch, sites, dtype=torch.float64), torch.randn(4, sites, dtype=torch.float64)
    grad = torch.randn(batch, sites, dtype=torch.float64)
    z.requires_grad_(), table.requires_grad_()
    right = torch.autograd.grad(formula(z, table), (z, table), grad)
    ours = gpu.backward(grad.float(), z.detach().float(), table.detach().float())
    for mine, exact in zip(ours, right, strict=True):
        torch.testing.assert_close(mine.double(), exact, rtol=1e-4, atol=1e-4)
