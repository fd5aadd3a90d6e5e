"""Edge groups: how the GPU kernels divide the edges of a graph (MaxK-GNN, section 4.1).

Every row is cut into groups of at most `size` nonzeros, so that a hub's row is the work of many blocks and no block's work
is longer than `size`. Rows without edges have no group.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from effml.kernels.csr import Csr


@dataclass(frozen=True)
class EdgeGroups:
    """Group `g` is the `length[g]` edges from `start[g]` on, all of them of row `row[g]`."""

    row: Int[Tensor, " groups"]  # int32
    start: Int[Tensor, " groups"]  # int64
    length: Int[Tensor, " groups"]  # int32

    @property
    def count(self) -> int:
        return self.row.numel()


def edge_groups(adj: Csr, size: int = 64) -> EdgeGroups:
    """The groups of `adj`, on its device; built once and cached with the pattern.

    Raises:
        ValueError: `size` is not positive.
    """
    if size < 1:
        raise ValueError(f"an edge group holds at least 1 edge, got size {size}")
    return adj.cached_pattern(("edge_groups", size), lambda: _build(adj, size))


def _build(adj: Csr, size: int) -> EdgeGroups:
    degrees = adj.degrees
    groups = (degrees + size - 1) // size
    row = torch.repeat_interleave(torch.arange(adj.rows, device=adj.device), groups)
    first_group = groups.cumsum(0) - groups
    within = torch.arange(row.numel(), device=adj.device) - first_group[row]
    start = adj.indptr[row] + within * size
    length = torch.clamp(adj.indptr[row + 1] - start, max=size)
    return EdgeGroups(row.to(torch.int32), start, length.to(torch.int32))
