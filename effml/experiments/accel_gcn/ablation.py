"""The kernel with one idea turned off at a time, as calls that write to a given result. Knows nothing of timing.

On a CPU the kernel keeps rows in their order, so that turning sorting *on* is the variant; a GPU kernel sorts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from effml.kernels import Csr

Variant = Callable[[], Tensor]
FULL = "full"


def variants(adj: Csr, x: Tensor) -> dict[str, Variant]:
    """Name -> call that returns the product (with rows in order of degree where the name says so)."""
    return _cpu(adj, x) if x.device.type == "cpu" else _gpu(adj, x)


def _cpu(adj: Csr, x: Tensor) -> dict[str, Variant]:
    from effml.kernels.spmm import cpu
    from effml.kernels.spmm.partition import PUBLISHED, partition
    from effml.kernels.spmm.schedule import row_schedule
    from effml.kernels.threads import worker_threads

    out = torch.empty(adj.rows, x.shape[1], dtype=x.dtype)
    parts = partition(adj, PUBLISHED)
    sorted_out, order = out.new_empty(parts.sorted.rows, x.shape[1]), parts.order.long()
    equal_rows = row_schedule(adj.indptr.numpy(), worker_threads())

    def write(**options: Any) -> Tensor:
        cpu.multiply_into(adj, x, out, **options)
        return out

    def sort() -> Tensor:
        cpu.multiply_into(parts.sorted, x, sorted_out)
        return sorted_out

    def sort_and_put_back() -> Tensor:
        out.zero_()
        return out.index_copy_(0, order, sort())

    found = {
        FULL: write,
        "sorted by degree": sort,
        "sorted, put back": sort_and_put_back,
        "equal rows a thread": lambda: write(schedule=equal_rows),
        "16 columns at a time": lambda: write(widest=1),
        "no prefetch": lambda: write(ahead=0),
    }
    if any(strip.streamed for strip, _, _ in cpu.strips(x, out, False, cpu.widest_strip())):
        found["written through the caches"] = lambda: write(streamed=False)
    return found


def _gpu(adj: Csr, x: Tensor) -> dict[str, Variant]:
    from effml.experiments.accel_gcn import gpu_baselines
    from effml.kernels.spmm import gpu
    from effml.kernels.spmm.partition import PUBLISHED, partition

    out = torch.empty(adj.rows, x.shape[1], dtype=x.dtype, device=x.device)

    def write(**options: Any) -> Tensor:
        gpu.multiply_into(adj, x, out, **options)
        return out

    found = {
        FULL: write,
        "unsorted, a warp a row": lambda: gpu_baselines.rows(adj, x),
        "groups, a warp each": lambda: gpu_baselines.groups(adj, x),
        "blocks as published": lambda: write(parts=partition(adj, PUBLISHED)),
    }
    if x.shape[1] > 32:
        found["32 columns at a time"] = lambda: write(columns=32)
    return found
