"""MaxK selection, `A @ CBSR` and its sampled backward in plain torch: the oracle of the other back ends.

Holds every intermediate of nnz * k entries, so it is for small inputs; any device, any float dtype, float64 included.
"""

from __future__ import annotations

import torch
from torch import Tensor

from effml.kernels.csr import Csr
from effml.kernels.maxk.cbsr import index_dtype


def select(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest signed values of each row in ascending column order; of equal values the lowest column wins."""
    # Stable: equal values stay in column order. NaN sorts as the largest, -0 equals 0.
    order = torch.sort(x, dim=1, descending=True, stable=True).indices
    columns = order[:, :k].sort(dim=1).values
    return x.gather(1, columns), columns.to(index_dtype(x.shape[1]))


def unpack(values: Tensor, index: Tensor, columns: int) -> Tensor:
    """Dense form of CBSR."""
    return values.new_zeros(values.shape[0], columns).scatter_(1, index.long(), values)


def gather(dense: Tensor, index: Tensor) -> Tensor:
    """Entries of a dense matrix at CBSR positions: the adjoint of `unpack`."""
    return dense.gather(1, index.long())


def spgemm(adj: Csr, values: Tensor, index: Tensor, columns: int) -> Tensor:
    """`Y[i, c] = sum_j A[i, j] * X[j, c]` over the stored entries of X."""
    rows, sources, weight = _edges(adj, values)
    slots = rows[:, None] * columns + index.long()[sources]
    flat = values.new_zeros(adj.rows * columns)
    flat.index_add_(0, slots.reshape(-1), (weight[:, None] * values[sources]).reshape(-1))
    return flat.view(adj.rows, columns)


def sspmm(adj: Csr, grad: Tensor, index: Tensor) -> Tensor:
    """`dX[j, t] = sum_i A[i, j] * dY[i, index[j, t]]`: A transposed times dY, at the stored positions only."""
    rows, sources, weight = _edges(adj, grad)
    sampled = grad[rows].gather(1, index.long()[sources])
    return grad.new_zeros(index.shape).index_add_(0, sources, weight[:, None] * sampled)


def _edges(adj: Csr, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows = torch.repeat_interleave(torch.arange(adj.rows, device=adj.device), adj.degrees)
    weight = like.new_ones(adj.nnz) if adj.values is None else adj.values.to(like.dtype)
    return rows, adj.indices.long(), weight
