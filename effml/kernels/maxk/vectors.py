"""Vector instructions of sixteen 32-bit lanes (AVX-512) for numba intrinsics, which llvmlite's builder lacks."""

from __future__ import annotations

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils

LANES = 16

BIT, BYTE, HALF, WORD, SIZE = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
FLOAT = ir.FloatType()


def supported() -> bool:
    """Whether this CPU has the instructions (F for permutes and expansion; BW and VL for masked loads of bytes)."""
    features = llvmlite.binding.get_host_cpu_features()
    return all(features.get(name, False) for name in ("avx512f", "avx512bw", "avx512vl"))


class Emitter:
    """Emits at a builder's position."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def vector(self, element: ir.Type) -> ir.VectorType:
        return ir.VectorType(element, LANES)

    def constant(self, values: list[int]) -> ir.Constant:
        return ir.Constant(self.vector(WORD), values)

    def call(self, name: str, result: ir.Type, *arguments: ir.Value) -> ir.Value:
        form = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, form, name), arguments)

    def splat(self, scalar: ir.Value, element: ir.Type) -> ir.Value:
        undefined = ir.Constant(self.vector(element), ir.Undefined)
        single = self.builder.insert_element(undefined, scalar, WORD(0))
        return self.builder.shuffle_vector(single, undefined, self.constant([0] * LANES))

    def load(self, address: ir.Value, element: ir.Type) -> ir.Value:
        return self.builder.load(self.builder.bitcast(address, self.vector(element).as_pointer()), align=4)

    def lanes_below(self, count: ir.Value) -> ir.Value:
        """Mask of the lanes whose number is less than `count`."""
        most = self.builder.select(self.builder.icmp_unsigned("<", count, SIZE(LANES)), count, SIZE(LANES))
        limit = self.splat(self.builder.trunc(most, WORD), WORD)
        return self.builder.icmp_unsigned("<", self.constant(list(range(LANES))), limit)

    def masked_load(self, address: ir.Value, mask: ir.Value, element: ir.Type) -> ir.Value:
        kind = self.vector(element)
        name = f"llvm.masked.load.v{LANES}{'f32' if element is FLOAT else 'i8'}.p0"
        zero = ir.Constant(kind, [0] * LANES)
        return self.call(name, kind, self.builder.bitcast(address, kind.as_pointer()), WORD(1), mask, zero)

    def masked_store(self, value: ir.Value, address: ir.Value, mask: ir.Value) -> None:
        pointer = self.builder.bitcast(address, value.type.as_pointer())
        self.call(f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(), value, pointer, WORD(4), mask)

    def expand_load(self, address: ir.Value, mask: ir.Value) -> ir.Value:
        """Consecutive floats from `address` into the lanes of the mask, 0 into the others (`vexpandps`)."""
        kind = self.vector(FLOAT)
        zero = ir.Constant(kind, [0] * LANES)
        return self.call(f"llvm.masked.expandload.v{LANES}f32", kind, address, mask, zero)

    def ones(self, bits: ir.Value) -> ir.Value:
        """How many bits are set in a 16-bit word, as a 64-bit number."""
        form = ir.FunctionType(HALF, [HALF])
        count = self.builder.call(cgutils.get_or_insert_function(self.builder.module, form, "llvm.ctpop.i16"), [bits])
        return self.builder.zext(count, SIZE)

    def store(self, value: ir.Value, address: ir.Value) -> None:
        self.builder.store(value, self.builder.bitcast(address, value.type.as_pointer()), align=4)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        return self.call(f"llvm.fma.v{LANES}f32", a.type, a, b, c)

    def prefetch(self, address: ir.Value) -> None:
        pointer = self.builder.bitcast(address, BYTE.as_pointer())
        self.call("llvm.prefetch.p0", ir.VoidType(), pointer, WORD(0), WORD(3), WORD(1))

    def look_up(self, table: list[ir.Value], positions: ir.Value) -> ir.Value:
        """`flat(table)[positions]` for 8-bit positions: permutes on the low 5 bits, a tree of blends on the others."""
        permute, kind = "llvm.x86.avx512.vpermi2var.ps.512", self.vector(FLOAT)
        found = [
            self.call(permute, kind, low, positions, high) for low, high in zip(table[::2], table[1::2], strict=True)
        ]
        bit = 2 * LANES
        while len(found) > 1:
            is_set = self.builder.icmp_unsigned(
                "!=", self.builder.and_(positions, self.constant([bit] * LANES)), self.constant([0] * LANES)
            )
            found = [self.builder.select(is_set, high, low) for low, high in zip(found[::2], found[1::2], strict=True)]
            bit *= 2
        return found[0]
