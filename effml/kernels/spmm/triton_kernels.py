"""Triton programs of the sparse product: blocks of rows of one degree, long rows joined, products at the nonzeros.

A program has SLOTS nonzeros under way at a time, dealt to ROWS rows with SLOTS / ROWS lanes each, across the whole width
of a tile: neighbouring threads read neighbouring columns of one row of x (the combined warp of Accel-GCN). All rows of a
block have one degree, so no lane waits for another. Offsets are 64-bit; sums are kept in SUM. Launched by `gpu`.
"""

import triton
import triton.language as tl


@triton.jit
def multiply_kernel(
    x,
    indices,
    values,
    blocks,
    order,
    out,
    scratch,
    first_cut,
    width,
    x_stride,
    WEIGHTED: tl.constexpr,
    COLUMNS: tl.constexpr,
    SLOTS: tl.constexpr,
    SUM: tl.constexpr,
):
    """Program (b, t): columns t of the rows of block b; a piece of a long row goes to `scratch[b - first_cut]`."""
    block = tl.program_id(0)
    degree = tl.load(blocks + 4 * block)
    first = tl.load(blocks + 4 * block + 1)
    low = tl.load(blocks + 4 * block + 2)
    info = tl.load(blocks + 4 * block + 3)
    start = (low.to(tl.int64) & 0xFFFFFFFF) | ((info >> 8).to(tl.int64) << 32)
    rows = info & 0xFF
    if rows == 0:
        target = scratch + (block - first_cut).to(tl.int64) * width
        _rows(target, order, x, indices + start, values + start, degree, 0, 1, width, x_stride,
              False, WEIGHTED, 1, COLUMNS, SLOTS, SUM)  # fmt: skip
    elif degree <= 4:
        _rows(out, order, x, indices + start, values + start, degree, first, rows, width, x_stride,
              True, WEIGHTED, SLOTS, COLUMNS, SLOTS, SUM)  # fmt: skip
    elif degree <= 32:
        _rows(out, order, x, indices + start, values + start, degree, first, rows, width, x_stride,
              True, WEIGHTED, SLOTS // 4, COLUMNS, SLOTS, SUM)  # fmt: skip
    elif degree <= 64:
        _rows(out, order, x, indices + start, values + start, degree, first, rows, width, x_stride,
              True, WEIGHTED, SLOTS // 8, COLUMNS, SLOTS, SUM)  # fmt: skip
    elif degree <= 128:
        _rows(out, order, x, indices + start, values + start, degree, first, rows, width, x_stride,
              True, WEIGHTED, SLOTS // 16, COLUMNS, SLOTS, SUM)  # fmt: skip
    elif degree <= 256:
        _rows(out, order, x, indices + start, values + start, degree, first, rows, width, x_stride,
              True, WEIGHTED, SLOTS // 32, COLUMNS, SLOTS, SUM)  # fmt: skip
    else:
        _rows(out, order, x, indices + start, values + start, degree, first, rows, width, x_stride,
              True, WEIGHTED, SLOTS // 64, COLUMNS, SLOTS, SUM)  # fmt: skip


@triton.jit
def _rows(
    out,
    order,
    x,
    indices,
    values,
    degree,
    first,
    rows,
    width,
    x_stride,
    ORDERED: tl.constexpr,
    WEIGHTED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SLOTS: tl.constexpr,
    SUM: tl.constexpr,
):
    LANES: tl.constexpr = SLOTS // ROWS
    slot = tl.arange(0, SLOTS)
    lane = slot % LANES
    begin = (slot // LANES) * degree
    mine = slot // LANES < rows
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    total = tl.zeros((SLOTS, COLUMNS), SUM)
    for step in range(0, degree, LANES):
        live = mine & (step + lane < degree)
        source = tl.load(indices + begin + step + lane, mask=live, other=0).to(tl.int64)
        address = x + source[:, None] * x_stride + column[None, :]
        term = tl.load(address, mask=live[:, None] & inside[None, :], other=0).to(SUM)
        if WEIGHTED:
            weight = tl.load(values + begin + step + lane, mask=live, other=0)
            total += weight[:, None] * term
        else:
            total += term
    if LANES > 1:
        total = tl.sum(tl.reshape(total, (ROWS, LANES, COLUMNS)), axis=1)
    row = tl.arange(0, ROWS)
    place = tl.zeros((ROWS,), tl.int64)
    if ORDERED:
        place = tl.load(order + first + row, mask=row < rows, other=0).to(tl.int64)
    target = out + place[:, None] * width + column[None, :]
    tl.store(target, total.to(out.dtype.element_ty), mask=(row < rows)[:, None] & inside[None, :])


@triton.jit
def join_kernel(scratch, first_piece, cut_rows, order, out, width, COLUMNS: tl.constexpr, SUM: tl.constexpr):
    """Program (i, t): columns t of the i-th long row from its pieces, always in the same order."""
    long = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    total = tl.zeros((COLUMNS,), SUM)
    begin = tl.load(first_piece + long)
    source = scratch + begin.to(tl.int64) * width + column
    for _ in range(begin, tl.load(first_piece + long + 1)):
        total += tl.load(source, mask=inside, other=0)
        source += width
    row = tl.load(order + tl.load(cut_rows + long)).to(tl.int64)
    tl.store(out + row * width + column, total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def sampled_kernel(
    left,
    right,
    rows,
    indices,
    out,
    nnz,
    width,
    NONZEROS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SUM: tl.constexpr,
):
    """Program p: products of the rows of `left` and `right` at NONZEROS nonzeros."""
    e = tl.program_id(0).to(tl.int64) * NONZEROS + tl.arange(0, NONZEROS)
    row = tl.load(rows + e, mask=e < nnz, other=0).to(tl.int64)
    column = tl.load(indices + e, mask=e < nnz, other=0).to(tl.int64)
    total = tl.zeros((NONZEROS, COLUMNS), SUM)
    for start in range(0, width, COLUMNS):
        d = start + tl.arange(0, COLUMNS)
        mask = (e < nnz)[:, None] & (d < width)[None, :]
        a = tl.load(left + row[:, None] * width + d[None, :], mask=mask, other=0).to(SUM)
        b = tl.load(right + column[:, None] * width + d[None, :], mask=mask, other=0).to(SUM)
        total += a * b
    tl.store(out + e, tl.sum(total, axis=1).to(out.dtype.element_ty), mask=e < nnz)
