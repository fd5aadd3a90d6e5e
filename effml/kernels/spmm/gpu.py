"""Sparse times dense on GPUs (Triton): one launch over blocks of rows of one degree, one more where rows are in pieces.

Sums are in float32 (float64 for float64) and in a fixed order, so that a result repeats bit by bit. The sorted copy of
the matrix and its blocks are built on the device at the first call and kept with the matrix; after that a call waits for
nothing and may be captured in a CUDA graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from effml.kernels.csr import Csr
from effml.kernels.spmm.partition import Partition, Rule, partition
from effml.kernels.spmm.reference import row_of_nonzero
from effml.kernels.spmm.triton_kernels import join_kernel, multiply_kernel, sampled_kernel

# Eight rounds of 64 nonzeros a block, fewer where degrees are tiny; `multiply_kernel` spells the same steps out.
SLOTS = 64
RULE = Rule(((4, 64), (32, 16), (64, 8), (128, 4), (256, 2), (512, 1)))
_NONZEROS = 32


@dataclass(frozen=True)
class Tile:
    """Columns of one program and its warps."""

    columns: int
    warps: int


def tile(width: int) -> Tile:
    """The tile that costs least; 64 slots of the widest stay in registers (tests/kernels/spmm).

    Columns beyond the width cost a lane but no traffic, another tile reads the indices once more: as much as 16 columns.
    """
    columns = min((128, 64, 32, 16), key=lambda size: triton.cdiv(width, size) * (size + 16))
    return Tile(columns, max(1, columns // 16))


def multiply(adj: Csr, x: Tensor) -> Tensor:
    """`adj @ x` in a new tensor."""
    out = x.new_empty(adj.rows, x.shape[1])
    multiply_into(adj, x, out)
    return out


def multiply_into(adj: Csr, x: Tensor, out: Tensor, parts: Partition | None = None, columns: int | None = None) -> None:
    """Write `adj @ x` to a contiguous `out`; a partition and a tile's columns of one's own are for ablations."""
    width = x.shape[1]
    if not out.numel():
        return
    if x.stride(1) != 1:
        x = x.contiguous()
    parts = partition(adj, RULE) if parts is None else parts
    empty = adj.cached_pattern("empty rows", lambda: torch.nonzero(adj.degrees == 0).squeeze(1))
    if empty.numel():
        out.index_fill_(0, empty, 0)
    shape = tile(width)
    if columns is not None:
        shape = Tile(columns, max(1, columns // 16))
    sum_type = torch.promote_types(x.dtype, torch.float32)
    values = None if parts.sorted.values is None else parts.sorted.values.to(sum_type)
    scratch = torch.empty(parts.pieces, width, dtype=sum_type, device=x.device)
    tiles = triton.cdiv(width, shape.columns)
    shared = {"COLUMNS": shape.columns, "SUM": _triton_type(sum_type), "num_warps": shape.warps}
    if blocks := parts.blocks.shape[0]:
        multiply_kernel[(blocks, tiles)](
            *(x, parts.sorted.indices, parts.sorted.indices if values is None else values, parts.blocks, parts.order),
            *(out, scratch, parts.starts[-1], width, x.stride(0)),
            WEIGHTED=values is not None,
            SLOTS=SLOTS,
            **shared,
        )
    if long_rows := parts.cut_rows.numel():
        join_kernel[(long_rows, tiles)](scratch, parts.first_piece, parts.cut_rows, parts.order, out, width, **shared)


def sddmm(adj: Csr, left: Tensor, right: Tensor) -> Tensor:
    """`<left[i], right[j]>` at each nonzero (i, j), `[nnz]` in the dtype of `left`."""
    out = left.new_empty(adj.nnz)
    width = left.shape[1]
    if adj.nnz:
        sampled_kernel[(triton.cdiv(adj.nnz, _NONZEROS),)](
            *(left.contiguous(), right.contiguous(), row_of_nonzero(adj), adj.indices, out, adj.nnz, width),
            NONZEROS=_NONZEROS,
            COLUMNS=min(64, max(16, triton.next_power_of_2(width))),
            SUM=_triton_type(torch.promote_types(left.dtype, torch.float32)),
        )
    return out


def _triton_type(dtype: torch.dtype) -> tl.dtype:
    return tl.float64 if dtype == torch.float64 else tl.float32
