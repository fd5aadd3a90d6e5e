"""Rows sorted by degree and cut into blocks of one degree: the partition of Accel-GCN (arXiv 2308.11825, section III).

A thread block takes as many rows of one degree as its warps hold, so that all of its warps have equal work and one
16-byte record serves them all, where a partition for warps keeps a record for each group of nonzeros. A `Rule` says how
many rows of which degree make a block; rows above its bound are cut into pieces. Rows without nonzeros are in no block.

The rule is read off the published metadata: smallest f of 1, 2, 3, 4, 6 warps that hold a row at 32 nonzeros a warp, up
to degree 191; 12 from there to 384; pieces of 384 beyond. Everything is built on the device of the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from effml.kernels.csr import Csr

RECORD_BYTES = 16


@dataclass(frozen=True)
class Rule:
    """How many rows make a block.

    Args:
        steps: (largest degree, rows of a block) in ascending order of degree, 255 rows at most.
    """

    steps: tuple[tuple[int, int], ...]

    @property
    def bound(self) -> int:
        """Largest degree that is not cut into pieces of this many nonzeros."""
        return self.steps[-1][0]

    def rows_per_block(self, degree: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Rows in one block, for degrees from 1 to the bound."""
        limits = torch.tensor([limit for limit, _ in self.steps], device=degree.device)
        rows = torch.tensor([rows for _, rows in self.steps], device=degree.device)
        return rows[torch.bucketize(degree.clamp(max=self.bound), limits)]

    def count(self, degree: Int[Tensor, " n"], rows: Int[Tensor, " n"]) -> int:
        """Blocks for a histogram: `rows[i]` rows have `degree[i]` nonzeros."""
        degree, rows = degree[degree > 0], rows[degree > 0]
        whole = -(-rows // self.rows_per_block(degree))
        pieces = rows * -(-degree // self.bound)
        return int(torch.where(degree <= self.bound, whole, pieces).sum())


# 12 warps of at most 32 nonzeros each.
PUBLISHED = Rule(((32, 12), (64, 6), (96, 4), (128, 3), (191, 2), (384, 1)))


@dataclass(frozen=True)
class Partition:
    """A matrix with its rows sorted by degree, and the blocks that they fall into.

    Attributes:
        sorted: the nonempty rows in ascending order of degree (stable), as a matrix of their own.
        order: int32 `[sorted.rows]`, where each of them stood.
        blocks: int32 `[blocks, 4]`: nonzeros of each row (or of the piece); first sorted row; low 32 bits of the first
            nonzero; its bits from 32 on, shifted left by 8, with the number of rows (0 marks a piece) below them.
        starts: blocks `starts[i]` to `starts[i + 1]` follow step `i` of the rule; those after the last are pieces.
        cut_rows: int32, sorted rows that are in pieces; `first_piece` int32 `[cut_rows + 1]`: their pieces' numbers.
    """

    sorted: Csr
    order: Int[Tensor, " nonempty"]
    blocks: Int[Tensor, "blocks 4"]
    starts: tuple[int, ...]
    cut_rows: Int[Tensor, " cut"]
    first_piece: Int[Tensor, " cut_plus_1"]

    @property
    def pieces(self) -> int:
        return self.blocks.shape[0] - self.starts[-1]

    @property
    def metadata_bytes(self) -> int:
        return self.blocks.shape[0] * RECORD_BYTES


def partition(adj: Csr, rule: Rule = PUBLISHED) -> Partition:
    """The blocks of `adj` under `rule`; kept with the matrix."""
    pattern = adj.cached_pattern(("partition", rule), lambda: _partition(adj, rule))
    if (unsorted := adj.values) is None:
        return pattern
    values = adj.cached(("sorted values", rule), lambda: unsorted[_positions(adj, pattern.order.long())])
    weighted = pattern.sorted.with_values(values)
    return Partition(weighted, pattern.order, pattern.blocks, pattern.starts, pattern.cut_rows, pattern.first_piece)


def _partition(adj: Csr, rule: Rule) -> Partition:
    order = torch.sort(adj.degrees, stable=True).indices
    order = order[adj.degrees[order] > 0]
    degree = adj.degrees[order]
    indptr = degree.new_zeros(order.numel() + 1)
    torch.cumsum(degree, 0, out=indptr[1:])
    matrix = Csr(indptr, adj.indices[_positions(adj, order)], None, adj.columns)

    classes, members = torch.unique_consecutive(degree, return_counts=True)
    first = members.cumsum(0) - members
    whole = classes <= rule.bound
    height = rule.rows_per_block(classes[whole])
    blocks = -(-members[whole] // height)
    of_class, place = _runs(blocks)
    row = first[whole][of_class] + place * height[of_class]
    rows = torch.minimum(height[of_class], members[whole][of_class] - place * height[of_class])
    records = _records(classes[whole][of_class], row, indptr[row], rows)

    cut = torch.arange(int(members[whole].sum()), order.numel(), device=order.device)
    pieces = -(-degree[cut] // rule.bound)
    of_row, place = _runs(pieces)
    row, offset = cut[of_row], place * rule.bound
    length = torch.clamp(degree[row] - offset, max=rule.bound)
    cut_records = _records(length, row, indptr[row] + offset, torch.zeros_like(row))

    limits = torch.tensor([limit for limit, _ in rule.steps], device=order.device)
    upto = torch.searchsorted(records[:, 0].contiguous(), limits.to(torch.int32), right=True)
    first_piece = torch.nn.functional.pad(pieces.cumsum(0), (1, 0))
    return Partition(
        sorted=matrix,
        order=order.to(torch.int32),
        blocks=torch.cat([records, cut_records]),
        starts=(0, *upto.tolist()),
        cut_rows=cut.to(torch.int32),
        first_piece=first_piece.to(torch.int32),
    )


def _records(degree: Tensor, row: Tensor, nonzero: Tensor, rows: Tensor) -> Int[Tensor, "n 4"]:
    low = nonzero & 0xFFFFFFFF
    low = torch.where(low >= 1 << 31, low - (1 << 32), low)
    return torch.stack([degree, row, low, (nonzero >> 32 << 8) | rows], dim=1).to(torch.int32)


def first_nonzero(blocks: Int[Tensor, "blocks 4"]) -> Int[Tensor, " blocks"]:
    """int64: where each block's nonzeros begin, put together from its record."""
    return (blocks[:, 2].long() & 0xFFFFFFFF) | (blocks[:, 3].long() >> 8 << 32)


def _runs(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """For runs of these lengths laid end to end: which run each element is in, and its place in it."""
    run = torch.repeat_interleave(torch.arange(lengths.numel(), device=lengths.device), lengths)
    place = torch.arange(run.numel(), device=lengths.device) - (lengths.cumsum(0) - lengths)[run]
    return run, place


def _positions(adj: Csr, order: Tensor) -> Tensor:
    """Where the nonzeros of the rows `order`, one row after the other, stand in `adj`."""
    run, place = _runs(adj.degrees[order])
    return adj.indptr[order][run] + place


def group_count(degree: Int[Tensor, " n"], rows: Int[Tensor, " n"], size: int) -> int:
    """Groups of at most `size` nonzeros of one row each, as in a partition for warps; a histogram as in `Rule.count`."""
    return int((rows * -(-degree // size)).sum())


def group_bytes(groups: int) -> int:
    """Metadata of a partition for warps: one record of row, first nonzero and length each."""
    return groups * RECORD_BYTES


def edge_groups(adj: Csr, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Groups of at most `size` nonzeros of one row: int64 row, first nonzero and length of each; kept with the matrix."""
    return adj.cached_pattern(("groups", size), lambda: _edge_groups(adj, size))


def _edge_groups(adj: Csr, size: int) -> tuple[Tensor, Tensor, Tensor]:
    row, place = _runs(-(-adj.degrees // size))
    start = adj.indptr[row] + place * size
    return row, start, torch.minimum(adj.indptr[row + 1] - start, torch.full_like(start, size))
