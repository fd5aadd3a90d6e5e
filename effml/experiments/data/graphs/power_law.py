"""Graphs with a power law of degrees and nothing to learn: `chung-lu` and `products-synthetic`. For kernels.

Chung and Lu, 2002: both ends of an edge are drawn independently, each node with probability proportional to its weight.
"""

from __future__ import annotations

import torch

from effml.errors import UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.graphs.drawing import adjacency, both_ways, draw, rank_weights, shuffled, undirected
from effml.experiments.data.graphs.graph import Graph

PRODUCTS = (2_449_029, 61_859_140)  # nodes and undirected edges of ogbn-products


def chung_lu(files: Files, n: int = 200_000, edges: int = 12_000_000, seed: int = 0, device: str = "cpu") -> Content:
    """Directed edges over weights `(rank + 10) ** -0.6`, node ids shuffled; repeated edges are merged.

    Args: `n` nodes; `edges` drawn; `seed`; `device` whose generator draws.
    """
    if n < 1 or edges < 0:
        raise UserError(f"data set chung-lu: n={n}, edges={edges}; expected at least 1 node and 0 edges")
    generator = torch.Generator(device=device).manual_seed(seed)
    cumulative = shuffled(rank_weights(n, 0.6, 10.0, device), generator).cumsum(0)
    rows, columns = draw(cumulative, edges, generator), draw(cumulative, edges, generator)
    graph = Graph("chung-lu", adjacency(rows * n + columns, n))
    told = f"{n:,} nodes, {edges:,} edges drawn, {graph.num_edges:,} distinct; seed {seed}, {generator.device.type}"
    return Content(graph, graph.sha256(), told)


def products(files: Files, scale: float = 1.0, seed: int = 0, device: str = "cpu") -> Content:
    """Nodes and edges of ogbn-products; the power law's offset 32 gives its largest node some 17,000 neighbours.

    Args: `scale` of nodes and edges alike, so that the mean degree stays; `seed`; `device` whose generator draws.
    """
    nodes, pairs = scaled("products-synthetic", PRODUCTS, scale)
    generator = torch.Generator(device=device).manual_seed(seed)
    cumulative = shuffled(rank_weights(nodes, 0.6, 32.0, device), generator).cumsum(0)

    def ends(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        return draw(cumulative, count, generator), draw(cumulative, count, generator)

    keys = undirected(ends, nodes, pairs, "products-synthetic")
    note = "" if scale == 1 else f"scale {scale:g}"
    graph = Graph("products-synthetic", adjacency(both_ways(keys, nodes), nodes), note=note)
    told = (
        f"{nodes:,} nodes, {graph.num_edges:,} edges, symmetric; scale {scale:g}, seed {seed}, {generator.device.type}"
    )
    return Content(graph, graph.sha256(), told)


def scaled(name: str, counts: tuple[int, int], scale: float) -> tuple[int, int]:
    """Nodes and edges times `scale`; UserError where it is not in (0, 1]."""
    if not 0 < scale <= 1:
        raise UserError(f"data set {name}: scale={scale:g} is out of range; expected above 0, at most 1")
    return max(round(counts[0] * scale), 1), round(counts[1] * scale)
