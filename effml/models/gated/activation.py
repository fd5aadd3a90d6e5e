"""One site of a network: gate, polynomial and meter around the fused kernel. Knows no network and no budget."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from effml.kernels.gated import gated_polynomial
from effml.models.gated.dapa import WIDE, dapa, dapa_as_published
from effml.models.gated.gate import FixedGate, Gate
from effml.models.gated.meter import Meter
from effml.models.gated.polynomial import Polynomial


def group_shape(site: tuple[int, ...], granularity: str) -> tuple[int, ...]:
    """Shape of what is shared over a site: `pixel` nothing, `channel` all but the first axis, `node` all but the last,
    `layer` everything."""
    ones = [1] * len(site)
    if granularity == "pixel":
        return tuple(site)
    if granularity == "layer":
        return tuple(ones)
    if granularity in ("channel", "node"):
        axis = 0 if granularity == "channel" else -1
        ones[axis] = site[axis]
        return tuple(ones)
    raise ValueError(f"granularity is pixel, channel, node or layer, not {granularity!r}")


class GatedActivation(nn.Module):
    """`keep * relu(z) + (1 - keep) * polynomial(z)` for `z` of shape `[batch, *site]`.

    Starts with every gate open, and is then ReLU bit for bit. While `metering`, it observes its pre-activations.

    Args:
        site: shape of one example's pre-activation, `(C, H, W)`.
        gates: granularity of the gate; polynomials: granularity of the polynomial.
        degree, square_scale, limit: see `Polynomial`.
    """

    def __init__(
        self,
        site: tuple[int, ...],
        gates: str = "pixel",
        polynomials: str = "channel",
        degree: int = 2,
        square_scale: float = 0.1,
        limit: float | None = None,
    ) -> None:
        super().__init__()
        self.site = tuple(site)
        self.gate: Gate = FixedGate(torch.ones(group_shape(self.site, gates), dtype=torch.bool))
        shape = group_shape(self.site, polynomials)
        self.polynomial = Polynomial(shape, degree, square_scale, limit)
        self.meter = Meter(shape)
        self.metering = False

    @property
    def size(self) -> int:
        """Scalar sites of one example."""
        return math.prod(self.site)

    @property
    def sites_per_gate(self) -> int:
        return self.size // self.gate.decide().numel()

    @property
    def kept(self) -> int:
        """Scalar ReLUs that one example still passes."""
        return int(self.gate.decide().sum()) * self.sites_per_gate

    def forward(self, z: Float[Tensor, " batch *site"]) -> Float[Tensor, " batch *site"]:
        if self.metering:
            self.meter.observe(z.detach())
        return gated_polynomial(z, self.gate(), self.polynomial())

    def calibrate(self, variant: str = "exact") -> None:
        """Set the polynomial from what the meter has seen: `exact` (optimal), `wide` (optimal under `WIDE` times the
        deviation), `authors` (as published), `identity`.

        Raises:
            ValueError: nothing was observed, or an unknown variant.
        """
        if variant == "identity":
            coefficients = torch.zeros(self.polynomial.degree + 1, *self.meter.shape, dtype=torch.float64)
            coefficients[1] = 1
        elif not self.meter.count.all():
            raise ValueError("the meter has seen no data; run batches with metering = True before calibrate")
        elif variant == "exact":
            coefficients = dapa(self.meter.mean, self.meter.std, self.polynomial.degree)
        elif variant == "wide":
            coefficients = dapa(self.meter.mean, WIDE * self.meter.std, self.polynomial.degree)
        elif variant == "authors":
            scale = self.polynomial.square_scale
            coefficients = dapa_as_published(self.meter.mean, self.meter.variance, self.polynomial.degree, scale)
        else:
            raise ValueError(f"the variant is exact, wide, authors or identity, not {variant!r}")
        self.polynomial.set(coefficients.to(self.polynomial.c0.dtype))
