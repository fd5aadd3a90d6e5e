"""The gated polynomial as its formula says it (AutoReP, arXiv 2308.10134): oracle and naive baseline."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def polynomial(
    z: Float[Tensor, " batch *site"], coefficients: Float[Tensor, " terms *group"]
) -> Float[Tensor, " batch *site"]:
    """`c0 + c1 z + c2 z^2 + ...` with the coefficients broadcast over the batch."""
    value = torch.zeros_like(z)
    for power in range(coefficients.shape[0]):
        value = value + coefficients[power] * z**power
    return value


def gated_polynomial_reference(
    z: Float[Tensor, " batch *site"], keep: Float[Tensor, "*gate"], coefficients: Float[Tensor, " terms *group"]
) -> Float[Tensor, " batch *site"]:
    """`keep * relu(z) + (1 - keep) * polynomial(z)`; every step is one autograd operation."""
    return keep * torch.relu(z) + (1 - keep) * polynomial(z, coefficients)
