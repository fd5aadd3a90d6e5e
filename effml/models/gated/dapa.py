"""Distribution-aware polynomials: the best stand-in for ReLU, in mean square, under a normal pre-activation.

With z = u + s t, a = u / s, and Phi, phi the normal distribution and density at a, projecting ReLU on Hermite
polynomials gives E[relu] = u Phi + s phi, E[t relu] = s Phi, E[(t^2 - 1) relu] = s phi, and from them

    degree 2:  c2 = phi / (2 s),  c1 = Phi - a phi,  c0 = phi (u^2 + s^2) / (2 s)
    degree 1:  c1 = Phi,  c0 = s phi                  degree 0:  c0 = u Phi + s phi

Coefficients are stacked `[degree + 1, *group]`, c0 first. AutoReP, arXiv 2308.10134, section 3 (DaPa).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

SMALLEST_STD = 1e-3  # c2 grows as 1 / s
WIDE = 3.0
"""How many times the measured deviation `wide` polynomials are made for.

The optimum under N(mean, std^2) looks no further than some two deviations. Pre-activations of a deep network have heavier
tails, and behind residual sums no norm stands: an outlier of ten deviations leaves a site squared, and the next squares it
again. Made for a wider distribution, c2 falls in proportion, at the price of a worse fit near the mean.
"""


def _normal(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    ratio = mean / std
    density = torch.exp(-0.5 * ratio**2) / math.sqrt(2 * math.pi)
    return ratio, density, torch.special.ndtr(ratio)


def dapa(
    mean: Float[Tensor, "*group"], std: Float[Tensor, "*group"], degree: int = 2
) -> Float[Tensor, " terms *group"]:
    """The mean-square optimal polynomial for ReLU under N(mean, std^2); `std` is raised to 1e-3 where it is less.

    Raises:
        ValueError: a degree other than 0, 1, 2.
    """
    std = std.clamp_min(SMALLEST_STD)
    ratio, density, below = _normal(mean, std)
    if degree == 0:
        return torch.stack([mean * below + std * density])
    if degree == 1:
        return torch.stack([std * density, below])
    if degree == 2:
        c2 = density / (2 * std)
        return torch.stack([c2 * (mean**2 + std**2), below - ratio * density, c2])
    raise ValueError(f"a distribution-aware polynomial has degree 0, 1 or 2, not {degree}")


def dapa_as_published(
    mean: Float[Tensor, "*group"],
    variance: Float[Tensor, "*group"],
    degree: int = 2,
    square_scale: float = 0.1,
    least_variance: float = 0.5,
) -> Float[Tensor, " terms *group"]:
    """What the authors' published program starts from, in effect: not the optimum, kept to compare with.

    It hands the running variance, raised to 0.5, to a formula that wants the deviation, and shrinks the result: c0
    by 5, c2 by 10 and again by the activation's `square_scale` (0.1 for CIFAR, 2 for Tiny-ImageNet).
    """
    coefficients = dapa(mean, variance.clamp_min(least_variance), degree)
    coefficients[0] /= 5
    if degree == 2:
        coefficients[2] *= square_scale / 10
    return coefficients


def residual(mean: Float[Tensor, "*group"], std: Float[Tensor, "*group"], degree: int) -> Float[Tensor, "*group"]:
    """Mean square error of `dapa(mean, std, degree)` against ReLU under N(mean, std^2)."""
    std = std.clamp_min(SMALLEST_STD)
    _, density, below = _normal(mean, std)
    error = (mean**2 + std**2) * below + mean * std * density - (mean * below + std * density) ** 2
    if degree >= 1:
        error = error - (std * below) ** 2
    if degree >= 2:
        error = error - (std * density) ** 2 / 2
    return error
