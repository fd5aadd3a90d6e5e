"""`reddit`, `flickr`, `yelp` and `pyg-facebook`, through PyG's own loaders and in their folders: `<root>/pyg/NAME`.

`pyg-facebook` is another version of the Facebook pages than `musae-facebook`: 128 dense features.
"""

from __future__ import annotations

import importlib
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from effml.errors import MissingRequirement
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.graphs.content import content
from effml.experiments.data.graphs.graph import Graph
from effml.experiments.data.graphs.splits import random_split
from effml.experiments.data.places import reading, require
from effml.kernels.csr import Csr


@dataclass(frozen=True)
class Published:
    """PyG's class for a set, and the counts in its documentation."""

    loader: str
    nodes: int
    edges: int
    features: int
    classes: int
    metric: str = "accuracy"


SETS = {
    "reddit": Published("Reddit", 232_965, 114_615_892, 602, 41),
    "flickr": Published("Flickr", 89_250, 899_756, 500, 7),
    "yelp": Published("Yelp", 716_847, 13_954_819, 300, 100, "micro_f1"),
    "pyg-facebook": Published("FacebookPagePage", 22_470, 342_004, 128, 4),
}


def fetch(root: Path, name: str) -> None:
    """Let PyG download and process the set; MissingRequirement when it cannot."""
    folder = root / "pyg" / name
    try:
        _open(name, folder)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        shutil.rmtree(folder, ignore_errors=True)  # PyG takes a half-written file for a finished one
        raise MissingRequirement(f"PyG cannot download {name}: {type(error).__name__}: {error}") from error


def load(files: Files, nodes: int | None = None, seed: int = 0) -> Content:
    """Args: `nodes`, `seed`: train on a seeded subgraph of this many nodes."""
    name = files.data.name
    folder = files.folder(f"pyg/{name}")
    stored = folder / "processed" / "data.pt"
    require(stored.is_file(), folder, "a folder of PyG holds processed/data.pt")
    with reading(stored, f"PyG's {SETS[name].loader}", pickle.UnpicklingError, AttributeError):
        data = _open(name, folder)[0]
    graph = graph_of(data, name)
    published = SETS[name]
    for what, found, expected in (
        ("nodes", graph.num_nodes, published.nodes),
        ("edges", data.edge_index.shape[1], published.edges),
        ("features", graph.num_features, published.features),
        ("classes", graph.num_classes, published.classes),
    ):
        require(found == expected, stored, f"it holds {found:,} {what} instead of {expected:,}")
    told = "" if "train_mask" in data else f"split 50/25/25, seed {seed}"
    return content(graph, told, nodes=nodes, seed=seed, sha256=graph.sha256())


def graph_of(data: Any, name: str, seed: int = 0) -> Graph:
    """A Graph from PyG's `Data`; a set without split gets a seeded one."""
    multilabel = data.y.dim() == 2
    count = data.num_nodes
    if "train_mask" in data:
        masks = (data.train_mask, data.val_mask, data.test_mask)
    else:
        masks = random_split(torch.ones(count, dtype=torch.bool), seed=seed)
    return Graph(
        name,
        Csr.from_edge_index(data.edge_index, count),
        data.x.float(),
        data.y.float() if multilabel else data.y.long(),
        *masks,
        num_classes=data.y.shape[1] if multilabel else int(data.y.max()) + 1,
        multilabel=multilabel,
        metric=SETS[name].metric,
    )


def _open(name: str, folder: Path) -> Any:
    datasets = importlib.import_module("torch_geometric.datasets")
    return getattr(datasets, SETS[name].loader)(str(folder))
