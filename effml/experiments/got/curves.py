"""From outcomes to figures: intervals, accuracy at equal tokens, calls at equal accuracy. Knows no model.

A solved problem is one dict of plain values, see `live.plain`; `trail` holds (tokens, calls, right) for every moment at
which the method's answer could have been taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import binomtest

Solved = Mapping[str, Any]


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share."""
    interval = binomtest(right, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy(outcomes: Sequence[Solved]) -> float:
    return sum(bool(outcome["right"]) for outcome in outcomes) / len(outcomes)


def mean(outcomes: Sequence[Solved], what: str) -> float | None:
    """The mean of a quantity; None when it is unknown for any of them."""
    values = [outcome[what] for outcome in outcomes]
    return None if any(value is None for value in values) else sum(values) / len(values)


def accuracy_at(outcomes: Sequence[Solved], tokens: float) -> float:
    """The accuracy if every problem had been stopped at this many tokens."""
    return sum(_right_at(outcome, tokens) for outcome in outcomes) / len(outcomes)


def calls_at(outcomes: Sequence[Solved], tokens: float) -> float:
    """Mean completions used by then; within an outcome, calls are taken to be spread evenly over its tokens."""
    total = 0.0
    for outcome in outcomes:
        share = min(1.0, tokens / outcome["tokens"]) if outcome["tokens"] else 1.0
        total += outcome["calls"] * share
    return total / len(outcomes)


def calls_to(outcomes: Sequence[Solved], level: float) -> float | None:
    """Mean completions a problem at the first number of tokens where the accuracy reaches `level`; None if it never
    does."""
    for tokens in moments(outcomes):
        if accuracy_at(outcomes, tokens) >= level:
            return calls_at(outcomes, tokens)
    return None


def moments(outcomes: Sequence[Solved]) -> list[int]:
    """The numbers of tokens at which an accuracy can change."""
    return sorted({tokens for outcome in outcomes for tokens, _, _ in outcome["trail"]})


def _right_at(outcome: Solved, tokens: float) -> bool:
    """The answer standing at that moment, right or not; before the first one there is none."""
    right = False
    for used, _, verdict in outcome["trail"]:
        if used <= tokens:
            right = verdict
    return right
