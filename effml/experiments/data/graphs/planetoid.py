"""`cora` and `citeseer` with the public split, from the raw `ind.*` files.

PyG reads the same files; it is not used because its import takes longer than training here. Self loops and repeated
edges are dropped, as PyG does; nodes of CiteSeer that the test file leaves out are isolated, without features.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from effml.experiments.data.entry import Content, Files
from effml.experiments.data.graphs.content import content
from effml.experiments.data.graphs.graph import Graph
from effml.kernels.csr import Csr


def load(files: Files, nodes: int | None = None, seed: int = 0) -> Content:
    """Args: `nodes`, `seed`: train on a seeded subgraph of this many nodes."""
    name = files.data.name
    parts = {
        part: _unpickle(files[f"planetoid/ind.{name}.{part}"]) for part in ("allx", "tx", "ally", "ty", "graph", "y")
    }
    tests = np.loadtxt(files[f"planetoid/ind.{name}.test.index"], dtype=np.int64)
    known, total = parts["allx"].shape[0], len(parts["graph"])
    x = np.zeros((total, parts["allx"].shape[1]), dtype=np.float32)
    classes = np.zeros((total, parts["ally"].shape[1]), dtype=np.int64)
    x[:known], classes[:known] = parts["allx"].toarray(), parts["ally"]
    # The i-th row of the test files belongs to the i-th smallest id, and is then moved to the i-th id listed.
    x[tests], classes[tests] = parts["tx"].toarray(), parts["ty"]
    pairs = [(node, other) for node, others in parts["graph"].items() for other in others if node != other]
    edge_index = torch.tensor(pairs).t()
    train, val, test = (torch.zeros(total, dtype=torch.bool) for _ in range(3))
    labelled = len(parts["y"])
    train[:labelled] = True
    val[labelled : labelled + 500] = True
    test[torch.from_numpy(tests)] = True
    graph = Graph(
        name,
        Csr.from_edge_index(torch.cat((edge_index, edge_index.flip(0)), 1), total),
        torch.from_numpy(x),
        torch.from_numpy(classes.argmax(1)),
        train,
        val,
        test,
        num_classes=classes.shape[1],
    )
    return content(graph, "public split", nodes=nodes, seed=seed)


def _unpickle(path: Path) -> Any:
    """The content of a pickle whose checksum has been verified; it may name old locations in scipy and numpy."""
    with warnings.catch_warnings(), open(path, "rb") as stream:
        warnings.simplefilter("ignore", DeprecationWarning)
        return pickle.load(stream, encoding="latin1")
