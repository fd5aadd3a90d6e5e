"""The graphs of a run: loaded, cut to what the device can train on, counted. Knows no model."""

from __future__ import annotations

import math
from typing import Any

import torch

from effml.errors import UserError
from effml.experiments.core.run import Run
from effml.experiments.data.graphs.graph import Graph
from effml.experiments.maxk.config import GENERATED, Config
from effml.kernels import Csr
from effml.models.gnn import sparse_features, with_self_loops

SUBGRAPH_SEED = 0
STRUCTURE_FEATURES, STRUCTURE_CLASSES = 64, 16  # of a graph that has none, where only time is asked


def learnable(config: Config, run: Run) -> Graph:
    """The run's data set, on its device; on a CPU a seeded subgraph where the whole is too large, and the log says so."""
    graph: Graph = run.load(config.dataset, **_drawn_where(run, config.dataset.name))
    if graph.x is None or graph.y is None or graph.train is None:
        raise UserError(
            f"data set {graph.name} has no features, classes or splits to train on; "
            "use it with suite=kernel kernel.graphs=[dataset]"
        )
    return _fitting(graph, config, run)


def _fitting(graph: Graph, config: Config, run: Run) -> Graph:
    most = config.train.max_edges
    if run.device.type == "cpu" and graph.num_edges > most:
        # Both ends of an edge must be drawn: edges fall with the square of the share of nodes.
        graph = graph.subgraph(int(graph.num_nodes * math.sqrt(most / graph.num_edges)), SUBGRAPH_SEED)
        run.log(
            f"{graph.name}: the whole is for a GPU; {graph.note}, {graph.num_edges:,} edges (train.max_edges={most:,})"
        )
    return graph.to(run.device)


def structure(config: Config, run: Run, name: str, sizes: dict[str, Any]) -> Graph:
    """A graph to multiply by, on the run's device; `dataset` means the run's own data set."""
    if name == "dataset":
        return _fitting(run.load(config.dataset, **_drawn_where(run, config.dataset.name)), config, run)
    options: dict[str, Any] = {}
    if name == "chung-lu":
        options = {"n": sizes["nodes"], "edges": sizes["edges"]}
    elif name.startswith("twin-") or name.endswith("-synthetic"):
        options = {"scale": sizes.get("scale", 1.0)}
    return run.load(name, **options, **_drawn_where(run, name)).to(run.device)


def _drawn_where(run: Run, name: str) -> dict[str, str]:
    """A generated graph of a hundred million edges is drawn on the GPU where there is one."""
    generated = name in GENERATED or name.startswith("twin-")
    return {"device": "cuda"} if generated and run.device.type == "cuda" else {}


def looped(adj: Csr, loops: str, kind: str) -> Csr:
    """The pattern with the self loops that this kind of layer gets on this data set."""
    return with_self_loops(adj) if loops == "all" or (loops == "convolutional" and kind != "sage") else adj


def inputs(graph: Graph, run: Run) -> torch.Tensor | Csr:
    """Node features as the first layer takes them; random ones for a graph that is structure alone."""
    if graph.x is None:
        drawn = torch.randn(graph.num_nodes, STRUCTURE_FEATURES, generator=run.generator("features"))
        return drawn.to(run.device)
    return sparse_features(graph.x) if graph.x.layout == torch.sparse_csr else graph.x


def count(graph: Graph, run: Run, evidence: str | None = None) -> None:
    """Record a graph's numbers under the table `datasets`."""
    degrees = graph.adjacency.degrees
    numbers: dict[str, float] = {
        "nodes": graph.num_nodes,
        "edges": graph.num_edges,
        "mean_degree": graph.num_edges / max(graph.num_nodes, 1),
        "max_degree": int(degrees.max()) if degrees.numel() else 0,
    }
    if graph.x is not None:
        numbers |= {"features": graph.num_features, "classes": graph.num_classes}
    for metric, value in numbers.items():
        run.record("datasets", {"dataset": graph.name}, metric, value, note=graph.note or None, evidence=evidence)
