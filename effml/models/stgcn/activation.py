"""The two activations of a block: one gate for the pair, a polynomial for each node and position.

    relu:        h * relu(z) + (1 - h) * z                       while gates are learned
    polynomial:  h * (c2 z^2 + c1 z + c0) + (1 - h) * z          what can be encrypted

LinGCN, arXiv 2309.14331, sections 3.1 and 3.2. Gate, polynomial and fused kernel are AutoReP's.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from effml.kernels.gated import gated_polynomial
from effml.models.gated.dapa import dapa
from effml.models.gated.gate import FixedGate, Gate
from effml.models.gated.meter import Meter
from effml.models.gated.polynomial import Polynomial


class PairedActivation(nn.Module):
    """Activation 0 and 1 of a block, on tensors `[N, C, T, V]`. All gates open and ReLU at first.

    Args:
        nodes: V.
        square_scale: factor between stored and effective quadratic coefficient (0.01 in the paper).
        limit: stored coefficients are held within +-limit (2 in the paper's program).
        offset: whether the constant is trained.
        first: stored quadratic coefficient at first (0.005 in the paper's program).
    """

    def __init__(
        self, nodes: int, square_scale: float = 0.01, limit: float = 2.0, offset: bool = True, first: float = 0.005
    ) -> None:
        super().__init__()
        self.gate: Gate = FixedGate(torch.ones(2, nodes, dtype=torch.bool))
        self.offset = offset
        self.polynomials = nn.ModuleList(
            Polynomial((nodes,), 2, square_scale, limit, constant=offset) for _ in range(2)
        )
        self.meters = nn.ModuleList(Meter((1, 1, nodes)) for _ in range(2))
        self.kind: Literal["relu", "polynomial"] = "relu"
        self.metering = False
        for place in range(2):
            nn.init.constant_(self._square(place), first)

    def polynomial(self, place: int) -> Polynomial:
        return cast(Polynomial, self.polynomials[place])

    def meter(self, place: int) -> Meter:
        return cast(Meter, self.meters[place])

    def _square(self, place: int) -> Tensor:
        square = self.polynomial(place).c2
        assert square is not None  # they have degree 2
        return square

    def coefficients(self, place: int) -> Float[Tensor, "3 nodes"]:
        """c0, c1, c2 in force at each node: 0, 1, 0 where the gate is closed. Only for polynomials."""
        mine: Tensor = self.polynomial(place)()
        return torch.where(self.gate.decide()[place], mine, _identity(mine))

    def forward(self, place: int, z: Float[Tensor, "n c t nodes"]) -> Float[Tensor, "n c t nodes"]:
        if self.metering:
            self.meter(place).observe(z.detach())
        if self.kind == "polynomial":
            keep = torch.zeros((), dtype=z.dtype, device=z.device)
            return gated_polynomial(z, keep, self.coefficients(place))
        keep = self.gate.value()[place]
        return gated_polynomial(z, keep, _identity(keep.expand(3, -1)))

    def fit(self) -> None:
        """Set polynomials to those nearest to ReLU under what the meters have seen, within the limit."""
        for place in range(2):
            meter, polynomial = self.meter(place), self.polynomial(place)
            if not meter.count.all():
                raise ValueError("the meter has seen no data; run batches with metering = True before fit")
            polynomial.set(dapa(meter.mean, meter.std).reshape(3, -1).to(polynomial.c0.dtype))


def _identity(like: Float[Tensor, "3 nodes"]) -> Float[Tensor, "3 nodes"]:
    return torch.zeros_like(like).index_fill(0, torch.tensor([1], device=like.device), 1.0).detach()
