"""Which two nodes share a ciphertext, before and after every block.

Two ciphertexts between whose nodes there is an edge cost a product for every channel, and one more for the conjugate. So
joined nodes go together, which on a skeleton leaves about as many products as there are edges; nodes whose activations are
at different places of a block cannot, because their levels differ on the way.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from effml.models.encrypted.fold import FoldedBlock, FoldedNetwork
from effml.models.encrypted.layout import Layout, Pair

TRIALS = 4000  # exchanges of nodes that are tried; a few tenths of a second


def choose_pairs(network: FoldedNetwork, layout: Layout) -> list[list[Pair]]:
    """Pairs of the input and of each block's output, by local search from neighbours; the same for the same network."""
    edges = [_linked(block.graph[:, :]) for block in network.blocks]
    kinds: list[Sequence[Any]] = [[0] * network.nodes, *(block.kinds for block in network.blocks)]
    found = [_pair(edges[max(0, place - 1)], kinds[place]) for place in range(len(edges) + 1)]
    weights = [_weight(block, layout) for block in network.blocks]

    def cost(place: int) -> float:
        """Products that depend on the pairs at one place."""
        total = 0.0
        for block in (place - 1, place):
            if 0 <= block < len(edges):
                graph, beside = weights[block]
                total += graph * _meetings(found[block + 1], found[block], edges[block])
                if beside:
                    total += beside * _meetings(found[block + 1], found[block], np.eye(network.nodes, dtype=bool))
        return total

    draw = random.Random(0)
    for _ in range(TRIALS):
        place = draw.randrange(len(found))
        if len(found[place]) < 2:
            continue
        before, now = found[place], cost(place)
        swapped = _exchange(before, kinds[place], draw)
        if swapped is None:
            continue
        found[place] = swapped
        if cost(place) > now:
            found[place] = before
    return [_along_graph(pairs, edges[max(0, place - 1)]) for place, pairs in enumerate(found)]


def _linked(graph: ndarray) -> ndarray:
    return (graph != 0).any((2, 3))


def _weight(block: FoldedBlock, layout: Layout) -> tuple[float, float]:
    """Products of a block for every two ciphertexts that meet: in the graph convolution, and beside it."""
    out, into = block.graph.shape[2:]
    graph = layout.period(into) * layout.groups(into) * layout.groups(out)
    if block.residual is None:
        return graph, 0.0
    diagonal = out == into and all(np.count_nonzero(weight) <= out for weight in block.residual)
    return graph, layout.groups(out) if diagonal else graph


def _meetings(targets: list[Pair], sources: list[Pair], edges: ndarray) -> int:
    """Products between ciphertexts with a common edge; two where the source has a conjugate."""
    nodes = len(edges)
    into, onto = _members(sources, nodes), _members(targets, nodes)
    met = (onto @ edges @ into.T) > 0
    return int((met * into.sum(1)).sum())


def _members(pairs: list[Pair], nodes: int) -> ndarray:
    held = np.zeros((len(pairs), nodes))
    for number, pair in enumerate(pairs):
        for node in pair:
            if node is not None:
                held[number, node] = 1
    return held


def _exchange(pairs: list[Pair], kinds: Sequence[Any], draw: random.Random) -> list[Pair] | None:
    """Two nodes of one kind in each other's place."""
    one, other = draw.sample(range(len(pairs)), 2)
    first, second = list(pairs[one]), list(pairs[other])
    i, j = draw.randrange(2), draw.randrange(2)
    left, right = first[i], second[j]
    if left is None or right is None or kinds[left] != kinds[right]:
        return None
    first[i], second[j] = right, left
    swapped = list(pairs)
    swapped[one], swapped[other] = (first[0], first[1]), (second[0], second[1])  # type: ignore[assignment]
    return swapped


def _pair(edges: ndarray, kinds: Sequence[Any]) -> list[Pair]:
    """Nodes of one kind two by two: joined ones first, then those with a common neighbour, then any."""
    linked = (edges | edges.T) & ~np.eye(len(edges), dtype=bool)
    two_away = (linked.astype(int) @ linked.astype(int) > 0) & ~np.eye(len(edges), dtype=bool)
    free = set(range(len(linked)))
    pairs: list[Pair] = []
    for related in (linked, two_away, np.ones_like(linked)):
        while True:
            # The node with the fewest candidates first: on a tree this finds a maximum matching.
            options = {
                node: [
                    other
                    for other in sorted(free)
                    if other != node and related[node, other] and kinds[other] == kinds[node]
                ]
                for node in sorted(free)
            }
            open_nodes = [node for node in options if options[node]]
            if not open_nodes:
                break
            node = min(open_nodes, key=lambda item: (len(options[item]), item))
            other = min(options[node], key=lambda item: (len(options[item]), item))
            pairs.append((min(node, other), max(node, other)))
            free -= {node, other}
    pairs += [(node, None) for node in sorted(free)]
    return pairs


def _along_graph(pairs: list[Pair], linked: ndarray) -> list[Pair]:
    """Depth first from a pair with fewest neighbours, so that cutting the list cuts few edges."""
    linked = linked | linked.T
    members = [[node for node in pair if node is not None] for pair in pairs]
    near = [
        [other for other in range(len(pairs)) if other != one and linked[np.ix_(members[one], members[other])].any()]
        for one in range(len(pairs))
    ]
    order: list[int] = []
    seen: set[int] = set()
    for start in sorted(range(len(pairs)), key=lambda one: (len(near[one]), one)):
        stack = [start]
        while stack:
            one = stack.pop()
            if one in seen:
                continue
            seen.add(one)
            order.append(one)
            stack += sorted(
                (other for other in near[one] if other not in seen), key=lambda o: -len(near[o]), reverse=True
            )
    return [pairs[one] for one in order]
