"""`ogbn-arxiv`, `ogbn-products` and `ogbn-proteins`, read from OGB's own files: `<root>/ogb/NAME/{raw,split}/`.

The `ogb` package is not used: it asks questions on the terminal, looks for a newer version of itself on import, and
cannot load what it has stored under torch 2.6 or later. The files are gzipped tables without header.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from effml.errors import MissingRequirement
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.graphs.content import content
from effml.experiments.data.graphs.graph import Graph
from effml.experiments.data.places import reading, require
from effml.kernels.csr import Csr

URL = "http://snap.stanford.edu/ogb/data/nodeproppred/{archive}.zip"
BLOCK = 1 << 26
SPACED = bytes.maketrans(b",\n\r", b"   ")


@dataclass(frozen=True)
class Published:
    """A set as OGB describes it: edges as stored (one direction), sizes of train, validation and test."""

    archive: str
    nodes: int
    edges: int
    features: int
    classes: int
    split: str
    parts: tuple[int, int, int]
    metric: str = "accuracy"


SETS = {
    "ogbn-arxiv": Published("arxiv", 169_343, 1_166_243, 128, 40, "time", (90_941, 29_799, 48_603)),
    "ogbn-products": Published(
        "products", 2_449_029, 61_859_140, 100, 47, "sales_ranking", (196_615, 39_323, 2_213_091)
    ),
    "ogbn-proteins": Published("proteins", 132_534, 39_561_252, 8, 112, "species", (86_619, 21_236, 24_679), "roc_auc"),
}


def fetch(root: Path, name: str) -> None:
    """Download and unpack the set; every member is checked against the archive's own CRC."""
    from effml.experiments.data import download

    url = URL.format(archive=SETS[name].archive)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=root) as folder:
        archive = Path(folder) / "archive.zip"
        download.save(url, archive)
        try:
            with zipfile.ZipFile(archive) as members:
                members.extractall(folder)
        except (zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise MissingRequirement(f"{url} is not a readable archive ({error}); try again") from error
        unpacked = Path(folder) / SETS[name].archive
        require(
            (unpacked / "raw" / "edge.csv.gz").is_file(), archive, f"it holds no {SETS[name].archive}/raw/edge.csv.gz"
        )
        target = root / "ogb" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        unpacked.replace(target)


def load(files: Files, nodes: int | None = None, seed: int = 0) -> Content:
    """Edges are taken in both directions, as every published model does.

    Features of proteins are the sums of the features of their edges. Args: `nodes`, `seed`: a seeded subgraph.
    """
    name = files.data.name
    published = SETS[name]
    folder = files.folder(f"ogb/{name}")
    raw, split = folder / "raw", folder / "split" / published.split
    edges = _table(raw / "edge.csv.gz", 2, np.int64, published.edges)
    require(edges.min() >= 0 and edges.max() < published.nodes, raw / "edge.csv.gz", "a node id is out of range")
    edge_index = torch.from_numpy(edges.T.copy())
    multilabel = name == "ogbn-proteins"
    if multilabel:
        x = _sums_over_edges(
            edge_index, _table(raw / "edge-feat.csv.gz", 8, np.float32, published.edges), published.nodes
        )
    else:
        x = torch.from_numpy(_table(raw / "node-feat.csv.gz", published.features, np.float32, published.nodes))
    width = published.classes if multilabel else 1
    labels = torch.from_numpy(_table(raw / "node-label.csv.gz", width, np.float32, published.nodes))
    masks = []
    for part, count in zip(("train", "valid", "test"), published.parts, strict=True):
        ids = _table(split / f"{part}.csv.gz", 1, np.int64, count)[:, 0]
        require(ids.min() >= 0 and ids.max() < published.nodes, split / f"{part}.csv.gz", "a node id is out of range")
        mask = torch.zeros(published.nodes, dtype=torch.bool)
        mask[torch.from_numpy(ids)] = True
        masks.append(mask)
    graph = Graph(
        name,
        Csr.from_edge_index(torch.cat((edge_index, edge_index.flip(0)), 1), published.nodes),
        x,
        labels if multilabel else labels[:, 0].long(),
        masks[0],
        masks[1],
        masks[2],
        num_classes=published.classes,
        multilabel=multilabel,
        metric=published.metric,
    )
    return content(graph, "edges in both directions", nodes=nodes, seed=seed, sha256=graph.sha256())


def _sums_over_edges(edge_index: torch.Tensor, features: np.ndarray, nodes: int) -> torch.Tensor:
    values = torch.from_numpy(features)
    sums = torch.zeros(nodes, features.shape[1])
    return sums.index_add_(0, edge_index[0], values).index_add_(0, edge_index[1], values)


def _table(path: Path, columns: int, dtype: type, rows: int) -> np.ndarray:
    """A gzipped table of numbers `[rows, columns]`, parsed block by block; any other shape is an error."""
    parts, rest = [], b""
    with reading(path, "a gzipped table of numbers"), gzip.open(path) as stream:
        while block := stream.read(BLOCK):
            whole, newline, tail = (rest + block).rpartition(b"\n")
            parts.append(_numbers(whole, dtype))
            rest = tail if newline else whole + tail
        parts.append(_numbers(rest, dtype))
        values = np.concatenate(parts)
        if values.size != rows * columns:
            raise ValueError(f"it holds {values.size:,} numbers instead of {rows:,} x {columns}")
        return values.reshape(rows, columns)


def _numbers(text: bytes, dtype: type) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # what numpy calls text that it cannot read to the end
        try:
            return np.fromstring(text.translate(SPACED), dtype=dtype, sep=" ")
        except DeprecationWarning as error:
            raise ValueError(str(error)) from error
