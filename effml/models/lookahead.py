"""Lookahead: every k steps of another optimiser, go back part of the way to where the last k began.

Zhang, Lucas, Hinton and Ba, NeurIPS 2019, arXiv 1907.08610. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Lookahead:
    """Slow weights beside an optimiser's fast ones: `slow += alpha * (fast - slow); fast = slow` every k steps.

    Call `step()` after each of the optimiser's own.

    Args:
        parameters: what the optimiser steps; its momenta are left as they are, as in LinGCN's program.
        k: fast steps between syntheses, at least 1.
        alpha: share of the way that the slow weights go, in (0, 1].
    """

    def __init__(self, parameters: Iterable[Tensor], k: int = 6, alpha: float = 0.5) -> None:
        if k < 1 or not 0 < alpha <= 1:
            raise ValueError(f"Lookahead takes k of at least 1 and alpha in (0, 1], not {k} and {alpha}")
        self.k, self.alpha, self.count = k, alpha, 0
        self.fast = list(parameters)
        self.slow = [parameter.detach().clone() for parameter in self.fast]

    @torch.no_grad()
    def step(self) -> None:
        self.count += 1
        if self.count % self.k == 0:
            for slow, fast in zip(self.slow, self.fast, strict=True):
                slow.lerp_(fast, self.alpha)
                fast.copy_(slow)
