"""How long the reversible node stays what it should be: when its state is bounded, and over how many steps the inverse
of mode `paper` can be trusted.

Between two spikes the state is multiplied by A = [[1-k, alpha], [(1-k)^2 + alpha, alpha (1-k)]], k = 1/tau, whose
determinant is -alpha^2. Its larger eigenvalue tells how the state grows, the inverse of the smaller one how an error
grows on the way back.
"""

from __future__ import annotations

import math

import torch

TOLERATED = 2.0**-4  # error of V, in thresholds, at which the gradient is off by about a hundredth


def eigenvalues(alpha: float, tau: float) -> tuple[float, float]:
    """Moduli of A's eigenvalues, larger first."""
    keep = 1 - 1 / tau
    mean = keep * (1 + alpha) / 2
    root = math.sqrt(mean * mean + alpha * alpha)
    return abs(mean) + root, root - abs(mean)


def is_stable(alpha: float, tau: float) -> bool:
    """Whether the state stays bounded while nothing fires: alpha at most 1/tau."""
    return alpha <= 1 / tau + 1e-12


def max_safe_steps(alpha: float, tau: float = 2.0, dtype: torch.dtype = torch.float32) -> float:
    """Steps over which mode `paper` recovers its past well enough for a gradient within one per cent (relative L2).

    An error of half a unit in the last place grows by max(1, larger eigenvalue) / smaller eigenvalue a step, which for
    a stable node at alpha = 1/tau is 1/alpha^2. The first wrong spikes among ten thousand neurons come about then; a
    few steps later the gradient of everything earlier is noise. The spikes' distribution moves the limit by a step or
    two. With tau = 1 the membrane forgets its state at once and the limit is `math.inf`; with alpha = 0 it is 0.
    """
    if tau == 1:
        return math.inf
    larger, smaller = eigenvalues(alpha, tau)
    if smaller == 0:
        return 0
    growth = max(1.0, larger) / smaller
    return math.floor(math.log2(TOLERATED / (torch.finfo(dtype).eps / 2)) / math.log2(growth) + 1e-9)
