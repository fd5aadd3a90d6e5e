"""`A @ CBSR` for CPUs with AVX-512: each packed row is expanded in registers by its column mask, nothing is scattered.

A row of the result, up to 256 floats, is sixteen accumulators that never leave the registers. One neighbour costs sixteen
`vexpandps` and multiply-adds whatever k is, so this wins where k is large; a scatter of k values into the L1 cache wins
where k is small. Masks, 32 bytes a row, are made from the index at every call, 1-2 % of its time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from effml.kernels.maxk.vectors import FLOAT, LANES, SIZE, Emitter

MAX_COLUMNS = 256
_AHEAD = 16  # edges between a prefetch and its use
_LINE = 16  # floats in a cache line
_u = np.uint64


def pays(k: int, columns: int) -> bool:
    """Whether expanding is faster than scattering: sixteen lanes cost about as much as 2.5 scattered values."""
    return columns <= MAX_COLUMNS and 2 * k >= 5 * words(columns)


def words(columns: int) -> int:
    """Sixteen-column words of a row: 4, 8 or 16, each a kernel of its own."""
    return next(count for count in (4, 8, 16) if count * LANES >= columns)


@intrinsic
def _gather(typing_context, first, last, sources, weights, stride, values, masks, k, shape, total):
    """`total = sum over edges first .. last of weight * expanded(source)`; `shape` is a tuple as long as there are words."""

    def generate(context, builder, signature, arguments):
        def array(position: int):
            return context.make_array(signature.args[position])(context, builder, arguments[position])

        first, last, stride, k = (arguments[position] for position in (0, 1, 4, 7))
        sources, weights, values, masks, total = (array(position).data for position in (2, 3, 5, 6, 9))
        edges, count = array(2).nitems, signature.args[8].count
        emit = Emitter(builder)
        kind = emit.vector(FLOAT)
        zero = ir.Constant(kind, [0] * LANES)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(count)]
        for accumulator in sums:  # the value at allocation is set once, at the function's entry, not at every call here
            builder.store(zero, accumulator)

        def source_of(edge: ir.Value) -> ir.Value:
            return builder.zext(builder.load(builder.gep(sources, [edge])), SIZE)

        with cgutils.for_range_slice(builder, first, last, SIZE(1), SIZE) as (edge, _):
            later, final = builder.add(edge, SIZE(_AHEAD)), builder.sub(edges, SIZE(1))
            ahead = source_of(builder.select(builder.icmp_unsigned("<", later, final), later, final))
            emit.prefetch(builder.gep(masks, [builder.mul(ahead, SIZE(count))]))
            row = builder.mul(ahead, k)
            with cgutils.for_range_slice(builder, SIZE(0), k, SIZE(_LINE), SIZE) as (t, _):
                emit.prefetch(builder.gep(values, [builder.add(row, t)]))
            source = source_of(edge)
            weight = emit.splat(builder.load(builder.gep(weights, [builder.mul(edge, stride)])), FLOAT)
            address = builder.gep(values, [builder.mul(source, k)])
            mask_row = builder.mul(source, SIZE(count))
            for word, accumulator in enumerate(sums):
                bits = builder.load(builder.gep(masks, [builder.add(mask_row, SIZE(word))]))
                lanes = builder.bitcast(bits, ir.VectorType(ir.IntType(1), LANES))
                expanded = emit.expand_load(address, lanes)
                builder.store(emit.fma(weight, expanded, builder.load(accumulator)), accumulator)
                address = builder.gep(address, [emit.ones(bits)])
        for word, accumulator in enumerate(sums):
            emit.store(builder.load(accumulator), builder.gep(total, [SIZE(word * LANES)]))
        return context.get_dummy_value()

    return types.void(first, last, sources, weights, stride, values, masks, k, shape, total), generate


_gather_edges: Any = _gather


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def _spgemm(indptr, sources, weights, stride, values, masks, columns, k, shape, bounds, out):
    for chunk in prange(bounds.size - 1):
        total = np.empty(MAX_COLUMNS, np.float32)
        for row in range(_u(bounds[chunk]), _u(bounds[chunk + 1])):
            first, last = _u(indptr[row]), _u(indptr[row + _u(1)])
            _gather_edges(first, last, sources, weights, _u(stride), values, masks, _u(k), shape, total)
            target = row * _u(columns)
            for c in range(_u(columns)):
                out[target + c] = total[c]


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def _column_masks(index, rows, k, count, chunks, masks):
    """Sixteen columns a word, bit c % 16 of word c // 16; returns whether the columns of every row ascend."""
    unsorted = np.int64(0)
    for chunk in prange(chunks):
        wrong = np.int64(0)
        for row in range(rows * chunk // chunks, rows * (chunk + 1) // chunks):
            start, target = _u(row) * _u(k), _u(row) * _u(count)
            for word in range(_u(count)):
                masks[target + word] = 0
            before = np.int64(-1)
            for t in range(start, start + _u(k)):
                column = np.int64(index[t])
                wrong += column <= before
                before = column
                masks[target + _u(column >> 4)] |= np.uint16(1 << (column & 15))
        unsorted += np.int64(wrong)
    return unsorted == 0


def column_masks(index: np.ndarray, rows: int, k: int, columns: int, chunks: int) -> np.ndarray | None:
    """uint16 `[rows * words(columns)]` from the flat index `[rows * k]`; None where some row's columns do not ascend."""
    masks = np.empty(rows * words(columns), np.uint16)
    return masks if _column_masks(index, rows, k, words(columns), chunks, masks) else None


def spgemm(indptr, sources, weights, stride, values, masks, columns, k, bounds, out) -> None:
    """As `cpu._spgemm`, for float32 and up to 256 columns, with `masks` for the index."""
    shape = (0,) * words(columns)
    _spgemm(indptr, sources, weights, stride, values, masks, columns, k, shape, bounds, out)
