"""`musae-facebook`: 22,470 official Facebook pages and their mutual likes; the class is the kind of page.

4,714 binary features, about 14 a page: they come as a sparse matrix, for a dense input layer would cost more than the
whole rest of a network. The set has no split of its own: 50/25/25, seeded.
"""

from __future__ import annotations

import csv
import json

import numpy as np
import torch

from effml.experiments.data.entry import Content, Files
from effml.experiments.data.graphs.content import content
from effml.experiments.data.graphs.features import one_hot_rows
from effml.experiments.data.graphs.graph import Graph
from effml.experiments.data.graphs.splits import random_split
from effml.kernels.csr import Csr

CLASSES = ("company", "government", "politician", "tvshow")
FEATURES = 4714


def load(files: Files, seed: int = 0, nodes: int | None = None) -> Content:
    """Args: `seed` of the split and of the subgraph; `nodes`: train on a subgraph of this many nodes."""
    with open(files["musae/facebook_target.csv"], encoding="utf-8", newline="") as stream:
        kinds = [CLASSES.index(row["page_type"]) for row in csv.DictReader(stream)]
    held = json.loads(files["musae/facebook_features.json"].read_text())
    x = one_hot_rows([held[str(node)] for node in range(len(kinds))], FEATURES)
    edges = torch.from_numpy(
        np.loadtxt(files["musae/facebook_edges.csv"], dtype=np.int64, delimiter=",", skiprows=1)
    ).t()
    train, val, test = random_split(torch.ones(len(kinds), dtype=torch.bool), seed=seed)
    graph = Graph(
        "musae-facebook",
        Csr.from_edge_index(torch.cat((edges, edges.flip(0)), 1), len(kinds)),
        x,
        torch.tensor(kinds),
        train,
        val,
        test,
        num_classes=len(CLASSES),
    )
    return content(graph, f"split 50/25/25, seed {seed}", nodes=nodes, seed=seed)
