"""pass@k against its definition, intervals against known figures, denominators always there."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effml.models.rtl.passk import Share, designs, pass_at_k, trials


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=7), min_size=1, max_size=4), st.integers(1, 4))
def test_it_is_the_chance_that_one_of_k_drawn_trials_passes(found, k):
    named = {str(i): row for i, row in enumerate(found)}
    drawn = [[any(draw) for draw in itertools.combinations(row, k)] for row in found]
    expected = sum(sum(row) / len(row) for row in drawn) / len(drawn)
    assert pass_at_k(named, k) == pytest.approx(expected)


def test_designs_are_not_one_more_than_there_are():
    """An evaluator that appends one zero to the list of designs gets D / (D + 1) of this."""
    assert pass_at_k({"a": [True] * 5, "b": [True] * 5}, 5) == 1.0


def test_shares_print_their_denominator():
    found = {"a": [True, False, False], "b": [False, False, False]}
    assert str(trials(found)) == "1/6 = 16.7 %" and str(designs(found)) == "1/2 = 50.0 %"


def test_interval_is_wilson_s():
    low, high = Share(11, 29).interval
    z, n, p = 1.959964, 29, 11 / 29
    middle, half = (
        (p + z * z / 2 / n) / (1 + z * z / n),
        z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n),
    )
    assert (low, high) == (pytest.approx(middle - half, abs=1e-5), pytest.approx(middle + half, abs=1e-5))


def test_too_few_trials_are_refused():
    with pytest.raises(ValueError, match="at least 3 trials"):
        pass_at_k({"a": [True, True]}, 3)
