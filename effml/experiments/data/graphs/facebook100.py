"""`cornell5`: the friendships at one university, in the form of LINKX (Lim et al., NeurIPS 2021, section 4).

The class is the second of seven attributes (0 there: unknown, in no split); the other six are one-hot features.
"""

from __future__ import annotations

import torch

from effml.experiments.data.entry import Content, Files
from effml.experiments.data.graphs.content import content
from effml.experiments.data.graphs.features import one_hot_table
from effml.experiments.data.graphs.graph import Graph
from effml.experiments.data.graphs.splits import random_split
from effml.kernels.csr import Csr


def load(files: Files, seed: int = 0, nodes: int | None = None) -> Content:
    """Args: `seed` of the split and of the subgraph; `nodes`: train on a subgraph of this many nodes."""
    from scipy.io import loadmat

    held = loadmat(files["facebook100/Cornell5.mat"])
    edges = held["A"].tocoo()
    attributes = torch.from_numpy(held["local_info"].astype("int64"))
    y = attributes[:, 1] - 1
    train, val, test = random_split(y >= 0, seed=seed)
    graph = Graph(
        "cornell5",
        Csr.from_edge_index(torch.stack((torch.from_numpy(edges.col), torch.from_numpy(edges.row))), len(y)),
        one_hot_table(torch.cat((attributes[:, :1], attributes[:, 2:]), 1)),
        y,
        train,
        val,
        test,
        num_classes=2,
    )
    return content(graph, f"split 50/25/25 of labelled nodes, seed {seed}", nodes=nodes, seed=seed)
