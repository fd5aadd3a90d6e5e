"""What every loader of a learnable graph ends with: a seeded subgraph where one is asked for, and the note."""

from __future__ import annotations

from effml.errors import UserError
from effml.experiments.data.entry import Content
from effml.experiments.data.graphs.graph import Graph


def content(graph: Graph, told: str = "", *, nodes: int | None = None, seed: int = 0, sha256: str = "") -> Content:
    """The loader's answer.

    Args:
        graph: the whole graph.
        told: what the row must say of it.
        nodes: train on the graph induced by this many nodes, drawn with `seed`; None or more than there are: on all.
        sha256: of the data, where no pinned file gives one.
    """
    if nodes is not None and nodes < 1:
        raise UserError(f"data set {graph.name}: nodes={nodes} is out of range; expected at least 1")
    part = graph if nodes is None else graph.subgraph(nodes, seed)
    return Content(part, sha256, "; ".join(text for text in (told, part.note) if text))
