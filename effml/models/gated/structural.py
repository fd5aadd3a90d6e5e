"""Structural gates of a pair of activations: every node keeps the same number of nonlinearities, 0, 1 or 2.

Ciphertexts of all nodes are summed, so that a level can be dropped only where all of them drop it. LinGCN
(arXiv 2309.14331) therefore lets a node choose at which of the two positions it keeps its nonlinearity, and never how
many it keeps. Forward: each node's pair of weights is sorted; the sums over nodes of the smaller and of the larger ones
decide for all nodes at once; the decision goes back to the position each weight came from. Backward: as if the gate
were each weight's own (`straight_through`).

Knows nothing of networks and of what the gate switches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from effml.models.gated.gate import FixedGate, Gate, straight_through


class PairGate(Gate, ABC):
    """A gate of shape `[2, V]`; how its two ranks follow from the weights is left to the kinds below.

    Args:
        nodes: V.
        low, high: range of the first weights: all open, and a step or two of training away from flipping.
    """

    def __init__(
        self, nodes: int, low: float = 5e-4, high: float = 1e-3, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, nodes).uniform_(low, high, generator=generator))

    @abstractmethod
    def ranks(self) -> Float[Tensor, " 2"]:
        """What speaks for a first and for a second nonlinearity; open above 0, and the first is never the smaller."""

    @abstractmethod
    def opened(self, count: int) -> Bool[Tensor, "2 nodes"]:
        """The gate with this many nonlinearities at every node, at the positions that the weights prefer."""

    @property
    def state(self) -> Bool[Tensor, "2 nodes"]:  # type: ignore[override]
        return self.opened(int((self.ranks() > 0).sum()))

    def forward(self) -> Float[Tensor, "2 nodes"]:
        return self.value()

    def value(self) -> Float[Tensor, "2 nodes"]:
        return straight_through(self.weight, self.state)

    def score(self) -> Float[Tensor, "2 nodes"]:
        return self.weight.detach()

    def fixed(self, count: int) -> FixedGate:
        """The same decision for good, with `count` nonlinearities at every node."""
        return FixedGate(self.opened(count), self.score())


class StructuralGate(PairGate):
    """LinGCN's gate: with one nonlinearity, each node has it where its own weight is the larger."""

    def ranks(self) -> Float[Tensor, " 2"]:
        return self.weight.detach().sort(dim=0, descending=True).values.sum(1)

    def opened(self, count: int) -> Bool[Tensor, "2 nodes"]:
        order = self.weight.detach().argsort(dim=0, descending=True, stable=True)
        keep = (torch.arange(2, device=order.device) < count)[:, None].expand_as(order)
        return torch.zeros_like(keep).scatter(0, order, keep)


class LayerGate(PairGate):
    """The paper's ablation: one decision for all nodes, so that all have it at the same position."""

    def ranks(self) -> Float[Tensor, " 2"]:
        return self.weight.detach().sum(1).sort(descending=True).values

    def opened(self, count: int) -> Bool[Tensor, "2 nodes"]:
        order = self.weight.detach().sum(1).argsort(descending=True, stable=True)
        keep = torch.zeros(2, dtype=torch.bool, device=order.device)
        keep[order[:count]] = True
        return keep[:, None].expand(2, self.weight.shape[1]).clone()


def layers(gates: list[PairGate]) -> int:
    """n: nonlinear layers over all pairs."""
    return sum(int((gate.ranks() > 0).sum()) for gate in gates)


def density(gates: list[PairGate]) -> Float[Tensor, ""]:
    """Share of open gates, which the paper's penalty weighs by mu; its gradient reaches every weight."""
    values = [gate.value() for gate in gates]
    return torch.stack([value.sum() for value in values]).sum() / sum(value.numel() for value in values)


def meet(gates: list[PairGate], target: int) -> tuple[list[FixedGate], int]:
    """Gates for good, with exactly `target` nonlinear layers over all pairs: those of the highest ranks.

    Returns the gates, and how many layers had to be opened or closed against the decision as learned. A pair's second
    layer never ranks above its first, so that any prefix of the ranking is a valid decision.

    Raises:
        ValueError: more layers than there are.
    """
    if not 0 <= target <= 2 * len(gates):
        raise ValueError(f"{target} layers of {len(gates)} pairs; expected 0 to {2 * len(gates)}")
    ranked = sorted(
        ((rank, -place, pair) for pair, gate in enumerate(gates) for place, rank in enumerate(gate.ranks().tolist())),
        reverse=True,
    )
    counts = [0] * len(gates)
    for _, _, pair in ranked[:target]:
        counts[pair] += 1
    moved = sum(abs(count - int((gate.ranks() > 0).sum())) for count, gate in zip(counts, gates, strict=True))
    return [gate.fixed(count) for gate, count in zip(gates, counts, strict=True)], moved
