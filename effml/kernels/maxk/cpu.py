"""MaxK selection, `A @ CBSR` and its sampled backward on CPU (numba); deterministic, no atomics.

Selection bisects on the bit patterns, read as integers that order like the floats they are. The forward scatters each
neighbour's k values into a row of accumulators that stays in the L1 cache. The backward splits the *columns* of A over
threads, so that no two of them add to the same row of dX. Both are bound by latency, not bandwidth, unless the rows that
the next edges name are prefetched. Where many columns are kept other ways are faster: see `expansion` and `_DENSE_SHARE`.

16-bit values are widened to float32 on the way in (k * rows of them, against nnz * k products) and the result rounded
once. An unweighted adjacency is one weight of 1 read with stride 0, so that it needs no second copy of each kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from effml.kernels import pages
from effml.kernels.csr import Csr
from effml.kernels.maxk import avx512, expansion, vectors
from effml.kernels.maxk.cbsr import index_dtype
from effml.kernels.spmm import cpu as spmm_cpu

_AHEAD = np.uint64(16)  # edges between a prefetch and its use; 8 to 32 measure alike
_CHUNKS = 64  # pieces of a parallel loop over rows
_SMALLEST_PARALLEL = 1 << 18  # numbers to touch
_MAX_COLUMN_BLOCKS = 8  # more would read dY once more each; further threads share rows instead
# Where more than 2/5 of the columns are kept, adding to 4k and reading k bytes an edge costs more than reading a whole row
# of dY: the dense product with the cached transpose, sampled afterwards, takes over.
_DENSE_SHARE = 2.5
_u = np.uint64  # unsigned offsets spare numba's test for negative indices and reach beyond 2^31

# The integer that carries a float's bits, and the bits of +infinity.
_BITS = {
    torch.float32: (torch.int32, np.int32(0x7F800000)),
    torch.float64: (torch.int64, np.int64(0x7FF0000000000000)),
}


@intrinsic
def _prefetch_line(typing_context, array, offset):
    """Ask for the cache line of `array[offset]` (1-D, contiguous). May point anywhere: a prefetch never faults."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        form = ir.FunctionType(ir.VoidType(), [address.type, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, form, "llvm.prefetch.p0")
        builder.call(function, [address, word(0), word(3), word(1)])  # read, keep close, data
        return context.get_dummy_value()

    return types.void(array, offset), generate


_prefetch: Any = _prefetch_line


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def _select(bits, rows, columns, k, infinity, values, index):
    integer = bits.dtype.type
    largest = integer(np.iinfo(bits.dtype).max)
    for chunk in prange(_CHUNKS):
        keys = np.empty(columns, bits.dtype)
        kept = np.empty(columns + 1, np.int32)
        for row in range(rows * chunk // _CHUNKS, rows * (chunk + 1) // _CHUNKS):
            start = _u(row) * _u(columns)
            low, high = largest, integer(-largest)
            for c in range(_u(columns)):
                word = bits[start + c]
                magnitude = integer(word & largest)
                key = integer(-magnitude) if word < 0 else magnitude  # sign and magnitude to two's complement
                key = largest if magnitude > infinity else key  # NaN of either sign is the largest, as torch has it
                keys[c] = key
                low, high = min(low, key), max(high, key)
            # Invariant: at least k keys are >= low, fewer than k are > high. At last low is the k-th largest key.
            exact = columns == k
            while low < high:
                middle = integer((low | high) - ((low ^ high) >> 1))  # mean rounded up, without overflow
                count = np.int32(0)
                for c in range(_u(columns)):
                    count += np.int32(keys[c] >= middle)
                if count >= k:
                    low = middle
                    if count == k:
                        exact = True
                        break
                else:
                    high = integer(middle - 1)
            filled = _u(0)
            if exact:
                for c in range(_u(columns)):
                    kept[filled] = np.int32(c)
                    filled += _u(keys[c] >= low)
            else:  # more than k keys reach the threshold: of those equal to it the first few are kept
                above = np.int32(0)
                for c in range(_u(columns)):
                    above += np.int32(keys[c] > low)
                ties = np.int32(k) - above
                for c in range(_u(columns)):
                    kept[filled] = np.int32(c)
                    tied = (keys[c] == low) & (ties > 0)
                    ties -= np.int32(tied)
                    filled += _u((keys[c] > low) | tied)
            target = _u(row) * _u(k)
            for t in range(_u(k)):
                index[target + t] = kept[t]
                values[target + t] = bits[start + _u(kept[t])]


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def _unpack(values, index, rows, columns, k, dense):
    for chunk in prange(_CHUNKS):
        for row in range(rows * chunk // _CHUNKS, rows * (chunk + 1) // _CHUNKS):
            start, target = _u(row) * _u(k), _u(row) * _u(columns)
            dense[target : target + _u(columns)] = 0
            for t in range(start, start + _u(k)):
                dense[target + _u(index[t])] = values[t]


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def _gather(dense, index, rows, columns, k, values):
    for chunk in prange(_CHUNKS):
        for row in range(rows * chunk // _CHUNKS, rows * (chunk + 1) // _CHUNKS):
            start, source = _u(row) * _u(k), _u(row) * _u(columns)
            for t in range(start, start + _u(k)):
                values[t] = dense[source + _u(index[t])]


@njit(inline="always")
def _prefetch_row(array, start, k, line):
    for t in range(_u(0), k, line):
        _prefetch(array, start + t)
    if k % line:
        _prefetch(array, start + k - _u(1))


@njit(parallel=True, nogil=True, fastmath={"contract"}, error_model="numpy", cache=True)
def _spgemm(indptr, sources, weights, stride, values, index, columns, k, bounds, out):
    edges, line = _u(sources.size), _u(64 // values.itemsize)
    for chunk in prange(bounds.size - 1):
        total = np.empty(columns, values.dtype)
        for row in range(_u(bounds[chunk]), _u(bounds[chunk + 1])):
            total[:] = 0
            for e in range(_u(indptr[row]), _u(indptr[row + _u(1)])):
                ahead = _u(sources[min(e + _AHEAD, edges - _u(1))]) * _u(k)
                _prefetch_row(values, ahead, _u(k), line)
                _prefetch_row(index, ahead, _u(k), _u(64))
                source = _u(sources[e]) * _u(k)
                weight = weights[e * _u(stride)]
                for t in range(source, source + _u(k)):
                    total[_u(index[t])] += weight * values[t]
            target = row * _u(columns)
            for c in range(_u(columns)):
                out[target + c] = total[c]


@njit(parallel=True, nogil=True, fastmath={"contract"}, error_model="numpy", cache=True)
def _sspmm(split, row_bounds, blocks, sources, weights, stride, grad, index, columns, k, out):
    """Task (g, b) takes the rows of group g and, of each, the edges whose source lies in column block b."""
    edges, line = _u(sources.size), _u(64 // grad.itemsize)
    for task in prange((row_bounds.size - 1) * blocks):
        group, block = task // blocks, task % blocks
        sampled, dense = np.empty(k, grad.dtype), np.empty(columns, grad.dtype)
        for row in range(row_bounds[group], row_bounds[group + 1]):
            first, last = _u(split[row, block]), _u(split[row, block + 1])
            if first == last:
                continue
            start = _u(row) * _u(columns)
            for c in range(_u(columns)):
                dense[c] = grad[start + c]
            for e in range(first, last):
                ahead = _u(sources[min(e + _AHEAD, edges - _u(1))]) * _u(k)
                for t in range(_u(0), _u(k), line):
                    _prefetch(out[group], ahead + t)
                _prefetch_row(index, ahead, _u(k), _u(64))
                source = _u(sources[e]) * _u(k)
                for t in range(_u(k)):
                    sampled[t] = dense[_u(index[source + t])]
                weight = weights[e * _u(stride)]
                for t in range(_u(k)):
                    out[group, source + t] += weight * sampled[t]


def select(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See `reference.select`."""
    (rows, columns), wide = x.shape, _widened(x.dtype)
    bits, infinity = _BITS[wide]
    values = pages.empty(rows, k, dtype=wide)
    index = pages.empty(rows, k, dtype=index_dtype(columns))
    with _on(_threads(x.numel())):
        _select(_flat(x.to(wide), bits), rows, columns, k, infinity, _flat(values, bits), _flat(index))
    return values.to(x.dtype), index


def unpack(values: Tensor, index: Tensor, columns: int) -> Tensor:
    """See `reference.unpack`."""
    (rows, k), wide = values.shape, _widened(values.dtype)
    dense = pages.empty(rows, columns, dtype=wide)
    with _on(_threads(dense.numel())):
        _unpack(_flat(values.to(wide)), _flat(index), rows, columns, k, _flat(dense))
    return dense.to(values.dtype)


def gather(dense: Tensor, index: Tensor) -> Tensor:
    """See `reference.gather`."""
    (rows, k), wide = index.shape, _widened(dense.dtype)
    values = pages.empty(rows, k, dtype=wide)
    with _on(_threads(values.numel())):
        _gather(_flat(dense.to(wide)), _flat(index), rows, dense.shape[1], k, _flat(values))
    return values.to(dense.dtype)


def spgemm(adj: Csr, values: Tensor, index: Tensor, columns: int) -> Tensor:
    """See `reference.spgemm`."""
    wide, k = _widened(values.dtype), index.shape[1]
    out = pages.empty(adj.rows, columns, dtype=wide)
    indptr = adj.indptr.numpy()
    edges = (indptr, adj.indices.numpy(), *_weights(adj, wide))
    bounds = _row_bounds(indptr, _CHUNKS)
    kept = _flat(values.to(wide))
    with _on(_threads(adj.nnz * k + out.numel())):
        masks = None
        if wide == torch.float32 and expansion.pays(k, columns) and vectors.supported():
            masks = expansion.column_masks(_flat(index), index.shape[0], k, columns, _CHUNKS)
        if masks is None:
            _spgemm(*edges, kept, _flat(index), columns, k, bounds, _flat(out))
        else:
            expansion.spgemm(*edges, kept, masks, columns, k, bounds, _flat(out))
    return out.to(values.dtype)


def sspmm(adj: Csr, grad: Tensor, index: Tensor) -> Tensor:
    """See `reference.sspmm`."""
    wide, (sources, k), columns = _widened(grad.dtype), index.shape, grad.shape[1]
    if _DENSE_SHARE * k > columns and adj.nnz * k >= _SMALLEST_PARALLEL:
        return gather(spmm_cpu.multiply(adj.transpose(), grad), index)
    threads = _threads(adj.nnz * k)
    blocks = min(threads, _MAX_COLUMN_BLOCKS)
    split = column_split(adj, blocks)
    groups = max(1, threads // blocks)
    partial = pages.empty(groups, sources * k, dtype=wide).zero_()
    tasks = (split.numpy(), _row_bounds(adj.indptr.numpy(), groups), blocks)
    edges = (adj.indices.numpy(), *_weights(adj, wide))
    permutes = wide == torch.float32 and columns <= avx512.MAX_COLUMNS and vectors.supported()
    kernel = avx512.sspmm if permutes else _sspmm
    with _on(threads):
        kernel(*tasks, *edges, _flat(grad.to(wide)), _flat(index), columns, k, partial.numpy())
    total = partial[0] if groups == 1 else partial.sum(0)
    return total.view(sources, k).to(grad.dtype)


def column_split(adj: Csr, blocks: int) -> Tensor:
    """int64 `[rows, blocks + 1]`: where in `adj.indices` each row's edges into each block of columns begin and end.

    Blocks hold about equally many edges. Built once and cached with the pattern.

    Raises:
        ValueError: the columns of some row do not ascend.
    """
    return adj.cached_pattern(("column_split", blocks), lambda: _column_split(adj, blocks))


def _column_split(adj: Csr, blocks: int) -> Tensor:
    counts = torch.bincount(adj.indices.long(), minlength=adj.columns).cumsum(0)
    targets = torch.arange(1, blocks) * adj.nnz // blocks
    cuts = torch.searchsorted(counts, targets).to(torch.int32)
    split = torch.empty(adj.rows, blocks + 1, dtype=torch.int64)
    with _on(_threads(adj.nnz)):
        ascending = _split_rows(adj.indptr.numpy(), adj.indices.numpy(), cuts.numpy(), split.numpy())
    if not ascending:
        raise ValueError(
            "the columns of each row of the adjacency must be ascending; Csr.from_edge_index makes them so"
        )
    return split


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def _split_rows(indptr, sources, cuts, split):
    unsorted = 0
    for row in prange(indptr.size - 1):
        first, last = indptr[row], indptr[row + 1]
        for e in range(first + 1, last):
            unsorted += sources[e] < sources[e - 1]
        split[row, 0], split[row, cuts.size + 1] = first, last
        for b in range(cuts.size):
            split[row, b + 1] = first + np.searchsorted(sources[first:last], cuts[b])
    return unsorted == 0


def _row_bounds(indptr: np.ndarray, chunks: int) -> np.ndarray:
    """Cut rows into chunks of about equally many edges; a row is not divided."""
    bounds = np.searchsorted(indptr, np.linspace(0, indptr[-1], chunks + 1))
    bounds[0], bounds[-1] = 0, indptr.size - 1
    return bounds.astype(np.int64)


def _weights(adj: Csr, dtype: torch.dtype) -> tuple[np.ndarray, int]:
    """Weights and the stride to read them with."""
    if adj.values is None:
        return np.ones(1, np.float64 if dtype == torch.float64 else np.float32), 0
    return adj.values.detach().to(dtype).contiguous().numpy(), 1


def _widened(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _flat(tensor: Tensor, carrier: torch.dtype | None = None) -> np.ndarray:
    flat = tensor.detach().contiguous().view(-1)
    return (flat if carrier is None else flat.view(carrier)).numpy()


def _threads(work: int) -> int:
    """Threads for `work` numbers to touch: torch's, or one where starting others costs more than they save."""
    return 1 if work < _SMALLEST_PARALLEL else torch.get_num_threads()


@contextmanager
def _on(threads: int) -> Iterator[None]:
    """Run numba on so many threads, or all it has. Starting its pool must not change torch's own number of threads."""
    wanted = torch.get_num_threads()
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    if torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)
    try:
        yield
    finally:
        numba.set_num_threads(before)
