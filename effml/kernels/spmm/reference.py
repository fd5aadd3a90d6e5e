"""Sparse times dense in plain torch: the oracle of every other back end.

Y[i] = sum over nonzeros e of row i of values[e] * X[indices[e]], and the gradient with respect to `values`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from effml.kernels.csr import Csr


def spmm_reference(adj: Csr, x: Float[Tensor, "columns d"]) -> Float[Tensor, "rows d"]:
    """`adj @ x` in the precision of `x`; differentiable; materialises one row of `x` per nonzero."""
    gathered = x[adj.indices.long()]
    if adj.values is not None:
        gathered = gathered * adj.values.to(x.dtype)[:, None]
    return x.new_zeros(adj.rows, x.shape[1]).index_add(0, row_of_nonzero(adj), gathered)


def sddmm_reference(
    adj: Csr, left: Float[Tensor, "rows d"], right: Float[Tensor, "columns d"]
) -> Float[Tensor, " nnz"]:
    """`<left[i], right[j]>` at each nonzero (i, j): the gradient of `spmm` with respect to the values."""
    return (left[row_of_nonzero(adj)] * right[adj.indices.long()]).sum(1)


def row_of_nonzero(adj: Csr) -> Tensor:
    """int64 `[nnz]`: the row that each nonzero stands in; cached."""
    build = lambda: torch.repeat_interleave(torch.arange(adj.rows, device=adj.device), adj.degrees)  # noqa: E731
    return adj.cached("row_of_nonzero", build)
