"""Two ways to deal a sparse product to workers that Accel-GCN is measured against, re-implemented for a CPU in numba.

`rows`: each worker takes equally many rows, one at a time (one row to a warp in GraphBLAST). `groups`: neighbour groups of
a fixed number of nonzeros, each summed apart and added to its row atomically (GNNAdvisor, OSDI 2021, whose automatic group
size is the mean degree). Both for float32 and matrices of ones.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from effml.kernels import Csr
from effml.kernels.spmm.partition import edge_groups
from effml.kernels.threads import worker_threads


def rows(adj: Csr, x: Tensor) -> Tensor:
    """`adj @ x`, equal rows for each worker."""
    out = x.new_empty(adj.rows, x.shape[1])
    _rows(adj.indptr.numpy(), adj.indices.numpy(), x.numpy(), out.numpy(), worker_threads())
    return out


def groups(adj: Csr, x: Tensor) -> Tensor:
    """`adj @ x`, neighbour groups of the mean degree, added atomically."""
    out = x.new_zeros(adj.rows, x.shape[1])
    size = max(1, round(adj.nnz / max(1, adj.rows)))
    row, start, length = (t.numpy() for t in edge_groups(adj, size))
    _groups(row, start, length, adj.indices.numpy(), x.numpy(), out.numpy(), worker_threads())
    return out


_FAST = {"reassoc", "contract", "nsz"}


@numba.njit(parallel=True, nogil=True, fastmath=_FAST)
def _rows(indptr, indices, x, out, workers):
    share = (indptr.size - 1 + workers - 1) // workers
    for worker in numba.prange(workers):
        for row in range(worker * share, min((worker + 1) * share, indptr.size - 1)):
            target = out[row]
            target[:] = 0
            for e in range(indptr[row], indptr[row + 1]):
                source = x[indices[e]]
                for d in range(x.shape[1]):
                    target[d] += source[d]


@numba.njit(parallel=True, nogil=True, fastmath=_FAST)
def _groups(row, start, length, indices, x, out, workers):
    share = (row.size + workers - 1) // workers
    for worker in numba.prange(workers):
        partial = np.empty(x.shape[1], np.float32)
        for g in range(worker * share, min((worker + 1) * share, row.size)):
            partial[:] = 0
            for e in range(start[g], start[g] + length[g]):
                source = x[indices[e]]
                for d in range(x.shape[1]):
                    partial[d] += source[d]
            address = np.uint64(out.ctypes.data) + np.uint64(4 * row[g] * x.shape[1])
            for d in range(x.shape[1]):
                _atomic_add(address + np.uint64(4 * d), partial[d])  # type: ignore[call-arg]


@intrinsic
def _atomic_add(context, address, value):
    """Add a float32 to what is at `address`, as one atomic step."""

    def codegen(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.FloatType().as_pointer())
        builder.atomic_rmw("fadd", pointer, arguments[1], "monotonic")
        return context.get_dummy_value()

    return types.void(types.uint64, types.float32), codegen
