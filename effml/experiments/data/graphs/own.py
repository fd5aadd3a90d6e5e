"""The user's own graph: .npz, Matrix Market, an edge list, PyG's .pt, or raw `.indptr` with `.indices` beside it.

Whatever the form, ids must lie within the graph, features be finite, masks and classes fit the nodes; a file that breaks
off or contradicts itself is refused by name. Edge weights are not used: what a layer weighs edges by is the layer's.
"""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from effml.errors import MissingRequirement, UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.graphs.content import content
from effml.experiments.data.graphs.graph import Graph
from effml.experiments.data.graphs.splits import random_split
from effml.experiments.data.places import reading, require
from effml.kernels.csr import Csr

MASKS = ("train", "val", "test")


@dataclass
class Raw:
    """What was read: edges `[2, E]` (source over target), arrays by name (x, y, train, val, test), notes."""

    edges: np.ndarray
    nodes: int | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def load(files: Files, nodes: int | None = None, seed: int = 0, symmetric: bool = False) -> Content:
    """The graph at `files.own`.

    Args:
        nodes, seed: train on a seeded subgraph; `seed` also splits a graph that has classes but no masks.
        symmetric: add the reversal of every edge.
    """
    path = files.own
    raw = _reader(path)(path)
    graph = _graph(raw, path, seed, symmetric)
    return content(graph, "; ".join([path.name, *raw.notes]), nodes=nodes, seed=seed, sha256=graph.sha256())


def _reader(path: Path) -> Any:
    readers = {
        ".npz": read_npz,
        ".mtx": read_matrix_market,
        ".txt": read_edge_list,
        ".csv": read_edge_list,
        ".tsv": read_edge_list,
        ".edges": read_edge_list,
        ".pt": read_pyg,
        ".indptr": read_raw_csr,
    }
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in readers or path.is_dir():
        listed = ", ".join(readers)
        raise UserError(f"{path.name} is no graph that can be read; expected a file ending in {listed}")
    return readers[suffix]


def read_npz(path: Path) -> Raw:
    """`edge_index` [2, E], or `indptr` with `indices` (row: target), or scipy's saved matrix; x, y, train, val, test."""
    with reading(path, "an .npz of arrays of numbers"), np.load(path, allow_pickle=False) as archive:
        held = {name: _numbers(archive, name) for name in archive.files}
    names = {name.removesuffix("_mask").removeprefix("adj_"): name for name in held}
    arrays = {name: held[names[name]] for name in ("x", "y", *MASKS) if name in names}
    if "edge_index" in names:
        edges = held["edge_index"]
        require(
            edges.ndim == 2 and edges.shape[0] == 2, path, f"edge_index has shape {edges.shape}, expected (2, edges)"
        )
        return Raw(edges, arrays=arrays)
    if {"row", "col"} <= set(names):
        require(held[names["row"]].shape == held[names["col"]].shape, path, "row and col differ in length")
        return Raw(
            np.stack((held[names["col"]], held[names["row"]])), _side(held, names, path), arrays, _weights(held, names)
        )
    require({"indptr", "indices"} <= set(names), path, "it holds neither edge_index nor indptr with indices")
    indptr, indices = held[names["indptr"]], held[names["indices"]]
    edges = _from_csr(indptr, indices, path)
    return Raw(edges, _side(held, names, path) or len(indptr) - 1, arrays, _weights(held, names))


def _numbers(archive: Any, name: str) -> np.ndarray:
    try:
        return archive[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ValueError(f"{name} holds Python objects, which are not loaded; save it as an array of numbers") from None


def _side(held: dict[str, np.ndarray], names: dict[str, str], path: Path) -> int | None:
    if "shape" not in names:
        return None
    shape = held[names["shape"]]
    require(shape.size == 2 and shape[0] == shape[1], path, f"a graph's matrix is square, this one is {tuple(shape)}")
    return int(shape[0])


def _weights(held: dict[str, np.ndarray], names: dict[str, str]) -> list[str]:
    values = held.get(names.get("data", ""))
    return ["edge weights not used"] if values is not None and values.size and (values != values.flat[0]).any() else []


def _from_csr(indptr: np.ndarray, indices: np.ndarray, path: Path) -> np.ndarray:
    for name, array in (("indptr", indptr), ("indices", indices)):
        require(array.ndim == 1 and array.dtype.kind in "iu", path, f"{name} must be a list of integers")
    ascending = len(indptr) > 0 and indptr[0] == 0 and indptr[-1] == len(indices) and bool((np.diff(indptr) >= 0).all())
    require(ascending, path, f"indptr does not run from 0 to the {len(indices):,} indices")
    return np.stack((indices.astype(np.int64), np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))))


def read_matrix_market(path: Path) -> Raw:
    """A square Matrix Market file, plain or gzipped; row: target, column: source."""
    from scipy.io import mmread

    with reading(path, "a Matrix Market file"):
        matrix = mmread(_opened(path))
        if not hasattr(matrix, "tocoo"):
            raise ValueError("the matrix is dense; a graph is given in coordinate format")
        matrix = matrix.tocoo()
    require(matrix.shape[0] == matrix.shape[1], path, f"a graph's matrix is square, this one is {matrix.shape}")
    notes = _weights({"data": matrix.data}, {"data": "data"})
    return Raw(np.stack((matrix.col, matrix.row)).astype(np.int64), matrix.shape[0], notes=notes)


def read_edge_list(path: Path) -> Raw:
    """Two integers a line, source and target, separated by blanks, tabs or commas; `#`, `%` and one header line skipped.

    Ids that leave more than three quarters of the numbers below the largest unused are renumbered, and the note says so.
    """
    with reading(path, "an edge list"):
        text = _opened(path).read().decode("utf-8")
        first = next((line for line in text.splitlines() if line.strip() and line.lstrip()[0] not in "#%"), "")
        separator = "," if "," in first else None
        header = int(not all(_is_integer(word) for word in first.split(separator)[:2]))
        lines = [line for line in text.splitlines() if line.strip() and line.lstrip()[0] not in "#%"][header:]
        table = (
            np.loadtxt(lines, dtype=np.int64, delimiter=separator, usecols=(0, 1), ndmin=2)
            if lines
            else np.empty((0, 2), int)
        )
        width = len(first.split(separator))
    require(len(table) > 0, path, "it holds no edge")
    require(table.min() >= 0, path, f"node id {table.min()} is negative")
    notes = ["columns after the second not used"] if width > 2 else []
    distinct, codes = np.unique(table, return_inverse=True)
    if table.max() + 1 > 4 * len(distinct):
        table = codes.reshape(table.shape)
        notes.append("node ids renumbered")
    return Raw(table.T, notes=notes)


def _is_integer(word: str) -> bool:
    return word.strip().lstrip("+-").isdigit()


def read_pyg(path: Path) -> Raw:
    """PyG's `Data`, alone or as saved by a data set of one graph, or a dict of tensors. No code in it is run."""
    with reading(path, "a file of torch.save", AttributeError):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged:
                raise ValueError(f"{damaged} inside fails its checksum")
        try:
            held = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            held = _with_pyg_classes(path)
    if isinstance(held, list | tuple) and held:
        held = held[0]
    take = held.get if isinstance(held, dict) else lambda name: getattr(held, name, None)
    edges = take("edge_index")
    if not isinstance(edges, torch.Tensor) or edges.dim() != 2 or edges.shape[0] != 2:
        raise MissingRequirement(f"{path} is not usable: it holds no edge_index of two rows")
    arrays = {}
    for name in ("x", "y", *MASKS):
        value = take(f"{name}_mask") if name in MASKS else take(name)
        if isinstance(value, torch.Tensor):
            arrays[name] = value.to_dense().numpy()
    count = take("num_nodes")
    return Raw(edges.numpy(), count if isinstance(count, int) else None, arrays)


def _with_pyg_classes(path: Path) -> Any:
    """The content of a file that names PyG's containers, and no other classes."""
    from torch_geometric.data import Data, data, storage

    known = [Data, data.DataEdgeAttr, data.DataTensorAttr, storage.BaseStorage, storage.NodeStorage]
    with torch.serialization.safe_globals([*known, storage.EdgeStorage, storage.GlobalStorage]):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            told = "it holds more than tensors and PyG's Data; save edge_index, x and y as a dict of tensors or as .npz"
            raise ValueError(told) from error


def read_raw_csr(path: Path) -> Raw:
    """int32 `NAME.indptr` and `NAME.indices` without header, as published with MaxK-GNN and Accel-GCN."""
    other = path.with_suffix(".indices")
    for part in (path, other):
        require(part.is_file(), part, "it is missing; NAME.indptr and NAME.indices belong together")
        require(part.stat().st_size % 4 == 0, part, "its size is no multiple of 4 bytes")
    indptr, indices = np.fromfile(path, dtype=np.int32), np.fromfile(other, dtype=np.int32)
    return Raw(_from_csr(indptr, indices, path), len(indptr) - 1)


def _opened(path: Path) -> io.BytesIO:
    content = path.read_bytes()
    return io.BytesIO(gzip.decompress(content) if path.suffix == ".gz" else content)


def _graph(raw: Raw, path: Path, seed: int, symmetric: bool) -> Graph:
    """Check what was read against itself and make a Graph of it."""
    require(raw.edges.dtype.kind in "iu", path, f"node ids must be integers, not {raw.edges.dtype}")
    edges = torch.from_numpy(np.ascontiguousarray(raw.edges, dtype=np.int64))
    largest = int(edges.max()) + 1 if edges.numel() else 0
    sizes = {name: len(array) for name, array in raw.arrays.items()}
    count = raw.nodes or sizes.get("x") or sizes.get("y") or largest
    require(count > 0, path, "it holds no node")
    require(count < 2**31, path, f"{count:,} nodes are more than int32 ids can tell apart")
    in_range = not edges.numel() or (int(edges.min()) >= 0 and largest <= count)
    require(in_range, path, f"node ids run outside 0..{count - 1:,}")
    for name, size in sizes.items():
        require(size == count, path, f"{name} has {size:,} rows for {count:,} nodes")
    if symmetric:
        edges = torch.cat((edges, edges.flip(0)), 1)
    graph = Graph(path.name, Csr.from_edge_index(edges, count), _features(raw, path), **_classes(raw, path))
    if graph.y is None:
        return graph
    given = {name: torch.from_numpy(raw.arrays[name].astype(bool)) for name in MASKS if name in raw.arrays}
    for name, mask in given.items():
        require(mask.dim() == 1, path, f"{name} must be one mask over the nodes, not of shape {tuple(mask.shape)}")
    require(len(given) in (0, 3), path, f"it has {', '.join(given)} but not all of train, val, test")
    if not given:
        labelled = torch.ones(count, dtype=torch.bool) if graph.multilabel else graph.y >= 0
        given = dict(zip(MASKS, random_split(labelled, seed=seed), strict=True))
        raw.notes.append(f"split 50/25/25, seed {seed}")
    graph.train, graph.val, graph.test = (given[name] for name in MASKS)
    return graph


def _features(raw: Raw, path: Path) -> torch.Tensor | None:
    x = raw.arrays.get("x")
    if x is None:
        return None
    require(x.ndim == 2 and x.dtype.kind in "iufb", path, f"x must be a table of numbers, not {x.dtype} {x.shape}")
    x = x.astype(np.float32)
    require(bool(np.isfinite(x).all()), path, "x holds a value that is not finite")
    return torch.from_numpy(x)


def _classes(raw: Raw, path: Path) -> dict[str, Any]:
    y = raw.arrays.get("y")
    if y is None:
        return {}
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    require(y.ndim in (1, 2), path, f"y has shape {y.shape}, expected one class or one row of labels a node")
    if y.ndim == 2:
        require(bool(np.isin(y, (0, 1)).all()), path, "several labels a node are given as 0 and 1")
        labels = torch.from_numpy(y.astype(np.float32))
        return {"y": labels, "num_classes": y.shape[1], "multilabel": True, "metric": "micro_f1"}
    whole = y.dtype.kind in "iu" or (y.dtype.kind == "f" and bool((y == np.round(y)).all()))
    require(whole and y.min() >= -1, path, "classes must be whole numbers from 0 (or -1: unknown)")
    require(y.max() < 2**16, path, f"class {y.max()} is out of range; expected below 65,536")
    require(y.max() >= 0, path, "no node has a class")
    return {"y": torch.from_numpy(y.astype(np.int64)), "num_classes": int(y.max()) + 1}
