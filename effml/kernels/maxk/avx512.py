"""The sampled backward of MaxK for CPUs with AVX-512: up to 256 columns of dY held in sixteen vector registers.

A row of dY of up to 256 floats fills half of the register file. Sampling it at 16 positions is then eight two-register
permutes (`vpermt2ps`, 5 bits of the position each) and seven blends on the other bits, against 16 scalar loads and
stores. Other processors, other dtypes and wider rows take the portable kernel in `cpu.py`.
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
_AHEAD = 16  # edges between a prefetch and its use
_u = np.uint64


@intrinsic
def _sample(typing_context, first, last, sources, weights, stride, dense, index, k, out):
    """For edges `first .. last` of one row: `out[s * k + t] += weight * dense[index[s * k + t]]`, s the edge's source.

    `dense` is one row of dY, zero-padded to 256 floats; an edge's weight is `weights[edge * stride]`.
    """

    def generate(context, builder, signature, arguments):
        def array(position: int):
            return context.make_array(signature.args[position])(context, builder, arguments[position])

        first, last, stride, k = (arguments[position] for position in (0, 1, 4, 7))
        sources, weights, dense, index, out = (array(position).data for position in (2, 3, 5, 6, 8))
        edges = array(2).nitems
        emit = Emitter(builder)
        table = [emit.load(builder.gep(dense, [SIZE(LANES * q)]), FLOAT) for q in range(MAX_COLUMNS // LANES)]

        def row_start(edge: ir.Value) -> ir.Value:
            return builder.mul(builder.zext(builder.load(builder.gep(sources, [edge])), SIZE), k)

        with cgutils.for_range_slice(builder, first, last, SIZE(1), SIZE) as (edge, _):
            later = builder.add(edge, SIZE(_AHEAD))
            final = builder.sub(edges, SIZE(1))
            ahead = row_start(builder.select(builder.icmp_unsigned("<", later, final), later, final))
            start = row_start(edge)
            weight = emit.splat(builder.load(builder.gep(weights, [builder.mul(edge, stride)])), FLOAT)
            emit.prefetch(builder.gep(index, [ahead]))
            with cgutils.for_range_slice(builder, SIZE(0), k, SIZE(LANES), SIZE) as (t, _):
                emit.prefetch(builder.gep(out, [builder.add(ahead, t)]))
                here = builder.add(start, t)
                inside = emit.lanes_below(builder.sub(k, t))
                positions = builder.zext(emit.masked_load(builder.gep(index, [here]), inside, BYTE), emit.vector(WORD))
                sampled = emit.look_up(table, positions)
                target = builder.gep(out, [here])
                old = emit.masked_load(target, inside, FLOAT)
                emit.masked_store(emit.fma(weight, sampled, old), target, inside)
        return context.get_dummy_value()

    return types.void(first, last, sources, weights, stride, dense, index, k, out), generate


_sample_edges: Any = _sample


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
            _sample_edges(first, last, sources, weights, _u(stride), dense, index, _u(k), out[group])
