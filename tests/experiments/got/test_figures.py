"""The figures made of outcomes: intervals, equal tokens, equal accuracy; and the law of repeated checks."""

from __future__ import annotations

import pytest

from effml.experiments.got import curves
from effml.experiments.got.checks import Checked, figures
from effml.models.thoughts.task import Move


def outcome(*trail):
    tokens, calls, right = trail[-1]
    return {"tokens": tokens, "calls": calls, "right": right, "cost": None, "trail": list(trail)}


OUTCOMES = [
    outcome((100, 1, False), (200, 2, True)),
    outcome((50, 1, True), (300, 6, False)),
    outcome((400, 4, True)),
]


@pytest.mark.parametrize(
    ("right", "n", "low", "high"), [(0, 10, 0.0, 0.2775), (35, 100, 0.2636, 0.4475), (97, 100, 0.9155, 0.9897)]
)
def test_wilson_intervals(right, n, low, high):
    assert curves.wilson(right, n) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("tokens", "right"), [(10, 0), (50, 1), (199, 1), (200, 2), (299, 2), (300, 1), (400, 2)])
def test_accuracy_at_equal_tokens_takes_the_answer_that_stood_then(tokens, right):
    assert curves.accuracy_at(OUTCOMES, tokens) == right / 3


def test_calls_to_an_accuracy():
    # Two of three are right first at 200 tokens: 2 calls, 200/300 of 6, and 200/400 of 4.
    assert curves.calls_to(OUTCOMES, 2 / 3) == pytest.approx((2 + 4 + 2) / 3)
    assert curves.calls_to(OUTCOMES, 1.0) is None


def test_an_unknown_cost_makes_the_mean_unknown():
    assert curves.mean([{"cost": 1.0}, {"cost": None}], "cost") is None
    assert curves.mean([{"cost": 1.0}, {"cost": 3.0}], "cost") == 2.0


def test_checker_rates_beside_what_independence_predicts():
    move = Move("n", "l")
    yes, no = True, False
    checked = [
        Checked(move, True, (yes, yes)),
        Checked(move, True, (yes, no)),
        Checked(move, False, (yes, yes)),  # the same mistake twice: not independent
        Checked(move, False, (no, no)),
    ]
    one, two = figures(checked, 1), figures(checked, 2)
    assert (one["precision"], one["recall"], one["let_through"], one["turned_away"]) == (2 / 3, 1.0, 0.5, 0.0)
    assert (two["precision"], two["recall"], two["let_through"], two["turned_away"]) == (0.5, 0.5, 0.5, 0.5)
    assert two["predicted_through"] == 0.25 and two["predicted_away"] == pytest.approx(1 - 0.75**2)
    assert figures(checked[:2], 1)["let_through"] is None
