"""How often a model gets a design right, with the denominator always beside the figure.

pass@k by the unbiased estimator of Chen et al. 2021 (arXiv 2107.03374, eq. 1), a mean over designs. Intervals of plain
shares are Wilson's, by scipy. The papers mix two of these figures: the share of trials, and of designs with one success.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """`count` of `total`, and the 95 % interval of the share (Wilson)."""

    count: int
    total: int

    @property
    def value(self) -> float:
        return self.count / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        if not self.total:
            return (0.0, 1.0)
        from scipy.stats import binomtest  # most of a second to import

        found = binomtest(self.count, self.total).proportion_ci(0.95, method="wilson")
        return (float(found.low), float(found.high))

    def __str__(self) -> str:
        return f"{self.count}/{self.total} = {100 * self.value:.1f} %" if self.total else "0/0"


def pass_at_k(successes: Mapping[str, Sequence[bool]], k: int) -> float:
    """Mean over designs of 1 - C(n - c, k) / C(n, k), with n trials of a design and c successes among them.

    Raises:
        ValueError: a design has fewer than k trials, or there is no design.
    """
    if not successes:
        raise ValueError("pass@k of no design")
    short = [name for name, trials in successes.items() if len(trials) < k]
    if short or k < 1:
        raise ValueError(f"pass@{k} needs at least {k} trials of each design; {', '.join(short[:3])} has fewer")
    return sum(_one(len(trials), sum(trials), k) for trials in successes.values()) / len(successes)


def trials(successes: Mapping[str, Sequence[bool]]) -> Share:
    """Successful trials of all trials."""
    return Share(sum(sum(found) for found in successes.values()), sum(len(found) for found in successes.values()))


def designs(successes: Mapping[str, Sequence[bool]]) -> Share:
    """Designs with at least one success, of all designs."""
    return Share(sum(any(found) for found in successes.values()), len(successes))


def _one(n: int, c: int, k: int) -> float:
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)
