"""The inner loop of the CPU kernel, written as LLVM vectors: one row of the product, kept in registers from end to end.

    out[0:width] = sum over e in [lo, hi) of values[e] * x[indices[e]][0:width]

`width` is `vectors` times `lanes` numbers, each vector one accumulator. LLVM lowers the vectors to whatever the host
has (AVX-512, AVX2, NEON). A last vector that would stick out is moved back and overlaps its neighbour: what it computes
twice is equal, so any width costs no scalar tail. While row `indices[e]` is added, row `indices[e + ahead]` is
prefetched, across the ends of rows: the gather is bound by latency otherwise. Numbers narrower than 32 bits are widened
on load and rounded to nearest, ties to even, on store. Knows nothing of matrices, threads or torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

CACHE_LINE = 64
BYTES = {"float": 4, "double": 8, "half": 2, "bfloat": 2}

_byte, _short, _int, _long = (ir.IntType(bits) for bits in (8, 16, 32, 64))


@dataclass(frozen=True)
class Strip:
    """What the loop is specialised for.

    Args:
        element: type of x and of the result: float, double, half or bfloat. All but double are summed as float.
        lanes: numbers in one vector, a power of two.
        vectors: accumulators; they should fit the register file (8 of 16 floats leave room on AVX-512).
        weighted: whether nonzeros have values (float, or double where x is double) or are all 1.
        ahead: nonzeros between the prefetch and the use of a row; 0 for no prefetch.
        aligned: rows of x and of the result start at a cache line.
        streamed: write the result past the caches; needs `aligned`, and a fence before another thread reads it.
        partial: write the sums unrounded (float or double), for a row whose nonzeros are cut into pieces.
    """

    element: str
    lanes: int
    vectors: int
    weighted: bool
    ahead: int
    aligned: bool = False
    streamed: bool = False
    partial: bool = False

    @property
    def sum_type(self) -> ir.Type:
        return ir.DoubleType() if self.element == "double" else ir.FloatType()


def row_sum(strip: Strip) -> Any:
    """The loop as a numba intrinsic.

    `(x, stride, last, indices, values, lo, hi, nnz, out)`: addresses of x's first column here, of the nonzeros' columns
    (int32) and values, and of the row to write; bytes between rows of x; bytes from the first to the last vector in x;
    the row's nonzeros; and where the matrix ends, beyond which nothing is read.
    """

    @intrinsic
    def intrinsic_row_sum(context, x, stride, last, indices, values, lo, hi, nnz, out):
        def codegen(context, builder, signature, arguments):
            _Loop(strip, builder, *arguments).emit()
            return context.get_dummy_value()

        address, integer = types.uint64, types.int64
        signature = (address, integer, integer, address, address, integer, integer, integer, address)
        return types.void(*signature), codegen

    return intrinsic_row_sum


class _Loop:
    """Emits the loop at the builder's position."""

    def __init__(self, strip: Strip, builder, x, stride, last, indices, values, lo, hi, nnz, out) -> None:
        self.strip, self.b = strip, builder
        self.x, self.stride, self.last, self.lo, self.hi, self.nnz, self.out = x, stride, last, lo, hi, nnz, out
        self.vector = ir.VectorType(strip.sum_type, strip.lanes)
        self.indices = builder.inttoptr(indices, _int.as_pointer())
        self.values = builder.inttoptr(values, strip.sum_type.as_pointer())

    def emit(self) -> None:
        b, strip = self.b, self.strip
        before, head = b.block, b.append_basic_block("row.head")
        body, done = b.append_basic_block("row.body"), b.append_basic_block("row.done")
        b.branch(head)
        b.position_at_end(head)
        e = b.phi(_long)
        sums = [b.phi(self.vector) for _ in range(strip.vectors)]
        e.add_incoming(self.lo, before)
        for total in sums:
            total.add_incoming(ir.Constant(self.vector, [0.0] * strip.lanes), before)
        b.cbranch(b.icmp_signed("<", e, self.hi), body, done)

        b.position_at_end(body)
        if strip.ahead:
            self._prefetch(e)
        row = self._row_address(e)
        weight = self._splat(b.load(b.gep(self.values, [e]))) if strip.weighted else None
        added = []
        for offset, total in zip(self._offsets(BYTES[strip.element]), sums, strict=True):
            term = self._load(b.add(row, offset))
            added.append(self._fma(term, weight, total) if strip.weighted else b.fadd(total, term))
        e.add_incoming(b.add(e, _constant(1)), body)
        for total, value in zip(sums, added, strict=True):
            total.add_incoming(value, body)
        b.branch(head)

        b.position_at_end(done)
        element = strip.element if not strip.partial else ("double" if strip.element == "double" else "float")
        for offset, total in zip(self._offsets(BYTES[element]), sums, strict=True):
            self._store(element, total, b.add(self.out, offset))

    def _offsets(self, size: int) -> list[ir.Value]:
        """Bytes to each vector in a row of numbers of `size` bytes; `last` counts x's bytes."""
        fixed = [_constant(i * self.strip.lanes * size) for i in range(self.strip.vectors - 1)]
        scale = size // BYTES[self.strip.element]
        return [*fixed, self.b.mul(self.last, _constant(scale))]

    def _row_address(self, e: ir.Value) -> ir.Value:
        column = self.b.zext(self.b.load(self.b.gep(self.indices, [e])), _long)
        return self.b.add(self.x, self.b.mul(column, self.stride))

    def _prefetch(self, e: ir.Value) -> None:
        b, strip = self.b, self.strip
        ahead = b.add(e, _constant(strip.ahead))
        row = self._row_address(b.select(b.icmp_signed("<", ahead, self.nnz), ahead, e))
        size = strip.lanes * strip.vectors * BYTES[strip.element]
        # A row that does not start at a line ends in one line more, touched by its last byte.
        offsets = [*range(0, size, CACHE_LINE), *([] if strip.aligned else [size - 1])]
        kind = ir.FunctionType(ir.VoidType(), [_byte.as_pointer(), _int, _int, _int])
        prefetch = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
        for offset in offsets:  # into the second level: a fifth faster at 256 columns than into the first
            line = b.inttoptr(b.add(row, _constant(offset)), _byte.as_pointer())
            b.call(prefetch, [line, _constant(0, _int), _constant(2, _int), _constant(1, _int)])

    def _load(self, address: ir.Value) -> ir.Value:
        b, element = self.b, self.strip.element
        if element in ("float", "double"):
            return b.load(b.inttoptr(address, self.vector.as_pointer()), align=BYTES[element])
        if element == "half":
            narrow = ir.VectorType(ir.HalfType(), self.strip.lanes)
            return b.fpext(b.load(b.inttoptr(address, narrow.as_pointer()), align=2), self.vector)
        narrow, wide = self._integers(_short), self._integers(_int)
        bits = b.zext(b.load(b.inttoptr(address, narrow.as_pointer()), align=2), wide)
        return b.bitcast(b.shl(bits, self._same(wide, 16)), self.vector)

    def _store(self, element: str, total: ir.Value, address: ir.Value) -> None:
        b = self.b
        if element == "half":
            total = b.fptrunc(total, ir.VectorType(ir.HalfType(), self.strip.lanes))
        elif element == "bfloat":
            total = self._to_bfloat(total)
        align = min(CACHE_LINE, self.strip.lanes * BYTES[element]) if self.strip.streamed else BYTES[element]
        store = b.store(total, b.inttoptr(address, total.type.as_pointer()), align=align)
        if self.strip.streamed:
            store.set_metadata("nontemporal", b.module.add_metadata([_constant(1, _int)]))

    def _to_bfloat(self, total: ir.Value) -> ir.Value:
        """The upper half of each float, rounded to nearest even; a NaN keeps its upper half, made quiet."""
        b, wide = self.b, self._integers(_int)
        bits = b.bitcast(total, wide)
        high = b.lshr(bits, self._same(wide, 16))
        odd = b.and_(high, self._same(wide, 1))
        rounded = b.lshr(b.add(bits, b.add(odd, self._same(wide, 0x7FFF))), self._same(wide, 16))
        nan = b.fcmp_unordered("uno", total, total)
        return b.trunc(b.select(nan, b.or_(high, self._same(wide, 0x40)), rounded), self._integers(_short))

    def _fma(self, *operands: ir.Value) -> ir.Value:
        suffix = f"v{self.strip.lanes}f{64 if self.strip.element == 'double' else 32}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        return self.b.call(cgutils.get_or_insert_function(self.b.module, kind, f"llvm.fma.{suffix}"), operands)

    def _splat(self, scalar: ir.Value) -> ir.Value:
        empty = ir.Constant(self.vector, ir.Undefined)
        first = self.b.insert_element(empty, scalar, _constant(0, _int))
        return self.b.shuffle_vector(first, empty, self._same(self._integers(_int), 0))

    def _integers(self, kind: ir.IntType) -> ir.VectorType:
        return ir.VectorType(kind, self.strip.lanes)

    def _same(self, kind: ir.VectorType, value: int) -> ir.Constant:
        return ir.Constant(kind, [value] * self.strip.lanes)


def _constant(value: int, kind: ir.IntType = _long) -> ir.Constant:
    return ir.Constant(kind, value)


@intrinsic
def fetch_add(context, address):
    """Add 1 to the int64 at `address` and return what was there, as one atomic step: a queue of tasks."""

    def codegen(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], _long.as_pointer())
        return builder.atomic_rmw("add", pointer, _constant(1), "monotonic")

    return types.int64(types.uint64), codegen


@intrinsic
def fence(context):
    """Make this thread's streamed writes visible to the others."""

    def codegen(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def call(context, address, argument):
    """Call the C function `void f(int64*)` at `address`."""

    def codegen(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [_long.as_pointer()])
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        builder.call(function, [builder.inttoptr(arguments[1], _long.as_pointer())])
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), codegen


@intrinsic
def load(context, address):
    """The int64 at `address`."""

    def codegen(context, builder, signature, arguments):
        return builder.load(builder.inttoptr(arguments[0], _long.as_pointer()))

    return types.int64(types.uint64), codegen
