"""Dense times dense at the nonzeros of a sparse matrix, on the CPU: the gradient of the sparse product's values.

S[e] = <left[row of e], right[column of e]>; nonzeros are dealt to threads in equal shares.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from effml.kernels.csr import Csr
from effml.kernels.threads import worker_threads

# Nonzeros that one thread takes at a time.
SHARE = 4096


def sddmm(adj: Csr, left: Tensor, right: Tensor) -> Tensor:
    """`[nnz]` in the dtype of `left`; halves are multiplied and summed in float32."""
    sum_type = torch.promote_types(left.dtype, torch.float32)
    out = torch.empty(adj.nnz, dtype=sum_type)
    operands = [t.detach().to(sum_type).contiguous().numpy() for t in (left, right)]
    fill: Any = _fill_serial if worker_threads() == 1 else _fill_parallel
    fill(adj.indptr.contiguous().numpy(), adj.indices.contiguous().numpy(), *operands, out.numpy())
    return out.to(left.dtype)


def _fill(indptr, indices, left, right, out):
    for share in numba.prange((out.size + SHARE - 1) // SHARE):
        start, end = share * SHARE, min(out.size, (share + 1) * SHARE)
        row = np.searchsorted(indptr, start, side="right") - 1
        for e in range(start, end):
            while e >= indptr[row + 1]:
                row += 1
            column = indices[e]
            total = out.dtype.type(0)
            for d in range(left.shape[1]):
                total += left[row, d] * right[column, d]
            out[e] = total


_FAST = {"reassoc", "contract", "nsz"}
_fill_serial = numba.njit(nogil=True, fastmath=_FAST, cache=True)(_fill)
_fill_parallel = numba.njit(parallel=True, nogil=True, fastmath=_FAST, cache=True)(_fill)
