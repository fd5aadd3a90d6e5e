"""This product's own kernels as operators, each beside what torch offers for the same result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from effml.experiments.accelerators import formulas as f
from effml.experiments.accelerators.cases import DTYPES, EPS, Case, normal, size_of
from effml.experiments.accelerators.sparse import stretched_csr
from effml.kernels import gated_polynomial, lif, maxk, retention, revlif, spgemm, spmm

KEPT = 32  # of a row, by maxk
NEIGHBOURS = 16  # nonzeros of a row of the graph


def own_kernels(
    heads: int, head_dim: int, length: int, channels: int, pixels: int, nodes: int = 16384, width: int = 256,
    steps: int = 16, neurons: int = 32768, dtype: str = "fp32",
) -> Iterator[Case]:  # fmt: skip
    """Every operator in one dtype: sequences of `length`, images of `pixels`, graphs of `nodes`, `steps` of neurons."""
    yield _retention(heads, head_dim, length, dtype)
    yield _gated(channels, pixels, dtype)
    yield _maxk(nodes, width, dtype)
    yield from _graph_products(nodes, width, dtype)
    yield from _spiking(steps, neurons, dtype)


def _labels(op: str, shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    return {"op": op, "shape": "x".join(map(str, shape)), "dtype": dtype}


def _retention(heads: int, head_dim: int, length: int, dtype: str) -> Case:
    """The chunkwise form against the quadratic one that a plain implementation uses."""
    shape = (1, length, heads, head_dim)
    log_gamma = torch.log1p(-(2.0 ** (-5.0 - torch.arange(heads, dtype=torch.float64))))

    def build(device: torch.device, g: torch.Generator) -> tuple[Tensor, ...]:
        q, k, v = (normal(shape, dtype, device, g) for _ in range(3))
        return q, k, v, log_gamma.to(device, torch.float32)

    state = 4 * length * heads * head_dim * head_dim  # outer product in, inner product out
    return Case(
        "retention", _labels("retention", shape, dtype), dtype,
        state, f.attention_bytes(1, heads, length, head_dim, size_of(dtype)), build,
        {
            "torch parallel": lambda q, k, v, decay: retention(q, k, v, decay, backend="parallel"),
            "effml": lambda q, k, v, decay: retention(q, k, v, decay),
        },
        lambda q, k, v, decay: retention(q, k, v, decay, backend="recurrent"), f.tolerance(EPS[dtype], length), "product",
    )  # fmt: skip


def _gated(channels: int, pixels: int, dtype: str) -> Case:
    """Half of the sites keep ReLU, half take a parabola: one fused pass against the expression written out."""
    shape = (16, channels, pixels, pixels)

    def build(device: torch.device, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        gate = (torch.rand(shape[1:], generator=g) < 0.5).to(DTYPES[dtype]).to(device)
        coefficients = torch.tensor([0.2, 0.5, 0.1], dtype=DTYPES[dtype], device=device)
        return normal(shape, dtype, device, g), gate, coefficients

    def spelled(x: Tensor, gate: Tensor, c: Tensor) -> Tensor:
        return gate * torch.relu(x) + (1 - gate) * (c[0] + c[1] * x + c[2] * x * x)

    elements = shape[0] * channels * pixels * pixels
    return Case(
        "gated polynomial", _labels("gated polynomial", shape, dtype), dtype,
        8 * elements, 2 * elements * size_of(dtype), build,
        {"torch": spelled, "effml": lambda x, gate, c: gated_polynomial(x, gate, c)}, spelled, 32 * EPS[dtype], "product",
    )  # fmt: skip


def _maxk(nodes: int, width: int, dtype: str) -> Case:
    """The largest values of each row. Both report them as sums, because `topk` leaves another order; comparisons are no
    FLOP, so that only bytes are counted: the matrix read, values and 8-bit places written."""
    kept = min(KEPT, width)
    return Case(
        "maxk", _labels("maxk", (nodes, width, kept), dtype), dtype, 0,
        nodes * (width * size_of(dtype) + kept * (size_of(dtype) + 1)),
        lambda device, g: (normal((nodes, width), dtype, device, g),),
        {
            "torch topk": lambda x: torch.topk(x, kept, dim=1, sorted=False).values.sum(1),
            "effml": lambda x: maxk(x, kept).values.sum(1),
        },
        lambda x: torch.topk(x, kept, dim=1).values.sum(1), f.tolerance(EPS[dtype], kept), "product",
    )  # fmt: skip


def _graph_products(nodes: int, width: int, dtype: str) -> Iterator[Case]:
    """A graph times dense features, and times the same features of which `maxk` kept some."""
    kept, nnz = min(KEPT, width), nodes * NEIGHBOURS

    def build(device: torch.device, g: torch.Generator) -> tuple[Any, ...]:
        adj = stretched_csr(nodes, nodes, NEIGHBOURS, dtype, g).to(device)
        x = normal((nodes, width), dtype, device, g)
        sparse = maxk(x, kept)
        dense = torch.zeros_like(x).scatter_(1, sparse.index.long(), sparse.values)
        return adj, adj.to_torch(DTYPES[dtype]), x, sparse, dense

    yield Case(
        "spmm", _labels("spmm", (nodes, nodes, width), dtype), dtype, f.spmm_flops(nnz, width),
        f.spmm_bytes(nodes, nodes, nnz, width, size_of(dtype)), build,
        {
            "torch csr": lambda adj, library, x, sparse, dense: library @ x,
            "effml": lambda adj, library, x, sparse, dense: spmm(adj, x),
        },
        lambda adj, library, x, sparse, dense: library @ x, f.tolerance(EPS[dtype], NEIGHBOURS), "product",
    )  # fmt: skip
    values = nodes * kept * (size_of(dtype) + 1)
    yield Case(
        "maxk product", _labels("maxk product", (nodes, nodes, width, kept), dtype), dtype, f.spmm_flops(nnz, kept),
        nnz * (size_of(dtype) + 4) + values + nodes * width * size_of(dtype), build,
        {
            "torch csr": lambda adj, library, x, sparse, dense: library @ dense,
            "effml": lambda adj, library, x, sparse, dense: spgemm(adj, sparse),
        },
        lambda adj, library, x, sparse, dense: library @ dense, f.tolerance(EPS[dtype], NEIGHBOURS), "product",
    )  # fmt: skip


def _spiking(steps: int, neurons: int, dtype: str) -> Iterator[Case]:
    """Neurons over all steps, reversible and ordinary, against their equations step by step in torch. A spike is all or
    nothing, so that rounding in another precision can move one: the providers must agree with each other."""
    shape = (steps, 1, neurons)

    def build(device: torch.device, g: torch.Generator) -> tuple[Tensor]:
        return (normal(shape, dtype, device, g),)

    elements = steps * neurons
    for op, call, operations, bits in (("revlif", revlif, 8, elements // 8), ("lif", lif, 4, 0)):
        yield Case(
            op, _labels(op, shape, dtype), dtype, operations * elements, 2 * elements * size_of(dtype) + bits, build,
            {
                "torch": lambda x, call=call: call(x, backend="torch")[0],
                "effml": lambda x, call=call: call(x)[0],
            },
            None, 4 * EPS[dtype], "product",
        )  # fmt: skip
