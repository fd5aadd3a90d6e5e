"""Edge groups: every edge once, none longer than the limit; the counts of two published graphs."""

import csv
import os
from pathlib import Path

import pytest
import torch

from effml.kernels.csr import Csr
from effml.kernels.maxk import edge_groups
from tests.kernels.maxk.graphs import of_degrees


@pytest.mark.parametrize("size", [1, 7, 64])
def test_groups_cover_every_edge_once(size):
    degrees = [0, 1, 63, 64, 65, 0, 128, 129, 200, 0]
    adj = of_degrees(degrees, 256)
    groups = edge_groups(adj, size)
    covered = torch.cat([torch.arange(s, s + n) for s, n in zip(groups.start, groups.length, strict=True)])
    assert torch.equal(covered.sort().values, torch.arange(adj.nnz))
    assert int(groups.length.max()) <= size and int(groups.length.min()) >= 1
    assert groups.count == sum(-(-degree // size) for degree in degrees)
    inside = (groups.start >= adj.indptr[groups.row]) & (groups.start + groups.length <= adj.indptr[groups.row + 1])
    assert bool(inside.all()), "a group's edges are of its row"


def test_graph_without_edges_has_no_groups():
    assert edge_groups(of_degrees([0, 0], 3)).count == 0


def test_groups_of_no_edges_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        edge_groups(of_degrees([1], 3), 0)


@pytest.mark.realdata
@pytest.mark.parametrize(("graph", "published"), [("pubmed", 19_753), ("yelp", 807_600)])
def test_published_group_counts(graph, published):
    """Counts of 64-nonzero groups of the degree sequences that the Accel-GCN metadata holds (empty rows have none)."""
    roots = [Path(root) for root in os.environ["EFFML_DATA"].split(os.pathsep)]
    path = next(p for root in roots for p in (root / "degree_histograms").glob(f"*{graph}*.csv"))
    with path.open() as file:
        histogram = [(int(row["degree"]), int(row["rows"])) for row in csv.DictReader(file)]
    degrees = torch.repeat_interleave(*(torch.tensor(column) for column in zip(*histogram, strict=True)))
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), degrees.cumsum(0)])
    adj = Csr(indptr, torch.zeros(int(indptr[-1]), dtype=torch.int32), None, len(degrees))
    assert edge_groups(adj).count == published
