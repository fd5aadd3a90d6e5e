"""Sparse times dense on the CPU: register-wide strips of columns, prefetched rows, tasks of equal work from a queue.

The compiled loop is in `sweep`, the tasks come from `schedule`. What is chosen here: how the width is cut into
strips, how far ahead to prefetch, when to write past the caches and when to start threads.
"""

from __future__ import annotations

import dataclasses
import functools
import platform
from typing import Any

import numpy as np
import torch
from llvmlite import binding
from torch import Tensor

from effml.kernels import pages
from effml.kernels.csr import Csr
from effml.kernels.spmm.lanes import BYTES, CACHE_LINE, Strip
from effml.kernels.spmm.sampled import sddmm
from effml.kernels.spmm.schedule import Schedule, even_schedule
from effml.kernels.spmm.sweep import Pass, prepare
from effml.kernels.threads import worker_threads

__all__ = ["multiply", "multiply_into", "sddmm", "strips"]

ELEMENT = {
    torch.float32: "float",
    torch.float64: "double",
    torch.float16: "half",
    torch.bfloat16: "bfloat",
}
# Lines of x under way at a time: 32 kB of a second-level cache, which takes more misses at once than the first.
LINES_AHEAD = 512
FARTHEST_AHEAD = 64
# A result larger than the caches is not read back from them: writing past them saves reading each line first.
STREAM_BYTES = 64 << 20
# Numbers to add below which starting threads costs more than it saves.
SMALLEST_PARALLEL = 1 << 18


def multiply(adj: Csr, x: Tensor) -> Tensor:
    """`adj @ x` in a new tensor."""
    if x.dtype == torch.float16 and not converts_halves():
        return multiply(adj, x.float()).half()
    out = pages.empty(adj.rows, x.shape[1], dtype=x.dtype)
    multiply_into(adj, x, out)
    return out


def multiply_into(
    adj: Csr,
    x: Tensor,
    out: Tensor,
    *,
    schedule: Schedule | None = None,
    widest: int | None = None,
    **replaced: Any,
) -> None:
    """Write `adj @ x` to a contiguous `out`.

    What is chosen for the caller can be set instead, for ablations: the `schedule`, the vectors of the `widest` strip,
    and fields of each `Strip` (`ahead`, `streamed`).
    """
    if not out.numel():
        return
    if x.stride(1) != 1:
        x = x.contiguous()
    threads = 1 if adj.nnz * x.shape[1] < SMALLEST_PARALLEL else worker_threads()
    even = adj.cached_pattern(("cpu schedule", threads), lambda: _schedule(adj, threads))
    if schedule is None and widest is None and not replaced:
        schedule = even
        layout = (x.dtype, x.shape[1], x.stride(0), _aligned(x, out), out.stride(0), threads)
        passes = adj.cached(("cpu passes", *layout), lambda: _passes(adj, x, out, even, widest_strip(), {}))
    else:
        schedule = schedule or even
        passes = _passes(adj, x, out, schedule, widest or widest_strip(), replaced)
    scratch = None
    if schedule.slots:
        scratch = torch.empty(schedule.slots, x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))
    for each in passes:
        each.run(x, out, scratch, threads)
    if scratch is not None:
        _join(schedule, scratch, out)


def _passes(adj: Csr, x: Tensor, out: Tensor, schedule: Schedule, widest: int, replaced: dict[str, Any]) -> list[Pass]:
    values = None if adj.values is None else _values(adj, adj.values, x.dtype)
    return [
        prepare(adj, schedule, values, dataclasses.replace(strip, **replaced), start, last, x, out)
        for strip, start, last in strips(x, out, values is not None, widest)
    ]


def strips(x: Tensor, out: Tensor, weighted: bool, widest: int) -> list[tuple[Strip, int, int]]:
    """The width cut into strips of at most `widest` vectors: loop, first column, columns from first to last vector."""
    element, width = ELEMENT[x.dtype], x.shape[1]
    lanes = min(8 if element == "double" else 16, 1 << (width.bit_length() - 1))
    vectors = -(-width // lanes)
    passes = -(-vectors // widest)
    aligned = _aligned(x, out)
    streamed = aligned and out.numel() * out.element_size() >= STREAM_BYTES
    cut, first = [], 0
    for number in range(passes):
        share = vectors // passes + (number < vectors % passes)
        size = share * lanes * BYTES[element]
        ahead = min(FARTHEST_AHEAD, max(1, LINES_AHEAD * CACHE_LINE // size))
        start = first * lanes
        last = min((share - 1) * lanes, width - lanes - start)
        cut.append((Strip(element, lanes, share, weighted, ahead, aligned, streamed), start, last))
        first += share
    return cut


def _aligned(*tensors: Tensor) -> bool:
    """Whether every row starts at a cache line."""
    return not any(t.data_ptr() % CACHE_LINE or t.stride(0) * t.element_size() % CACHE_LINE for t in tensors)


@functools.cache
def widest_strip() -> int:
    """Accumulators of 16 floats that leave registers for operands: AVX-512 has 32 such registers, others 8."""
    return 16 if binding.get_host_cpu_features().get("avx512f") else 4


@functools.cache
def converts_halves() -> bool:
    """Whether the host turns float16 into float32 by an instruction; LLVM's software for it is not linked in."""
    return platform.machine() in ("aarch64", "arm64") or bool(binding.get_host_cpu_features().get("f16c"))


def _schedule(adj: Csr, threads: int) -> Schedule:
    """Tasks for a matrix that was looked through once: the compiled loop would read whatever address it is given."""
    steps = adj.degrees
    if adj.indptr[0] != 0 or adj.indptr[-1] != adj.nnz or bool((steps < 0).any()):
        raise ValueError(f"indptr must rise from 0 to the {adj.nnz} nonzeros")
    if adj.nnz and not 0 <= int(adj.indices.min()) <= int(adj.indices.max()) < adj.columns:
        raise ValueError(f"indices must lie in 0..{adj.columns - 1}, the matrix's columns")
    return even_schedule(adj.indptr.contiguous().numpy(), threads)


def _values(adj: Csr, values: Tensor, dtype: torch.dtype) -> Tensor:
    sum_type = torch.promote_types(dtype, torch.float32)
    if values.dtype == sum_type and values.is_contiguous():
        return values
    return adj.cached(("values", sum_type), lambda: values.detach().to(sum_type).contiguous())


def _join(schedule: Schedule, scratch: Tensor, out: Tensor) -> None:
    """Add up the pieces of each long row, in order."""
    owner = np.repeat(np.arange(len(schedule.long_rows)), np.diff(schedule.first_slot))
    sums = scratch.new_zeros(len(schedule.long_rows), out.shape[1])
    sums.index_add_(0, torch.from_numpy(owner), scratch)
    out[torch.from_numpy(schedule.long_rows)] = sums.to(out.dtype)
