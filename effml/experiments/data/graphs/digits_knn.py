"""`digits-knn`: scikit-learn's 1,797 handwritten digits, each joined to its nearest neighbours in pixel space.

Real images and real classes, with an installed package: what a first run trains on. Edges run from a neighbour to the
image that chose it and back, so that the graph is symmetric.
"""

from __future__ import annotations

import torch

from effml.errors import UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.graphs.content import content
from effml.experiments.data.graphs.graph import Graph
from effml.experiments.data.graphs.splits import random_split
from effml.kernels.csr import Csr


def load(files: Files, neighbours: int = 10, seed: int = 0, nodes: int | None = None) -> Content:
    """Args: `neighbours` chosen by each image; `seed` of the 50/25/25 split; `nodes` of a seeded subgraph."""
    from sklearn.datasets import load_digits
    from sklearn.neighbors import kneighbors_graph

    if not 1 <= neighbours < 1797:
        raise UserError(f"data set digits-knn: neighbours={neighbours} is out of range; expected 1 to 1796")
    pixels, classes = load_digits(return_X_y=True)
    chosen = kneighbors_graph(pixels, neighbours).tocoo()
    rows, columns = torch.from_numpy(chosen.row).long(), torch.from_numpy(chosen.col).long()
    edge_index = torch.stack((torch.cat((rows, columns)), torch.cat((columns, rows))))
    train, val, test = random_split(torch.ones(len(pixels), dtype=torch.bool), seed=seed)
    graph = Graph(
        "digits-knn",
        Csr.from_edge_index(edge_index, len(pixels)),
        torch.from_numpy(pixels).float() / 16,
        torch.from_numpy(classes).long(),
        train,
        val,
        test,
        num_classes=10,
    )
    told = f"{neighbours} neighbours; split 50/25/25, seed {seed}"
    return content(graph, told, nodes=nodes, seed=seed, sha256=graph.sha256())
