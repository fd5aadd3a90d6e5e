"""The same two ways to deal the work as in `cpu_baselines`, re-implemented in Triton: one warp to a row, or to a group."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from effml.kernels import Csr
from effml.kernels.spmm.partition import edge_groups


def rows(adj: Csr, x: Tensor) -> Tensor:
    """`adj @ x`, a warp for each row."""
    out = x.new_empty(adj.rows, x.shape[1])
    columns = _columns(x)
    grid = (adj.rows, triton.cdiv(x.shape[1], columns))
    rows_kernel[grid](x, adj.indptr, adj.indices, out, x.shape[1], COLUMNS=columns, num_warps=1)
    return out


def groups(adj: Csr, x: Tensor) -> Tensor:
    """`adj @ x`, a warp for each group of as many nonzeros as a row has on average, added atomically."""
    out = torch.zeros(adj.rows, x.shape[1], device=x.device)
    row, start, length = edge_groups(adj, max(1, round(adj.nnz / max(1, adj.rows))))
    columns = _columns(x)
    if row.numel():
        grid = (row.numel(), triton.cdiv(x.shape[1], columns))
        groups_kernel[grid](x, row, start, length, adj.indices, out, x.shape[1], COLUMNS=columns, num_warps=1)
    return out.to(x.dtype)


def _columns(x: Tensor) -> int:
    return min(128, max(32, triton.next_power_of_2(x.shape[1])))


@triton.jit
def rows_kernel(x, indptr, indices, out, width, COLUMNS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    total = _sum(x, indices, tl.load(indptr + row), tl.load(indptr + row + 1), width, COLUMNS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    tl.store(out + row * width + column, total.to(out.dtype.element_ty), mask=column < width)


@triton.jit
def groups_kernel(x, row, start, length, indices, out, width, COLUMNS: tl.constexpr):
    group = tl.program_id(0)
    begin = tl.load(start + group)
    total = _sum(x, indices, begin, begin + tl.load(length + group), width, COLUMNS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    tl.atomic_add(out + tl.load(row + group) * width + column, total, mask=column < width)


@triton.jit
def _sum(x, indices, begin, end, width, COLUMNS: tl.constexpr):
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((COLUMNS,), tl.float32)
    for e in range(begin, end):
        source = x + tl.load(indices + e).to(tl.int64) * width
        total += tl.load(source + column, mask=column < width, other=0).to(tl.float32)
    return total
