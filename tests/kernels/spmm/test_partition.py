"""Blocks and groups of the sixteen published partitions, counted exactly; and what makes any partition one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import effml.experiments.data.graphs as graphs
from effml.kernels.spmm.partition import PUBLISHED, Rule, first_nonzero, group_bytes, group_count, partition
from tests.kernels.spmm.cases import of_degrees

HISTOGRAMS = Path(graphs.__file__).parent / "histograms"

# Blocks in the metadata published with Accel-GCN; groups of 64 in those published with MaxK-GNN.
BLOCKS = {
    "ppa": 154_341,
    "yelp": 83_558,
    "citation": 251_693,
    "wikikg2": 208_513,
    "am": 79_178,
    "artist": 7_485,
    "arxiv": 10_782,
    "pubmed": 1_716,
}
GROUPS_OF_64 = {"ppa": 991_044, "yelp": 807_600, "citation": 2_840_512, "artist": 62_356, "pubmed": 19_753}


def histogram(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    table = np.loadtxt(HISTOGRAMS / f"{name}.csv", dtype=np.int64, delimiter=",", skiprows=1, ndmin=2)
    return torch.from_numpy(table[:, 0]), torch.from_numpy(table[:, 1])


@pytest.mark.parametrize(("name", "blocks"), BLOCKS.items())
def test_blocks_are_those_published(name, blocks):
    assert PUBLISHED.count(*histogram(name)) == blocks


@pytest.mark.parametrize(("name", "groups"), GROUPS_OF_64.items())
def test_groups_of_64_are_those_published(name, groups):
    assert group_count(*histogram(name), 64) == groups


def test_metadata_is_a_tenth_of_a_partition_for_warps():
    shares = []
    for path in sorted(HISTOGRAMS.glob("*.csv")):
        degree, rows = histogram(path.stem)
        shares.append(16 * PUBLISHED.count(degree, rows) / group_bytes(group_count(degree, rows, 32)))
    assert len(shares) == 16
    assert round(min(shares), 3) == 0.083 and round(max(shares), 3) == 0.095


@pytest.mark.parametrize("name", ["pubmed", "artist"])
def test_partition_of_a_matrix_has_as_many_blocks_as_its_histogram_says(name):
    degree, rows = histogram(name)
    degrees = torch.repeat_interleave(degree, rows)[torch.randperm(int(rows.sum()))]
    parts = partition(of_degrees(degrees.tolist()))
    assert parts.blocks.shape[0] == BLOCKS[name]
    assert parts.metadata_bytes == 16 * BLOCKS[name]


TINY = Rule(((1, 3), (4, 2), (6, 1)))


@given(st.lists(st.integers(0, 20), max_size=40))
def test_blocks_cover_every_nonzero_once_with_rows_of_one_degree(degrees):
    adj = of_degrees(degrees)
    parts = partition(adj, TINY)
    assert parts.blocks.shape[0] == TINY.count(*adj.degrees.unique(return_counts=True))
    kept = adj.degrees[parts.order.long()]
    assert torch.equal(kept, torch.sort(adj.degrees[adj.degrees > 0]).values), "sorted, empty rows left out"

    seen = torch.zeros(adj.nnz, dtype=torch.int64)
    whole, pieces = parts.blocks[: parts.starts[-1]], parts.blocks[parts.starts[-1] :]
    for (degree, row, _, info), start in zip(whole.tolist(), first_nonzero(whole).tolist(), strict=True):
        rows = info & 0xFF
        assert 1 <= rows <= int(TINY.rows_per_block(torch.tensor([degree])))
        assert torch.all(parts.sorted.degrees[row : row + rows] == degree)
        assert start == parts.sorted.indptr[row]
        seen[start : start + rows * degree] += 1
    for (length, row, _, info), start in zip(pieces.tolist(), first_nonzero(pieces).tolist(), strict=True):
        assert info == 0 and 1 <= length <= 6
        assert parts.sorted.indptr[row] <= start and start + length <= parts.sorted.indptr[row + 1]
        seen[start : start + length] += 1
    assert torch.all(seen == 1)
    for step, (low, high) in enumerate(zip(parts.starts[:-1], parts.starts[1:], strict=True)):
        assert torch.all(parts.blocks[low:high, 0] <= TINY.steps[step][0])
    counts = parts.first_piece.diff()
    assert torch.equal(counts, (-(-parts.sorted.degrees[parts.cut_rows.long()] // 6)).int())
    assert parts.pieces == int(counts.sum())


def test_sorted_matrix_is_the_matrix_with_its_rows_permuted():
    adj = of_degrees([3, 0, 900, 1, 1, 40], weighted=True)
    parts = partition(adj)
    dense = adj.to_torch().to_dense()
    assert torch.equal(parts.sorted.to_torch().to_dense(), dense[parts.order.long()])
    assert parts.order.tolist() == [3, 4, 0, 5, 2]


def test_partition_is_built_once_for_all_weights_of_a_pattern():
    adj = of_degrees([3, 0, 5], weighted=True)
    other = adj.with_values(2 * adj.values)
    assert partition(other).blocks is partition(adj).blocks
    assert torch.equal(partition(other).sorted.values, 2 * partition(adj).sorted.values)


@pytest.mark.parametrize("nonzero", [0, 5, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 7_250_000_123])
def test_records_hold_offsets_beyond_32_bits(nonzero):
    from effml.kernels.spmm.partition import _records

    one = torch.tensor([1])
    record = _records(one, one, torch.tensor([nonzero]), one * 12)
    assert first_nonzero(record).tolist() == [nonzero] and int(record[0, 3]) & 0xFF == 12
