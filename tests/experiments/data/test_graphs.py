"""Graphs that come with files or packages: published counts, splits, subgraphs. See test_generated_graphs for the rest."""

import shutil

import pytest
import torch

from effml.errors import MissingRequirement, UserError
from effml.experiments.data import places, registry
from effml.experiments.data.graphs.features import one_hot_rows, one_hot_table, take_rows
from effml.experiments.data.graphs.graph import Graph
from effml.experiments.data.graphs.splits import random_split
from effml.kernels.csr import Csr

PUBLISHED = [
    # name, nodes, directed edges, features, classes, train / val / test
    ("cora", 2_708, 10_556, 1_433, 7, (140, 500, 1_000)),
    ("citeseer", 3_327, 9_104, 3_703, 6, (120, 500, 1_000)),
    ("musae-facebook", 22_470, 341_825, 4_714, 4, (11_235, 5_617, 5_618)),
    ("cornell5", 18_660, 1_581_554, 4_735, 2, (8_411, 4_205, 4_206)),
]


def is_symmetric(graph: Graph) -> bool:
    transpose = graph.adjacency.transpose()
    return torch.equal(transpose.indptr, graph.adjacency.indptr) and torch.equal(
        transpose.indices, graph.adjacency.indices
    )


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "nodes", "edges", "features", "classes", "split"), PUBLISHED)
def test_published_counts(name, nodes, edges, features, classes, split):
    graph = registry.load(name).value
    assert (graph.num_nodes, graph.num_edges, graph.num_features, graph.num_classes) == (
        nodes,
        edges,
        features,
        classes,
    )
    assert tuple(int(mask.sum()) for mask in (graph.train, graph.val, graph.test)) == split
    assert not (graph.train & graph.val | graph.train & graph.test | graph.val & graph.test).any()
    assert is_symmetric(graph)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_planetoid_equals_what_pyg_reads(name):
    from torch_geometric.io import read_planetoid_data

    graph = registry.load(name).value
    folder = places.find(registry.get(name).pinned)[f"planetoid/ind.{name}.x"].parent
    data = read_planetoid_data(str(folder), name)
    assert torch.equal(graph.x, data.x) and torch.equal(graph.y, data.y)
    assert torch.equal(graph.adjacency.indices, Csr.from_edge_index(data.edge_index, data.num_nodes).indices)
    for mask, other in ((graph.train, data.train_mask), (graph.val, data.val_mask), (graph.test, data.test_mask)):
        assert torch.equal(mask, other)


@pytest.mark.realdata
def test_facebook_pages_have_their_classes_and_features():
    graph = registry.load("musae-facebook").value
    assert graph.y.bincount().tolist() == [6_495, 6_880, 5_768, 3_327]
    assert graph.x.values().numel() == 314_583
    rows = torch.repeat_interleave(torch.arange(22_470), graph.adjacency.degrees)
    assert int((rows == graph.adjacency.indices).sum()) == 179  # pages that like themselves


@pytest.mark.realdata
def test_cornell5_leaves_nodes_of_unknown_class_out_of_every_split():
    graph = registry.load("cornell5").value
    unknown = graph.y < 0
    assert int(unknown.sum()) == 18_660 - 16_822
    assert not (unknown & (graph.train | graph.val | graph.test)).any()
    assert (graph.x.to_dense().sum(1) == 6).all()


@pytest.mark.realdata
def test_seed_draws_the_split_and_nothing_else():
    one, again, other = (registry.load("musae-facebook", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.value.train, again.value.train) and one.record == again.record
    assert not torch.equal(one.value.train, other.value.train)
    assert one.record["sha256"] == other.record["sha256"] and "seed 4" in other.record["note"]


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["cora", "musae-facebook", "cornell5"])
@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_files_are_refused(name, damage, tmp_path, monkeypatch, seed):
    data = registry.get(name)
    found = places.find(data.pinned)
    for path, source in found.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copyfile(source, tmp_path / path)
    victim = tmp_path / data.pinned[seed % len(data.pinned)].path
    content = bytearray(victim.read_bytes())
    if damage == "truncated":
        del content[seed % len(content) :]
    else:
        content[seed % len(content)] ^= 1 << seed % 8
    victim.write_bytes(content)
    monkeypatch.setenv("EFFML_DATA", str(tmp_path))
    with pytest.raises(MissingRequirement, match=f"{name} is corrupt.*{victim.name}"):
        registry.load(name)


def test_digits_neighbours_share_their_class():
    loaded = registry.load("digits-knn")
    graph = loaded.value
    assert (graph.num_nodes, graph.num_features, graph.num_classes) == (1_797, 64, 10)
    assert is_symmetric(graph) and int(graph.adjacency.degrees.min()) >= 10
    source, target = graph.edge_index
    assert (graph.y[source] == graph.y[target]).float().mean() > 0.95
    assert [int(mask.sum()) for mask in (graph.train, graph.val, graph.test)] == [898, 449, 450]
    assert loaded.record["sha256"] == registry.load("digits-knn").record["sha256"]
    with pytest.raises(UserError, match="neighbours=0"):
        registry.load("digits-knn", neighbours=0)


def test_subgraph_is_the_induced_one():
    graph = registry.load("digits-knn").value
    part = registry.load("digits-knn", nodes=300, seed=5)
    small = part.value
    drawn = torch.randperm(1_797, generator=torch.Generator().manual_seed(5))[:300].sort().values
    dense = graph.adjacency.to_torch().to_dense()[drawn][:, drawn]
    assert torch.equal(small.adjacency.to_torch().to_dense(), dense)
    assert torch.equal(small.x, graph.x[drawn]) and torch.equal(small.y, graph.y[drawn])
    assert "subgraph of 300 of 1,797 nodes, seed 5" in part.record["note"] and small.note
    assert registry.load("digits-knn", nodes=9_999).value.num_nodes == 1_797
    with pytest.raises(UserError, match="nodes=0"):
        registry.load("digits-knn", nodes=0)


def test_edge_index_gives_the_adjacency_back():
    graph = registry.load("digits-knn", nodes=200).value
    again = Csr.from_edge_index(graph.edge_index, graph.num_nodes)
    assert torch.equal(again.indptr, graph.adjacency.indptr) and torch.equal(again.indices, graph.adjacency.indices)


def test_random_split_covers_the_labelled_nodes_once(seed):
    labelled = torch.rand(1_001, generator=torch.Generator().manual_seed(seed)) < 0.8
    train, val, test = random_split(labelled, (0.5, 0.25), seed)
    assert torch.equal(train.int() + val.int() + test.int(), labelled.int())
    assert int(train.sum()) == int(labelled.sum()) // 2


def test_one_hot_forms():
    rows = one_hot_rows([[2, 0, 2], [], [1]], 4)
    assert rows.to_dense().tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    table = one_hot_table(torch.tensor([[5, 0], [7, 9], [5, 9]]))
    assert table.to_dense().tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1]]
    assert take_rows(rows, torch.tensor([0, 2])).to_dense().tolist() == [[1, 0, 1, 0], [0, 1, 0, 0]]


def test_graph_refuses_what_does_not_fit():
    adjacency = Csr.from_edge_index(torch.tensor([[0, 1], [1, 2]]), 3)
    with pytest.raises(ValueError, match="x has 2 rows for 3 nodes"):
        Graph("g", adjacency, x=torch.zeros(2, 4))
    with pytest.raises(ValueError, match="class 2 among 2 classes"):
        Graph("g", adjacency, y=torch.tensor([0, 1, 2]), num_classes=2)
