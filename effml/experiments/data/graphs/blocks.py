"""`reddit-synthetic`: nodes, edges, features and classes in the numbers of Reddit, and something to learn.

Degree-corrected stochastic block model (Karrer and Newman, 2011) with one block a class: one end of an edge is drawn by
weight; the other from the same class with probability 0.75, else from all nodes. Weights `(rank + 100) ** -0.6` give the
largest node some 15,000 neighbours. Features are unit noise around a random mean of norm 2 for each class,
too little to tell 41 classes apart node by node and enough once neighbours are averaged. 3 % of the nodes carry a random
class, so that accuracy has a ceiling near 0.97. Small scales leave fewer edges within a class (about half at 0.05), where
its pairs of nodes run out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from effml.experiments.data.entry import Content, Files
from effml.experiments.data.graphs.drawing import adjacency, both_ways, draw, rank_weights, shuffled, undirected
from effml.experiments.data.graphs.graph import Graph
from effml.experiments.data.graphs.power_law import scaled

NODES, PAIRS = 232_965, 57_307_946
FEATURES, CLASSES = 602, 41
SAME_CLASS, MISLABELLED, MEAN_NORM = 0.75, 0.03, 2.0
TRAIN, VAL = 153_431 / NODES, 23_831 / NODES


def load(files: Files, scale: float = 1.0, seed: int = 0, device: str = "cpu") -> Content:
    """Args: `scale` of nodes and edges alike, so that the mean degree of 492 stays; `seed`; `device` that draws."""
    nodes, pairs = scaled("reddit-synthetic", (NODES, PAIRS), scale)
    generator = torch.Generator(device=device).manual_seed(seed)
    member = _classes(nodes, generator)
    keys = _edges(member, pairs, generator)
    means = torch.randn(CLASSES, FEATURES, generator=generator, device=device)
    means *= MEAN_NORM / means.norm(dim=1, keepdim=True)
    x = torch.randn(nodes, FEATURES, generator=generator, device=device) + means[member]
    y = member.clone()
    wrong = torch.rand(nodes, generator=generator, device=device) < MISLABELLED
    y[wrong] = torch.randint(CLASSES, (int(wrong.sum()),), generator=generator, device=device)
    place = torch.randperm(nodes, generator=generator, device=device)
    first, second = round(TRAIN * nodes), round((TRAIN + VAL) * nodes)
    train, val, test = place < first, (place >= first) & (place < second), place >= second
    note = "" if scale == 1 else f"scale {scale:g}"
    pattern = adjacency(both_ways(keys, nodes), nodes)
    graph = Graph("reddit-synthetic", pattern, x, y, train, val, test, num_classes=CLASSES, note=note)
    told = f"{nodes:,} nodes, {graph.num_edges:,} edges; scale {scale:g}, seed {seed}, {generator.device.type}"
    return Content(graph, graph.sha256(), told)


def _classes(nodes: int, generator: torch.Generator) -> Tensor:
    """`[nodes]` int64; the sizes of the classes fall off slowly, the largest some ten times the smallest."""
    cumulative = rank_weights(CLASSES, 1.0, 4.0, generator.device).cumsum(0)
    member = draw(cumulative, nodes, generator)
    member[: min(CLASSES, nodes)] = torch.arange(min(CLASSES, nodes), device=member.device)
    return member


def _edges(member: Tensor, pairs: int, generator: torch.Generator) -> Tensor:
    """Keys of the undirected edges.

    Nodes are renumbered so that each class is a stretch of the running sums of the weights, within which an end of the
    same class is drawn.
    """
    nodes = len(member)
    order = torch.sort(member, stable=True).indices
    cumulative = shuffled(rank_weights(nodes, 0.6, 100.0, generator.device), generator)[order].cumsum(0)
    ends_of = torch.bincount(member, minlength=CLASSES).cumsum(0)
    upper = cumulative[(ends_of - 1).clamp(min=0)]
    lower = torch.cat((upper.new_zeros(1), upper[:-1]))

    def ends(count: int) -> tuple[Tensor, Tensor]:
        one = draw(cumulative, count, generator)
        block = member[order[one]]
        same = torch.rand(count, generator=generator, device=generator.device) < SAME_CLASS
        low = torch.where(same, lower[block], 0.0)
        high = torch.where(same, upper[block], cumulative[-1])
        other = draw(cumulative, count, generator, low, high)
        return order[one], order[other]

    return undirected(ends, nodes, pairs, "reddit-synthetic")
