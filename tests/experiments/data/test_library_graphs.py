"""Graphs in the layouts of PyG and OGB, made small here: read right, checked against the published counts, fetched."""

import gzip
import json
import urllib.error
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import torch

from effml.errors import MissingRequirement
from effml.experiments.data import download, registry
from effml.experiments.data.graphs import ogb, pyg
from effml.kernels.csr import Csr
from tests.experiments.data.damage import survives

NODES = 30


@pytest.fixture
def root(tmp_path, monkeypatch):
    (tmp_path / "root").mkdir()
    monkeypatch.setenv("EFFML_DATA", str(tmp_path / "root"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "root"


def matrix(seed):
    dense = np.random.default_rng(seed).random((NODES, NODES)) < 0.2
    return scipy.sparse.coo_matrix((dense | dense.T).astype(np.float32))


def reddit_files(folder, seed):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    adjacency = matrix(seed)
    held = {"feature": rng.normal(size=(NODES, 4)), "label": rng.integers(3, size=NODES)}
    held["label"][:3] = 0, 1, 2
    np.savez(folder / "reddit_data.npz", node_types=np.arange(NODES) % 3 + 1, **held)
    scipy.sparse.save_npz(folder / "reddit_graph.npz", adjacency)
    return adjacency, held


def test_reddit_as_pyg_stores_it(root, monkeypatch, seed):
    adjacency, held = reddit_files(root / "pyg" / "reddit" / "raw", seed)
    small = replace(pyg.SETS["reddit"], nodes=NODES, edges=adjacency.nnz, features=4, classes=3)
    monkeypatch.setitem(pyg.SETS, "reddit", small)
    assert registry.state("reddit") == "absent"
    with pytest.raises(MissingRequirement, match=r"reddit \(about 1\.4 GB\) is not here: run `effml data get reddit`"):
        registry.load("reddit")
    pyg.fetch(root, "reddit")  # the raw files are there, so nothing is downloaded
    assert registry.state("reddit") == "present"
    graph = registry.load("reddit").value
    expected = Csr.from_edge_index(torch.from_numpy(np.stack((adjacency.row, adjacency.col))).long(), NODES)
    assert torch.equal(graph.adjacency.indices, expected.indices) and np.array_equal(graph.y, held["label"])
    assert [int(mask.sum()) for mask in (graph.train, graph.val, graph.test)] == [10, 10, 10]
    small_part = registry.load("reddit", nodes=12, seed=3)
    assert small_part.value.num_nodes == 12 and "subgraph of 12 of 30 nodes, seed 3" in small_part.record["note"]
    monkeypatch.setitem(pyg.SETS, "reddit", replace(small, nodes=31))
    with pytest.raises(MissingRequirement, match="30 nodes instead of 31"):
        registry.load("reddit")
    monkeypatch.setitem(pyg.SETS, "reddit", small)
    stored = root / "pyg" / "reddit" / "processed" / "data.pt"
    stored.write_bytes(stored.read_bytes()[:-200])
    with pytest.raises(MissingRequirement, match=r"data\.pt cannot be read as PyG's Reddit"):
        registry.load("reddit")


def test_yelp_has_several_labels_a_node(root, monkeypatch, seed):
    raw = root / "pyg" / "yelp" / "raw"
    raw.mkdir(parents=True)
    adjacency = matrix(seed).tocsr()
    labels = np.random.default_rng(seed).integers(2, size=(NODES, 5))
    scipy.sparse.save_npz(raw / "adj_full.npz", adjacency)
    np.save(raw / "feats.npy", np.ones((NODES, 2)))
    (raw / "class_map.json").write_text(json.dumps({str(n): row for n, row in enumerate(labels.tolist())}))
    (raw / "role.json").write_text(
        json.dumps({"tr": list(range(20)), "va": list(range(20, 25)), "te": list(range(25, 30))})
    )
    monkeypatch.setitem(
        pyg.SETS, "yelp", replace(pyg.SETS["yelp"], nodes=NODES, edges=adjacency.nnz, features=2, classes=5)
    )
    pyg.fetch(root, "yelp")
    graph = registry.load("yelp").value
    assert graph.multilabel and graph.metric == "micro_f1" and np.array_equal(graph.y.numpy(), labels)
    assert int(graph.train.sum()) == 20


def table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(",".join(map(str, row)) + "\n" for row in rows).encode()))


def ogb_files(folder, name, seed):
    rng = np.random.default_rng(seed)
    edges = rng.integers(NODES, size=(50, 2))
    table(folder / "raw" / "edge.csv.gz", edges)
    if name == "ogbn-proteins":
        table(folder / "raw" / "edge-feat.csv.gz", edge_features := rng.integers(5, size=(50, 8)))
        table(folder / "raw" / "node-label.csv.gz", rng.integers(2, size=(NODES, 6)))
        values = edge_features
    else:
        values = rng.normal(size=(NODES, 4)).round(3)
        table(folder / "raw" / "node-feat.csv.gz", values)
        table(folder / "raw" / "node-label.csv.gz", rng.integers(3, size=(NODES, 1)).astype(float))
    part = ogb.SETS[name].split
    for split, ids in (("train", range(20)), ("valid", range(20, 24)), ("test", range(24, 30))):
        table(folder / "split" / part / f"{split}.csv.gz", [[number] for number in ids])
    return edges, values


def shrink(monkeypatch, name, **counts):
    small = replace(ogb.SETS[name], nodes=NODES, edges=50, parts=(20, 4, 6), **counts)
    monkeypatch.setitem(ogb.SETS, name, small)


def test_arxiv_as_ogb_stores_it(root, monkeypatch, seed):
    edges, x = ogb_files(root / "ogb" / "ogbn-arxiv", "ogbn-arxiv", seed)
    shrink(monkeypatch, "ogbn-arxiv", features=4, classes=3)
    loaded = registry.load("ogbn-arxiv")
    graph = loaded.value
    both = torch.from_numpy(np.concatenate((edges, edges[:, ::-1])).T.copy())
    expected = Csr.from_edge_index(both, NODES)
    assert torch.equal(graph.adjacency.indptr, expected.indptr) and torch.equal(
        graph.adjacency.indices, expected.indices
    )
    assert np.allclose(graph.x.numpy(), x) and graph.y.dtype == torch.int64
    assert [int(mask.sum()) for mask in (graph.train, graph.val, graph.test)] == [20, 4, 6]
    assert "both directions" in loaded.record["note"]


def test_features_of_proteins_are_sums_over_their_edges(root, monkeypatch, seed):
    edges, features = ogb_files(root / "ogb" / "ogbn-proteins", "ogbn-proteins", seed)
    shrink(monkeypatch, "ogbn-proteins", classes=6)
    graph = registry.load("ogbn-proteins").value
    expected = np.zeros((NODES, 8))
    for (one, other), values in zip(edges, features, strict=True):
        expected[one] += values
        expected[other] += values
    assert np.array_equal(graph.x.numpy(), expected) and graph.metric == "roc_auc" and graph.multilabel


@pytest.mark.parametrize("block", [7, 64])
def test_tables_are_parsed_across_blocks(block, tmp_path, monkeypatch):
    monkeypatch.setattr(ogb, "BLOCK", block)
    rows = np.random.default_rng(0).normal(size=(40, 3)).round(4)
    table(tmp_path / "t.csv.gz", rows)
    assert np.allclose(ogb._table(tmp_path / "t.csv.gz", 3, np.float32, 40), rows)


@pytest.mark.parametrize("part", ["raw/edge.csv.gz", "raw/node-feat.csv.gz", "split/time/train.csv.gz"])
def test_damaged_tables_are_refused(part, root, monkeypatch, seed):
    ogb_files(root / "ogb" / "ogbn-arxiv", "ogbn-arxiv", seed)
    shrink(monkeypatch, "ogbn-arxiv", features=4, classes=3)
    path = root / "ogb" / "ogbn-arxiv" / part
    assert survives("ogbn-arxiv", path, seed, times=12, folder=path.parents[len(part.split("/")) - 1]) >= 18
    table(path, [["one", "two"]])
    with pytest.raises(MissingRequirement, match=path.name):
        registry.load("ogbn-arxiv")


def test_ogb_archive_is_fetched_and_a_broken_one_leaves_nothing(root, tmp_path, monkeypatch, seed):
    ogb_files(tmp_path / "web" / "arxiv", "ogbn-arxiv", seed)
    shrink(monkeypatch, "ogbn-arxiv", features=4, classes=3)
    monkeypatch.setattr(ogb, "URL", (tmp_path / "web").as_uri() + "/{archive}.zip")
    with zipfile.ZipFile(tmp_path / "web" / "arxiv.zip", "w") as archive:
        for path in (tmp_path / "web" / "arxiv").rglob("*.gz"):
            archive.write(path, path.relative_to(tmp_path / "web"))
    assert "ogbn-arxiv" in registry.fetch("ogbn-arxiv")
    assert registry.load("ogbn-arxiv").value.num_nodes == NODES
    whole = (tmp_path / "web" / "arxiv.zip").read_bytes()
    (tmp_path / "web" / "arxiv.zip").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    with pytest.raises(MissingRequirement, match="not a readable archive"):
        registry.fetch("ogbn-arxiv")
    assert not list((tmp_path / "other" / "effml").iterdir())


@pytest.mark.parametrize("name", ["cora", "ogbn-products", "cifar100", "msraction3d", "rtllm"])
def test_without_network_the_set_its_size_and_the_other_ways_are_named(name, root, monkeypatch):
    def unreachable(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(download.urllib.request, "urlopen", unreachable)
    with pytest.raises(
        MissingRequirement, match=rf"data set {name} \((about )?[\d.]+ [kMG]B\): .*cannot be reached.*EFFML_DATA"
    ):
        registry.fetch(name)


def test_set_that_only_its_makers_hand_out_says_so(root):
    with pytest.raises(MissingRequirement, match=r"imagenet cannot be fetched: download it from image-net\.org"):
        registry.fetch("imagenet")
