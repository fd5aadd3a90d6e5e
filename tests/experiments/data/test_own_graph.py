"""The user's own graph in every form: the same graph comes out of each; what is damaged or contradictory is refused."""

import gzip

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch

from effml.errors import MissingRequirement, UserError
from effml.experiments.data import registry
from effml.kernels.csr import Csr
from tests.experiments.data.damage import survives

NODES = 40


@pytest.fixture
def edges(seed):
    found = np.random.default_rng(seed).integers(NODES, size=(2, 200))
    found[:, 0] = NODES - 1, 0  # the largest id occurs, so that edge lists have as many nodes
    return np.unique(found, axis=1)


def write(form, edges, folder, **arrays):
    path = folder / f"mine.{form}"
    matrix = scipy.sparse.coo_matrix((np.ones(edges.shape[1]), (edges[1], edges[0])), shape=(NODES, NODES))
    if form == "npz":
        np.savez_compressed(path, edge_index=edges, **arrays)
    elif form == "csr.npz":
        rows = matrix.tocsr()
        np.savez(path, indptr=rows.indptr, indices=rows.indices, **arrays)
    elif form == "scipy.npz":
        scipy.sparse.save_npz(path, matrix.tocsr())
    elif form == "coo.npz":
        scipy.sparse.save_npz(path, matrix)
    elif form == "mtx":
        scipy.io.mmwrite(path, matrix)
    elif form == "mtx.gz":
        scipy.io.mmwrite(folder / "plain.mtx", matrix)
        path.write_bytes(gzip.compress((folder / "plain.mtx").read_bytes()))
    elif form == "txt":
        path.write_text("# two columns\n" + "".join(f"{s} {t}\n" for s, t in edges.T))
    elif form == "csv":
        path.write_text("source,target\n" + "".join(f"{s},{t}\n" for s, t in edges.T))
    elif form == "pt":
        from torch_geometric.data import Data

        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        masks = {f"{name}_mask": tensors.pop(name) for name in ("train", "val", "test") if name in tensors}
        torch.save(Data(edge_index=torch.from_numpy(edges), num_nodes=NODES, **tensors, **masks), path)
    elif form == "indptr":
        rows = matrix.tocsr()
        rows.indptr.astype(np.int32).tofile(path)
        rows.indices.astype(np.int32).tofile(path.with_suffix(".indices"))
    return path


FORMS = ["npz", "csr.npz", "scipy.npz", "coo.npz", "mtx", "mtx.gz", "txt", "csv", "pt", "indptr"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_graph(form, edges, tmp_path):
    loaded = registry.load("file", path=write(form, edges, tmp_path), among=("cora",))
    expected = Csr.from_edge_index(torch.from_numpy(edges), NODES)
    adjacency = loaded.value.adjacency
    assert torch.equal(adjacency.indptr, expected.indptr) and torch.equal(adjacency.indices, expected.indices)
    assert loaded.record["name"] == "file" and loaded.record["origin"] == "file"
    assert "/" not in loaded.record["note"]


@pytest.mark.parametrize("form", ["npz", "csr.npz", "pt"])
def test_features_classes_and_masks_come_along(form, edges, tmp_path, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(NODES, 3)).astype(np.float32), rng.integers(4, size=NODES)
    y[0] = 3
    train = np.arange(NODES) < 20
    val, test = ~train & (np.arange(NODES) < 30), np.arange(NODES) >= 30
    graph = registry.load(
        "graph-file", path=write(form, edges, tmp_path, x=x, y=y, train=train, val=val, test=test)
    ).value
    assert np.array_equal(graph.x.numpy(), x) and np.array_equal(graph.y.numpy(), y) and graph.num_classes == 4
    assert np.array_equal(graph.train.numpy(), train) and np.array_equal(graph.test.numpy(), test)


def test_graph_without_masks_is_split_with_the_seed(edges, tmp_path):
    y = np.arange(NODES) % 2
    y[:8] = -1
    path = write("npz", edges, tmp_path, y=y)
    one, again, other = (registry.load("graph-file", path=path, seed=seed) for seed in (0, 0, 1))
    assert int((one.value.train | one.value.val | one.value.test).sum()) == NODES - 8
    assert torch.equal(one.value.train, again.value.train) and not torch.equal(one.value.train, other.value.train)
    assert "split 50/25/25, seed 1" in other.record["note"]


def test_several_labels_a_node(edges, tmp_path):
    y = (np.arange(NODES * 3).reshape(NODES, 3) % 2).astype(np.int64)
    graph = registry.load("graph-file", path=write("npz", edges, tmp_path, y=y)).value
    assert graph.multilabel and graph.num_classes == 3 and graph.y.dtype == torch.float32


def test_symmetric_adds_every_reversal(edges, tmp_path):
    graph = registry.load("graph-file", path=write("txt", edges, tmp_path), symmetric=True).value
    dense = graph.adjacency.to_torch().to_dense()
    assert torch.equal(dense, dense.T) and graph.num_edges > edges.shape[1]


def test_scattered_ids_are_renumbered_and_weights_said_to_be_unused(tmp_path):
    (tmp_path / "big.txt").write_text("1000000000 7\n7 5000000000\n")
    loaded = registry.load("graph-file", path=tmp_path / "big.txt")
    assert loaded.value.num_nodes == 3 and "renumbered" in loaded.record["note"]
    (tmp_path / "weights.csv").write_text("0,1,0.5\n1,2,0.25\n")
    assert "not used" in registry.load("graph-file", path=tmp_path / "weights.csv").record["note"]
    matrix = scipy.sparse.coo_matrix(([0.5, 2.0], ([0, 1], [1, 0])), shape=(2, 2))
    scipy.io.mmwrite(tmp_path / "weights.mtx", matrix)
    assert "weights not used" in registry.load("graph-file", path=tmp_path / "weights.mtx").record["note"]


@pytest.mark.parametrize("form", FORMS)
def test_damage_is_refused_or_harmless(form, edges, tmp_path, seed):
    x = np.random.default_rng(seed).normal(size=(NODES, 3)).astype(np.float32)
    path = write(form, edges, tmp_path, x=x, y=np.arange(NODES) % 3)
    refused = survives("graph-file", path, seed, times=25)
    # Every cut of a file with its own checksums shows; of a text, some cuts leave a shorter list of edges.
    assert refused >= (40 if form in ("npz", "pt", "mtx.gz") else 2)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"edge_index": np.array([[0, 1, 9], [1, 2, 0]]), "y": np.array([0, 1, 0])}, r"node ids run outside 0\.\.2"),
        ({"edge_index": np.array([[0, -1], [1, 2]])}, "node ids run outside"),
        ({"edge_index": np.array([[0.5, 1], [1, 2]])}, "must be integers"),
        ({"edge_index": np.array([0, 1, 2])}, "shape"),
        ({"edge_index": np.array([[0], [1]]), "x": np.array([[1.0], [np.nan]])}, "not finite"),
        ({"edge_index": np.array([[0], [1]]), "x": np.ones((3, 1)), "y": np.array([0, 1])}, "y has 2 rows for 3 nodes"),
        ({"edge_index": np.array([[0], [1]]), "y": np.array([0.5, 1])}, "whole numbers"),
        ({"edge_index": np.array([[0], [1]]), "y": np.array([0, 1]), "train": np.array([True, False])}, "not all of"),
        ({"indptr": np.array([0, 2, 1]), "indices": np.array([0])}, "indptr does not run"),
        ({"indptr": np.array([0, 1])}, "neither edge_index nor indptr"),
        ({"edge_index": np.zeros((2, 0), dtype=np.int64)}, "no node"),
        ({"edge_index": np.array([[0], [2**40]])}, "more than int32"),
    ],
)
def test_contradictions_are_named(arrays, told, tmp_path):
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(MissingRequirement, match=rf"wrong\.npz .*{told}"):
        registry.load("graph-file", path=tmp_path / "wrong.npz")


def test_code_in_a_file_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("exploded").write_text, ("boom",))

    torch.save({"edge_index": torch.zeros(2, 1, dtype=torch.long), "x": Bomb()}, tmp_path / "bomb.pt")
    np.savez(tmp_path / "bomb.npz", edge_index=np.array([Bomb()], dtype=object))
    for name in ("bomb.pt", "bomb.npz"):
        with pytest.raises(MissingRequirement, match=name):
            registry.load("graph-file", path=tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def test_other_endings_are_refused_with_the_known_ones(tmp_path):
    (tmp_path / "graph.xlsx").write_text("")
    with pytest.raises(UserError, match=r"expected a file ending in \.npz, \.mtx"):
        registry.load("graph-file", path=tmp_path / "graph.xlsx")
