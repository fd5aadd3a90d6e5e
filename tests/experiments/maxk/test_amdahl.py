"""The published end-to-end speedups are what the published kernel speedups compose to, with nothing left for top-k."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effml.experiments.maxk.amdahl import composed, limit, share_of


def test_published_limit_and_compositions():
    share = share_of(5.52)
    assert share == pytest.approx(0.8188, abs=1e-4) and limit(share) == pytest.approx(5.52)
    assert composed(share, 5.6, 8.1) == pytest.approx(3.28, abs=0.005)  # Reddit, k = 16: 3.27 published
    assert composed(share, 2.9, 2.98) == pytest.approx(2.18, abs=0.005)  # Reddit, k = 32: 2.16 published
    assert share_of(7.27) == pytest.approx(0.862, abs=1e-3)


@given(st.floats(0, 0.99), st.floats(1, 100), st.floats(1, 100))
def test_composed_lies_between_one_and_the_limit(share, forward, backward):
    assert 1 - 1e-9 <= composed(share, forward, backward) <= limit(share) * (1 + 1e-9)


def test_extremes():
    assert limit(0) == 1 and limit(1) == float("inf")
    assert composed(0.5, 1, 1) == 1 and composed(1, 4, 4) == pytest.approx(4)
    assert composed(0.5, 0.5, 0.5) < 1, "a slower product makes a slower epoch"


@pytest.mark.parametrize(
    "call", [lambda: limit(1.1), lambda: limit(-0.1), lambda: composed(0.5, 0, 1), lambda: share_of(0.9)]
)
def test_impossible_numbers_are_refused(call):
    with pytest.raises(ValueError, match=r"share|positive|limit"):
        call()
