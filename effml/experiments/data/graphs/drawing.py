"""Drawing edges at random in bulk, on any device: weighted ends, simple undirected edges, adjacency from edge keys.

An edge is one int64 key, `row * nodes + column`, so that a hundred million of them are sorted and merged as one array.
The draws depend on the seed, and on the kind of device, for each has its own generator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from effml.errors import UserError
from effml.kernels.csr import Csr


def rank_weights(count: int, exponent: float, offset: float, device: torch.device | str = "cpu") -> Tensor:
    """`[count]` float64 weights `(rank + offset) ** -exponent`, rank from 0."""
    return (torch.arange(count, dtype=torch.float64, device=device) + offset) ** -exponent


def draw(
    cumulative: Tensor,
    count: int,
    generator: torch.Generator,
    low: Tensor | float = 0.0,
    high: Tensor | float | None = None,
) -> Tensor:
    """`[count]` int64 indices, each with probability proportional to its step in `cumulative`.

    A table of cells says where to begin, from where few points have more than a step to go: several times faster than
    a binary search, which waits for memory at every halving.

    Args:
        cumulative: `[n]` float64 running sums of the weights.
        low, high: bounds between which the point in the running sums is drawn, one for all or one each: they confine
            the draw to a stretch of the indices.
    """
    total = float(cumulative[-1])
    high = total if high is None else high
    point = torch.rand(count, dtype=torch.float64, device=cumulative.device, generator=generator)
    point.mul_(high - low).add_(low)
    cells = 4 * len(cumulative)
    edges = torch.arange(cells, dtype=torch.float64, device=cumulative.device) * (total / cells)
    first = torch.searchsorted(cumulative, edges, right=True)
    last = len(cumulative) - 1
    found = first[(point * (cells / total)).long().clamp_(max=cells - 1)].clamp_(max=last)
    behind = (cumulative[found] <= point).nonzero().squeeze(1)
    while len(behind):
        found[behind] += 1
        behind = behind[found[behind] < last]
        behind = behind[cumulative[found[behind]] <= point[behind]]
    return found


def undirected(draw_pairs: Callable[[int], tuple[Tensor, Tensor]], nodes: int, pairs: int, name: str) -> Tensor:
    """`[pairs]` distinct keys of undirected edges without self loops, smaller end first, sorted.

    Args:
        draw_pairs: gives two `[count]` tensors of ends.
        name: of the data set, for the error.

    Raises:
        UserError: the graph is too dense for so many distinct edges.
    """
    keys = torch.empty(0, dtype=torch.int64)
    missing = pairs
    for _ in range(40):
        one, other = draw_pairs(missing + missing // 16 + 64)
        fresh = torch.minimum(one, other) * nodes + torch.maximum(one, other)
        fresh = fresh[one != other]
        before = len(keys)
        known = torch.cat((keys.to(fresh.device), fresh))
        keys = _distinct(known)
        if len(keys) >= pairs:
            # Dropping every n-th of the sorted keys takes no side; the order of drawing is lost by then.
            surplus = len(keys) - pairs
            keep = torch.ones(len(keys), dtype=torch.bool, device=keys.device)
            if surplus:
                keep[torch.arange(surplus, device=keys.device) * len(keys) // surplus] = False
            return keys[keep]
        gained = max(len(keys) - before, 1)
        missing = min(int((pairs - len(keys)) * len(fresh) / gained) + 64, 2 * pairs)
    raise UserError(f"data set {name}: {nodes:,} nodes do not hold {pairs:,} distinct edges of this kind")


def ordered(keys: Tensor) -> Tensor:
    """The keys, ascending. On CPU by numpy, whose vectorised sort is several times faster than torch's."""
    return torch.from_numpy(np.sort(keys.numpy())) if keys.device.type == "cpu" else torch.sort(keys).values


def _distinct(keys: Tensor) -> Tensor:
    keys = ordered(keys)
    fresh = torch.ones_like(keys, dtype=torch.bool)
    torch.ne(keys[1:], keys[:-1], out=fresh[1:])
    return keys[fresh]


def adjacency(keys: Tensor, nodes: int) -> Csr:
    """The pattern `[nodes, nodes]` whose nonzeros have these keys; repeated keys are merged."""
    keys = _distinct(keys)
    rows = torch.div(keys, nodes, rounding_mode="floor")
    indptr = torch.zeros(nodes + 1, dtype=torch.int64, device=keys.device)
    torch.cumsum(torch.bincount(rows, minlength=nodes), 0, out=indptr[1:])
    return Csr(indptr, (keys - rows * nodes).to(torch.int32), None, nodes)


def both_ways(keys: Tensor, nodes: int) -> Tensor:
    """Keys of the edges and of their reversals."""
    rows = torch.div(keys, nodes, rounding_mode="floor")
    return torch.cat((keys, (keys - rows * nodes) * nodes + rows))


def shuffled(weights: Tensor, generator: torch.Generator) -> Tensor:
    """The weights in random order."""
    return weights[torch.randperm(len(weights), generator=generator, device=weights.device)]
