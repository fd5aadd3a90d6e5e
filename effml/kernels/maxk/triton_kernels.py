"""The Triton kernels of MaxK; launched from `gpu.py`.

Triton has neither a scatter into registers nor addressable shared memory, so the forward turns the scatter around: each
of 256 columns works out whether, and at which rank, the neighbour stores it, from 32-bit words of a column mask and the
number of values before each word. The backward gathers from one row of dY, which stays in the L1 cache, and adds with
atomics to k contiguous floats.

Weights are read with a stride, 0 for an unweighted adjacency. Offsets into N * H and N * k are 64 bits wide.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def select_kernel(
    x_ptr, values_ptr, index_ptr, rows, columns, k, row_stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """`ROWS` rows a program: bisect on the bits as ordered integers, then write the kept in column order."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    x = tl.load(x_ptr + row[:, None] * row_stride + column[None, :], mask=inside, other=0.0)
    bits = x.to(tl.float32).to(tl.int32, bitcast=True)
    magnitude = bits & 0x7FFFFFFF
    keys = tl.where(bits < 0, -magnitude, magnitude)  # sign and magnitude to two's complement
    keys = tl.where(magnitude > 0x7F800000, 0x7FFFFFFF, keys)  # NaN of either sign is the largest
    lowest = tl.where(inside, keys, 0x7FFFFFFF)
    keys = tl.where(inside, keys, -0x80000000)  # less than any key of a float
    low, high = tl.min(lowest, 1), tl.max(keys, 1)
    high = tl.maximum(high, low)  # rows beyond the last have neither
    # Invariant: at least k keys are >= low, fewer than k are > high; rows that have converged stay as they are.
    while tl.max((high > low).to(tl.int32), 0) > 0:
        middle = (low | high) - ((low ^ high) >> 1)  # mean rounded up, without overflow
        enough = tl.sum((keys >= middle[:, None]).to(tl.int32), 1) >= k
        low = tl.where(enough, middle, low)
        high = tl.where(enough, high, middle - 1)
    above = keys > low[:, None]
    tied = keys == low[:, None]
    room = k - tl.sum(above.to(tl.int32), 1)
    kept = above | (tied & (tl.cumsum(tied.to(tl.int32), 1) <= room[:, None]))
    kept = kept & inside
    target = row[:, None] * k + tl.cumsum(kept.to(tl.int32), 1) - 1
    tl.store(values_ptr + target, x, mask=kept)
    tl.store(index_ptr + target, (column[None, :] + tl.zeros_like(keys)).to(index_ptr.dtype.element_ty), mask=kept)


@triton.jit
def move_kernel(values_ptr, dense_ptr, index_ptr, count, columns, k, TO_DENSE: tl.constexpr, BLOCK: tl.constexpr):
    """Stored values to their dense places, or dense entries at those places to values."""
    slot = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = slot < count
    column = tl.load(index_ptr + slot, mask=inside, other=0).to(tl.int64)
    place = slot // k * columns + column
    if TO_DENSE:
        tl.store(dense_ptr + place, tl.load(values_ptr + slot, mask=inside, other=0.0), mask=inside)
    else:
        tl.store(values_ptr + slot, tl.load(dense_ptr + place, mask=inside, other=0.0), mask=inside)


@triton.jit
def mask_kernel(index_ptr, mask_ptr, before_ptr, k, words, K: tl.constexpr, WORDS: tl.constexpr):
    """A row's columns as 32-bit mask words, and the number of stored values before each word."""
    row = tl.program_id(0).to(tl.int64)
    slot, word = tl.arange(0, K), tl.arange(0, WORDS)
    column = tl.load(index_ptr + row * k + slot, mask=slot < k, other=0).to(tl.int32)
    stored = (slot < k)[:, None]
    here = stored & (column[:, None] // 32 == word[None, :])
    mask = tl.sum(tl.where(here, 1 << (column % 32)[:, None], 0), 0)  # bits are distinct: their sum is their union
    before = tl.sum((stored & (column[:, None] // 32 < word[None, :])).to(tl.int32), 0)
    tl.store(mask_ptr + row * words + word, mask, mask=word < words)
    tl.store(before_ptr + row * words + word, before.to(before_ptr.dtype.element_ty), mask=word < words)


@triton.jit
def _set_bits(x):
    """Number of set bits of each 32-bit word, in the form that LLVM knows as one instruction."""
    x = x.to(tl.uint32, bitcast=True)
    x = x - ((x >> 1) & 0x55555555)
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F
    return ((x * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def spgemm_kernel(
    row_ptr,
    start_ptr,
    length_ptr,
    indptr_ptr,
    indices_ptr,
    weights_ptr,
    weight_stride,
    values_ptr,
    mask_ptr,
    before_ptr,
    out_ptr,
    columns,
    k,
    GROUP: tl.constexpr,
    ALL_WORDS: tl.constexpr,
    WORDS: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """One edge group and WORDS of the ALL_WORDS mask words a program: the sum of its neighbours' rows."""
    group = tl.program_id(0)
    row = tl.load(row_ptr + group).to(tl.int64)
    start = tl.load(start_ptr + group)
    length = tl.load(length_ptr + group)
    word = tl.program_id(1) * WORDS + tl.arange(0, WORDS)
    bit = tl.arange(0, 32)
    lower = ((1 << bit) - 1)[None, :]
    total = tl.zeros([WORDS, 32], dtype=tl.float32)
    for first in range(0, length, UNROLL):
        for step in tl.static_range(UNROLL):
            valid = first + step < length
            edge = start + first + step
            source = tl.load(indices_ptr + edge, mask=valid, other=0).to(tl.int64)
            weight = tl.load(weights_ptr + edge * weight_stride, mask=valid, other=0.0)
            place = source * ALL_WORDS + word
            if ALL_WORDS % WORDS == 0:  # unmasked, several words load at once
                mask, before = tl.load(mask_ptr + place), tl.load(before_ptr + place)
            else:
                mask = tl.load(mask_ptr + place, mask=word < ALL_WORDS, other=0)
                before = tl.load(before_ptr + place, mask=word < ALL_WORDS, other=0)
            mask = tl.where(valid, mask, 0)  # beyond the group's end stands row 0, whose NaN must not leak
            rank = before[:, None].to(tl.int32) + _set_bits(mask[:, None] & lower)
            stored = ((mask[:, None] >> bit[None, :]) & 1) != 0
            value = tl.load(values_ptr + source * k + rank, mask=stored, other=0.0)
            total += weight * value.to(tl.float32)
    column = word[:, None] * 32 + bit[None, :]
    target = out_ptr + row * columns + column
    degree = tl.load(indptr_ptr + row + 1) - tl.load(indptr_ptr + row)
    if degree <= GROUP:
        tl.store(target, total, mask=column < columns)
    else:  # the groups of a long row meet here
        tl.atomic_add(target, total, mask=column < columns, sem="relaxed")


@triton.jit
def sspmm_kernel(
    row_ptr,
    start_ptr,
    length_ptr,
    indices_ptr,
    weights_ptr,
    weight_stride,
    grad_ptr,
    index_ptr,
    out_ptr,
    columns,
    k,
    K: tl.constexpr,
    EDGES: tl.constexpr,
):
    """One edge group a program, EDGES of its edges at a time: sample one row of dY at the neighbours' places."""
    group = tl.program_id(0)
    row = tl.load(row_ptr + group).to(tl.int64)
    start = tl.load(start_ptr + group)
    length = tl.load(length_ptr + group)
    slot = tl.arange(0, K)
    for first in range(0, length, EDGES):
        step = first + tl.arange(0, EDGES)
        valid = step < length
        source = tl.load(indices_ptr + start + step, mask=valid, other=0).to(tl.int64)
        weight = tl.load(weights_ptr + (start + step) * weight_stride, mask=valid, other=0.0)
        inside = valid[:, None] & (slot < k)[None, :]
        place = source[:, None] * k + slot[None, :]
        column = tl.load(index_ptr + place, mask=inside, other=0).to(tl.int32)
        sampled = tl.load(grad_ptr + row * columns + column, mask=inside, other=0.0)
        tl.atomic_add(out_ptr + place, weight[:, None] * sampled.to(tl.float32), mask=inside, sem="relaxed")
