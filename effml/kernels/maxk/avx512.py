"""The sampled backward of MaxK for CPUs with AVX-512: up to 256 columns of dY held in sixteen vector registers.

A row of dY of up to 256 floats fills half of the register file. Sampling it at 16 positions is then eight two-register
permutes (`vpermt2ps`, 5 bits of the position each) and seven blends on the other bits, against 16 scalar loads and
stores; rows of at most 8 go two at a time. Other processors, other dtypes and wider rows take the kernel in `cpu.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from effml.kernels.maxk.vectors import BYTE, FLOAT, LANES, SIZE, WORD, Emitter

MAX_COLUMNS = 256
HALF = LANES // 2
_AHEAD = 16  # edges between a prefetch and its use
_u = np.uint64


class _Sampling:
    """What both kernels emit: the row of dY as a table in registers, and the addresses of an edge."""

    def __init__(self, context, builder, signature, arguments) -> None:
        def array(position: int):
            return context.make_array(signature.args[position])(context, builder, arguments[position])

        self.builder, self.emit = builder, Emitter(builder)
        self.first, self.last, self.stride, self.k = (arguments[position] for position in (0, 1, 4, 7))
        self.sources, self.weights, dense, self.index, self.out = (array(position).data for position in (2, 3, 5, 6, 8))
        self.edges = array(2).nitems
        self.table = [self.emit.load(builder.gep(dense, [SIZE(LANES * q)]), FLOAT) for q in range(MAX_COLUMNS // LANES)]

    def row_start(self, edge: ir.Value) -> ir.Value:
        """Where the packed row of this edge's source begins."""
        source = self.builder.load(self.builder.gep(self.sources, [edge]))
        return self.builder.mul(self.builder.zext(source, SIZE), self.k)

    def weight(self, edge: ir.Value) -> ir.Value:
        """The edge's weight in every lane."""
        place = self.builder.mul(edge, self.stride)
        return self.emit.splat(self.builder.load(self.builder.gep(self.weights, [place])), FLOAT)

    def prefetch(self, edge: ir.Value, distance: int) -> None:
        """Ask for the index row and the packed row of an edge further on."""
        builder, emit = self.builder, self.emit
        later, final = builder.add(edge, SIZE(distance)), builder.sub(self.edges, SIZE(1))
        ahead = self.row_start(builder.select(builder.icmp_unsigned("<", later, final), later, final))
        emit.prefetch(builder.gep(self.index, [ahead]))
        with cgutils.for_range_slice(builder, SIZE(0), self.k, SIZE(LANES), SIZE) as (t, _):
            emit.prefetch(builder.gep(self.out, [builder.add(ahead, t)]))

    def positions(self, offset: ir.Value, mask: ir.Value) -> ir.Value:
        """Columns from `index[offset]` on in the lanes of the mask, 0 in the others."""
        columns = self.emit.masked_load(self.builder.gep(self.index, [offset]), mask, BYTE)
        return self.builder.zext(columns, self.emit.vector(WORD))

    def add(self, offset: ir.Value, mask: ir.Value, weight: ir.Value, sampled: ir.Value) -> None:
        """`out[offset + lane] += weight * sampled` in the lanes of the mask."""
        target = self.builder.gep(self.out, [offset])
        old = self.emit.masked_load(target, mask, FLOAT)
        self.emit.masked_store(self.emit.fma(weight, sampled, old), target, mask)

    def one_edge(self, edge: ir.Value) -> None:
        builder, emit = self.builder, self.emit
        start, weight = self.row_start(edge), self.weight(edge)
        with cgutils.for_range_slice(builder, SIZE(0), self.k, SIZE(LANES), SIZE) as (t, _):
            here, inside = builder.add(start, t), emit.lanes_below(builder.sub(self.k, t))
            self.add(here, inside, weight, emit.look_up(self.table, self.positions(here, inside)))

    def two_edges(self, edge: ir.Value, low: ir.Value, high: ir.Value, upper: ir.Value) -> None:
        """Edge and its successor in one look-up: rows of at most 8, one in the lower lanes and one in the upper."""
        builder = self.builder
        following = builder.add(edge, SIZE(1))
        start = self.row_start(edge)
        shifted = builder.sub(self.row_start(following), SIZE(HALF))  # so that lane 8 meets the row's first value
        positions = builder.or_(self.positions(start, low), self.positions(shifted, high))
        sampled = self.emit.look_up(self.table, positions)
        weight = builder.select(upper, self.weight(following), self.weight(edge))
        self.add(start, low, weight, sampled)
        self.add(shifted, high, weight, sampled)  # after the other's store: both may be the same row


@intrinsic
def _sample(typing_context, first, last, sources, weights, stride, dense, index, k, out):
    """For edges `first .. last` of one row: `out[s * k + t] += weight * dense[index[s * k + t]]`, s the edge's source.

    `dense` is one row of dY, zero-padded to 256 floats; an edge's weight is `weights[edge * stride]`.
    """

    def generate(context, builder, signature, arguments):
        row = _Sampling(context, builder, signature, arguments)
        with cgutils.for_range_slice(builder, row.first, row.last, SIZE(1), SIZE) as (edge, _):
            row.prefetch(edge, _AHEAD)
            row.one_edge(edge)
        return context.get_dummy_value()

    return types.void(first, last, sources, weights, stride, dense, index, k, out), generate


@intrinsic
def _sample_narrow(typing_context, first, last, sources, weights, stride, dense, index, k, out):
    """As `_sample` for k of at most 8, two edges at a time: half of the look-ups."""

    def generate(context, builder, signature, arguments):
        row = _Sampling(context, builder, signature, arguments)
        low = row.emit.lanes_below(row.k)
        upper = builder.not_(row.emit.lanes_below(SIZE(HALF)))
        high = builder.and_(upper, row.emit.lanes_below(builder.add(row.k, SIZE(HALF))))
        pairs = builder.and_(builder.sub(row.last, row.first), SIZE(-2))
        paired = builder.add(row.first, pairs)
        with cgutils.for_range_slice(builder, row.first, paired, SIZE(2), SIZE) as (edge, _):
            row.prefetch(edge, 2 * _AHEAD)
            row.prefetch(edge, 2 * _AHEAD + 1)
            row.two_edges(edge, low, high, upper)
        with cgutils.for_range_slice(builder, paired, row.last, SIZE(1), SIZE) as (edge, _):
            row.one_edge(edge)
        return context.get_dummy_value()

    return types.void(first, last, sources, weights, stride, dense, index, k, out), generate


_sample_edges: Any = _sample
_sample_pairs: Any = _sample_narrow


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def sspmm(split, row_bounds, blocks, sources, weights, stride, grad, index, columns, k, out):
    """As `cpu._sspmm`, for float32, uint8 index and up to 256 columns."""
    for task in prange((row_bounds.size - 1) * blocks):
        group, block = task // blocks, task % blocks
        dense = np.zeros(MAX_COLUMNS, np.float32)
        for row in range(row_bounds[group], row_bounds[group + 1]):
            first, last = _u(split[row, block]), _u(split[row, block + 1])
            if first == last:
                continue
            start = _u(row) * _u(columns)
            for c in range(_u(columns)):
                dense[c] = grad[start + c]
            if k <= HALF:
                _sample_pairs(first, last, sources, weights, _u(stride), dense, index, _u(k), out[group])
            else:
                _sample_edges(first, last, sources, weights, _u(stride), dense, index, _u(k), out[group])
