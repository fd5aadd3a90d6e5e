"""A GCN (Kipf and Welling, 2017) whose aggregation is handed in, and three aggregations: ours, torch's, PyG's messages."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from effml.experiments.accel_gcn.providers import torch_csr
from effml.kernels import Csr, spmm

Aggregate = Callable[[Tensor], Tensor]


class Net(nn.Module):
    """`h <- relu(A W h)`, `widths[0]` input features to `widths[-1]` classes; no relu after the last."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor, aggregate: Aggregate) -> Tensor:
        for layer in self.layers[:-1]:
            x = aggregate(layer(x)).relu()
        return aggregate(self.layers[-1](x))


def aggregations(adj: Csr) -> dict[str, Aggregate]:
    """Name -> `A h`, differentiable; torch's is given the transpose that its own backward would build each time."""
    rows = torch.repeat_interleave(torch.arange(adj.rows, device=adj.device), adj.degrees)
    columns = adj.indices.long()
    weights = torch.ones(adj.nnz, device=adj.device) if adj.values is None else adj.values
    there, back = torch_csr(adj, torch.float32), torch_csr(adj.transpose(), torch.float32)

    def messages(h: Tensor) -> Tensor:
        from torch_geometric.utils import scatter

        return scatter(weights[:, None] * h[columns], rows, dim_size=adj.rows, reduce="sum")

    return {
        "effml": lambda h: spmm(adj, h),
        "torch": lambda h: _WithTranspose.apply(h, there, back),
        "pyg messages": messages,
    }


class _WithTranspose(torch.autograd.Function):
    """`there @ h`, whose gradient is `back @ g`."""

    @staticmethod
    def forward(ctx, h: Tensor, there: Tensor, back: Tensor) -> Tensor:
        ctx.back = back
        return there @ h

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return ctx.back @ gradient, None, None


def layer_calls(ways: dict[str, Aggregate], rows: int, width: int, draw: torch.Generator) -> dict[str, Callable]:
    """Way -> one hidden layer, forward and backward."""
    device = draw.device
    layer = nn.Linear(width, width, bias=False, device=device)
    hidden = torch.randn(rows, width, generator=draw, device=device)

    def both_ways(aggregate: Aggregate) -> None:
        aggregate(layer(hidden)).relu().sum().backward()

    return {way: (lambda aggregate=aggregate: both_ways(aggregate)) for way, aggregate in ways.items()}


def epoch_calls(ways: dict[str, Aggregate], rows: int, widths: list[int], draw: torch.Generator) -> dict[str, Callable]:
    """Way -> one epoch of full-batch training on random features and classes; and `products`, torch's sparse ones alone.

    Raises:
        AssertionError: two ways give different logits.
    """
    device = draw.device
    net = Net(widths).to(device)
    x = torch.randn(rows, widths[0], generator=draw, device=device)
    y = torch.randint(widths[-1], (rows,), generator=draw, device=device)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    expected = net(x, ways["torch"])
    for aggregate in ways.values():
        torch.testing.assert_close(net(x, aggregate), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))

    def epoch(aggregate: Aggregate) -> None:
        optimizer.zero_grad()
        functional.cross_entropy(net(x, aggregate), y).backward()
        optimizer.step()

    operands = [torch.randn(rows, width, device=device, requires_grad=True) for width in widths[1:]]

    def products() -> None:
        for operand in operands:
            torch.autograd.grad(ways["torch"](operand), operand, operand)

    epochs = {way: (lambda aggregate=aggregate: epoch(aggregate)) for way, aggregate in ways.items()}
    return {**epochs, "products": products}
