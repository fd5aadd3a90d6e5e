"""The sampled backward of MaxK for CPUs with AVX-512: up to 256 columns of dY held in sixteen vector registers.

A row of dY of up to 256 floats fills half of the register file. Sampling it at 16 positions is then eight two-register
permutes (`vpermt2ps`, 5 bits of the position each) and seven blends on the other bits, against 16 scalar loads and
stores. Other processors, other dtypes and wider rows take the portable kernel in `cpu.py`.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

MAX_COLUMNS = 256
_LANES = 16
_AHEAD = 16  # edges between a prefetch and its use
_u = np.uint64

_bit, _byte, _word, _float, _size = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.FloatType(), ir.IntType(64)


def supported() -> bool:
    """Whether this CPU has the instructions (F for the permutes; BW and VL for masked loads of bytes)."""
    features = llvmlite.binding.get_host_cpu_features()
    return all(features.get(name, False) for name in ("avx512f", "avx512bw", "avx512vl"))


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
        emit = _Emitter(builder)
        table = [emit.load(builder.gep(dense, [_size(_LANES * q)]), _float) for q in range(MAX_COLUMNS // _LANES)]

        def row_start(edge: ir.Value) -> ir.Value:
            return builder.mul(builder.zext(builder.load(builder.gep(sources, [edge])), _size), k)

        with cgutils.for_range_slice(builder, first, last, _size(1), _size) as (edge, _):
            later = builder.add(edge, _size(_AHEAD))
            final = builder.sub(edges, _size(1))
            ahead = row_start(builder.select(builder.icmp_unsigned("<", later, final), later, final))
            start = row_start(edge)
            weight = emit.splat(builder.load(builder.gep(weights, [builder.mul(edge, stride)])), _float)
            emit.prefetch(builder.gep(index, [ahead]))
            with cgutils.for_range_slice(builder, _size(0), k, _size(_LANES), _size) as (t, _):
                emit.prefetch(builder.gep(out, [builder.add(ahead, t)]))
                here = builder.add(start, t)
                inside = emit.lanes_below(builder.sub(k, t))
                positions = builder.zext(
                    emit.masked_load(builder.gep(index, [here]), inside, _byte), emit.vector(_word)
                )
                sampled = emit.look_up(table, positions)
                target = builder.gep(out, [here])
                old = emit.masked_load(target, inside, _float)
                emit.masked_store(emit.fma(weight, sampled, old), target, inside)
        return context.get_dummy_value()

    return types.void(first, last, sources, weights, stride, dense, index, k, out), generate


_sample_edges: Any = _sample


class _Emitter:
    """Vector instructions of 16 lanes that llvmlite's builder lacks."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def vector(self, element: ir.Type) -> ir.VectorType:
        return ir.VectorType(element, _LANES)

    def constant(self, values: list[int]) -> ir.Constant:
        return ir.Constant(self.vector(_word), values)

    def call(self, name: str, result: ir.Type, *arguments: ir.Value) -> ir.Value:
        form = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, form, name), arguments)

    def splat(self, scalar: ir.Value, element: ir.Type) -> ir.Value:
        undefined = ir.Constant(self.vector(element), ir.Undefined)
        single = self.builder.insert_element(undefined, scalar, _word(0))
        return self.builder.shuffle_vector(single, undefined, self.constant([0] * _LANES))

    def load(self, address: ir.Value, element: ir.Type) -> ir.Value:
        return self.builder.load(self.builder.bitcast(address, self.vector(element).as_pointer()), align=4)

    def lanes_below(self, count: ir.Value) -> ir.Value:
        """Mask of the lanes whose number is less than `count`."""
        most = self.builder.select(self.builder.icmp_unsigned("<", count, _size(_LANES)), count, _size(_LANES))
        limit = self.splat(self.builder.trunc(most, _word), _word)
        return self.builder.icmp_unsigned("<", self.constant(list(range(_LANES))), limit)

    def masked_load(self, address: ir.Value, mask: ir.Value, element: ir.Type) -> ir.Value:
        kind = self.vector(element)
        name = f"llvm.masked.load.v{_LANES}{'f32' if element is _float else 'i8'}.p0"
        zero = ir.Constant(kind, [0] * _LANES)
        return self.call(name, kind, self.builder.bitcast(address, kind.as_pointer()), _word(1), mask, zero)

    def masked_store(self, value: ir.Value, address: ir.Value, mask: ir.Value) -> None:
        pointer = self.builder.bitcast(address, value.type.as_pointer())
        self.call(f"llvm.masked.store.v{_LANES}f32.p0", ir.VoidType(), value, pointer, _word(4), mask)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        return self.call(f"llvm.fma.v{_LANES}f32", a.type, a, b, c)

    def prefetch(self, address: ir.Value) -> None:
        pointer = self.builder.bitcast(address, _byte.as_pointer())
        self.call("llvm.prefetch.p0", ir.VoidType(), pointer, _word(0), _word(3), _word(1))

    def look_up(self, table: list[ir.Value], positions: ir.Value) -> ir.Value:
        """`flat(table)[positions]` for 8-bit positions: permutes on the low 5 bits, a tree of blends on the others."""
        permute, kind = "llvm.x86.avx512.vpermi2var.ps.512", self.vector(_float)
        found = [
            self.call(permute, kind, low, positions, high) for low, high in zip(table[::2], table[1::2], strict=True)
        ]
        bit = 2 * _LANES
        while len(found) > 1:
            is_set = self.builder.icmp_unsigned(
                "!=", self.builder.and_(positions, self.constant([bit] * _LANES)), self.constant([0] * _LANES)
            )
            found = [self.builder.select(is_set, high, low) for low, high in zip(found[::2], found[1::2], strict=True)]
            bit *= 2
        return found[0]


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
