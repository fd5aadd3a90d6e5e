"""MaxK selection, `A @ CBSR` and its sampled backward on GPUs (Triton); sums in float32.

Sums of rows with several edge groups, and all of the backward's, are atomic: the order of summation, and with it the last
bits, differ from run to run.
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from effml.kernels.csr import Csr
from effml.kernels.maxk import triton_kernels as kernels
from effml.kernels.maxk.cbsr import index_dtype
from effml.kernels.maxk.partition import EdgeGroups, edge_groups

GROUP = 64  # edges of a group, as in the paper
_TILE_WORDS = 8  # mask words, of 32 columns each, that one program of the forward covers
_UNROLL = 4  # edges in flight in the forward
_SELECT_ELEMENTS = 2048  # entries that one program of the selection holds
_BACKWARD_ELEMENTS = 256  # slots that one step of the backward touches
_MOVE_BLOCK = 1024


def select(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See `reference.select`."""
    _refuse_double(x.dtype)
    x = x if x.stride(1) == 1 else x.contiguous()
    rows, columns = x.shape
    values = x.new_empty(rows, k)
    index = x.new_empty(rows, k, dtype=index_dtype(columns))
    if rows:
        width = triton.next_power_of_2(columns)
        block = max(1, _SELECT_ELEMENTS // width)
        kernels.select_kernel[(triton.cdiv(rows, block),)](
            *(x, values, index, rows, columns, k, x.stride(0)), ROWS=block, COLUMNS=width, num_warps=4
        )
    return values, index


def unpack(values: Tensor, index: Tensor, columns: int) -> Tensor:
    """See `reference.unpack`."""
    dense = values.new_zeros(values.shape[0], columns)
    _move(values.contiguous(), dense, index, to_dense=True)
    return dense


def gather(dense: Tensor, index: Tensor) -> Tensor:
    """See `reference.gather`."""
    values = dense.new_empty(index.shape)
    _move(values, dense.contiguous(), index, to_dense=False)
    return values


def _move(values: Tensor, dense: Tensor, index: Tensor, *, to_dense: bool) -> None:
    if count := values.numel():
        grid = (triton.cdiv(count, _MOVE_BLOCK),)
        sizes = count, dense.shape[1], values.shape[1]
        kernels.move_kernel[grid](values, dense, index.contiguous(), *sizes, TO_DENSE=to_dense, BLOCK=_MOVE_BLOCK)


def spgemm(adj: Csr, values: Tensor, index: Tensor, columns: int) -> Tensor:
    """See `reference.spgemm`."""
    _refuse_double(values.dtype)
    groups, k, words = edge_groups(adj, GROUP), index.shape[1], triton.cdiv(columns, 32)
    out = values.new_zeros(adj.rows, columns, dtype=torch.float32)
    if groups.count:
        mask, before = column_mask(index, columns)
        kernels.spgemm_kernel[(groups.count, triton.cdiv(words, _TILE_WORDS))](
            *(*_arrays(groups), adj.indptr, adj.indices, *_weights(adj)),
            *(values.contiguous(), mask, before, out, columns, k),
            GROUP=GROUP,
            ALL_WORDS=words,
            WORDS=_TILE_WORDS,
            UNROLL=_UNROLL,
            num_warps=1,
        )
    return out.to(values.dtype)


def column_mask(index: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """`[rows, words]` int32 masks of the stored columns, and how many values each row stores before each word."""
    (rows, k), words = index.shape, triton.cdiv(columns, 32)
    mask = index.new_empty(rows, words, dtype=torch.int32)
    before = index.new_empty(rows, words, dtype=index_dtype(columns))
    width, span = triton.next_power_of_2(k), triton.next_power_of_2(words)
    kernels.mask_kernel[(rows,)](index.contiguous(), mask, before, k, words, K=width, WORDS=span, num_warps=1)
    return mask, before


def sspmm(adj: Csr, grad: Tensor, index: Tensor) -> Tensor:
    """See `reference.sspmm`."""
    _refuse_double(grad.dtype)
    groups, k = edge_groups(adj, GROUP), index.shape[1]
    out = grad.new_zeros(index.shape, dtype=torch.float32)
    if groups.count:
        width = triton.next_power_of_2(k)
        kernels.sspmm_kernel[(groups.count,)](
            *(*_arrays(groups), adj.indices, *_weights(adj)),
            *(grad.contiguous(), index.contiguous(), out, grad.shape[1], k),
            K=width,
            EDGES=max(1, _BACKWARD_ELEMENTS // width),
            num_warps=1,
        )
    return out.to(grad.dtype)


def _arrays(groups: EdgeGroups) -> tuple[Tensor, Tensor, Tensor]:
    return groups.row, groups.start, groups.length


def _weights(adj: Csr) -> tuple[Tensor, int]:
    """float32 weights and the stride to read them with."""
    if adj.values is None:
        return torch.ones(1, device=adj.device), 0
    return adj.values.detach().to(torch.float32).contiguous(), 1


def _refuse_double(dtype: torch.dtype) -> None:
    if dtype == torch.float64:
        raise TypeError("the triton back end of MaxK sums in float32; for float64 name backend='reference'")
