"""One strip of columns over all tasks: the compiled loop around `lanes.row_sum`, its arguments, its threads.

Compiled once for each `Strip` in a process (about a seventh of a second); the launch on several threads is compiled once
for all and kept on disk.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
from dataclasses import dataclass

import numba
import numpy as np
from torch import Tensor

from effml.kernels.csr import Csr
from effml.kernels.spmm.lanes import Strip, call, fence, fetch_add, load, row_sum
from effml.kernels.spmm.schedule import Schedule

# Places in the argument block.
_TAKEN, _TASKS, _COUNT, _INDPTR, _INDICES, _VALUES, _NNZ, _X, _STRIDE, _LAST, _OUT, _OUT_STRIDE, _SCRATCH, _SLOT = (
    range(14)
)


@dataclass(frozen=True)
class Pass:
    """A strip over the tasks of a matrix, ready for any x and result of one layout.

    Attributes:
        address: of the compiled loop.
        template: the argument block; the addresses of x, result and scratch hold byte offsets.
        held: what the addresses in the template point into.
    """

    address: int
    template: np.ndarray
    held: tuple[object, ...]

    def run(self, x: Tensor, out: Tensor, scratch: Tensor | None, threads: int) -> None:
        arguments = self.template.copy()
        arguments[_X] += x.data_ptr()
        arguments[_OUT] += out.data_ptr()
        if scratch is not None:
            arguments[_SCRATCH] += scratch.data_ptr()
        if threads == 1:
            _function(self.address)(arguments.ctypes.data)
        else:
            _on_threads(np.uint64(self.address), np.uint64(arguments.ctypes.data), threads)


def prepare(
    adj: Csr, schedule: Schedule, values: Tensor | None, strip: Strip, start: int, last: int, x: Tensor, out: Tensor
) -> Pass:
    """`strip` from column `start` on, its last vector `last` columns further, for x and results laid out as these."""
    indptr, indices = adj.indptr.contiguous(), adj.indices.contiguous()
    wide = 8 if strip.element == "double" else 4
    template = np.zeros(14, dtype=np.int64)
    template[_TASKS], template[_COUNT] = schedule.tasks.ctypes.data, len(schedule.tasks)
    template[_INDPTR], template[_INDICES] = indptr.data_ptr(), indices.data_ptr()
    template[_VALUES], template[_NNZ] = 0 if values is None else values.data_ptr(), adj.nnz
    template[_X], template[_STRIDE] = start * x.element_size(), x.stride(0) * x.element_size()
    template[_LAST] = last * x.element_size()
    template[_OUT], template[_OUT_STRIDE] = start * out.element_size(), out.stride(0) * out.element_size()
    template[_SCRATCH], template[_SLOT] = start * wide, x.shape[1] * wide
    return Pass(_compiled(strip).address, template, (indptr, indices, values, schedule))


@functools.cache
def _function(address: int):
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)


@numba.njit(parallel=True, nogil=True, cache=True)
def _on_threads(function, arguments, threads):
    for _ in numba.prange(threads):
        call(function, arguments)  # type: ignore[call-arg]


@functools.cache
def _compiled(strip: Strip):
    """Take tasks from the queue until there is none."""
    whole = row_sum(dataclasses.replace(strip, partial=False))
    piece = row_sum(dataclasses.replace(strip, partial=True, streamed=False))
    streamed = strip.streamed

    @numba.cfunc(numba.void(numba.types.CPointer(numba.int64)))
    def sweep(arguments):
        a = numba.carray(arguments, 14)
        taken = np.uint64(a.ctypes.data)  # the block begins with the number of tasks taken so far
        tasks, count, indptr = np.uint64(a[_TASKS]), a[_COUNT], np.uint64(a[_INDPTR])
        indices, values, nnz = np.uint64(a[_INDICES]), np.uint64(a[_VALUES]), a[_NNZ]
        x, stride, last = np.uint64(a[_X]), a[_STRIDE], a[_LAST]
        out, out_stride, scratch, slot_bytes = a[_OUT], a[_OUT_STRIDE], a[_SCRATCH], a[_SLOT]
        while True:
            number = fetch_add(taken)  # type: ignore[call-arg, var-annotated]
            if number >= count:
                break
            task = tasks + np.uint64(24 * number)
            start, end, slot = load(task), load(task + np.uint64(8)), load(task + np.uint64(16))
            if slot >= 0:
                piece(x, stride, last, indices, values, start, end, nnz, np.uint64(scratch + slot * slot_bytes))
                continue
            lo = load(indptr + np.uint64(8 * start))
            for row in range(start, end):
                hi = load(indptr + np.uint64(8 * (row + 1)))
                whole(x, stride, last, indices, values, lo, hi, nnz, np.uint64(out + row * out_stride))
                lo = hi
        if streamed:
            fence()

    return sweep
