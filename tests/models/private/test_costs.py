"""The cost model: what pays under which protocol, budgets in bytes, and time over a link."""

import pytest

from effml.errors import UserError
from effml.models.private.costs import (
    LINKS,
    PROTOCOLS,
    Activations,
    Link,
    cheapest_replacement,
    parse_bytes,
    predict_bytes,
    predict_rounds,
    relus_for_bytes,
)

CRYPTEN, SEMI2K, CHEETAH, DELPHI = (PROTOCOLS[name] for name in ("crypten", "semi2k", "cheetah", "delphi"))


def test_under_cheetah_a_square_costs_more_than_a_relu():
    assert CHEETAH.square_over_relu > 2 and CRYPTEN.square_over_relu == pytest.approx(1 / 29)
    assert cheapest_replacement(CHEETAH) == "linear" and cheapest_replacement(CRYPTEN) == "dapa"


def test_activations_of_resnet_18():
    every = Activations(491_520, 0, 0, 16)
    kept = Activations(12_900, 491_520 - 12_900, 0, 16, 16)
    assert predict_bytes(CRYPTEN, every) == pytest.approx(228e6, rel=2e-3)
    assert predict_bytes(CRYPTEN, kept) == pytest.approx(6.0e6 + 7.7e6, rel=1e-2)
    assert predict_rounds(CRYPTEN, every) == 144 and predict_rounds(CRYPTEN, kept) == 160


def test_quadratic_replacement_raises_the_bytes_under_cheetah():
    every, quadratic, affine = Activations(1000, 0, 0), Activations(100, 900, 0), Activations(100, 0, 900)
    costs = [predict_bytes(CHEETAH, sites) for sites in (affine, every, quadratic)]
    assert costs == sorted(costs)


def test_unknown_costs_stay_unknown():
    assert predict_bytes(DELPHI, Activations(1, 1, 0)) is None
    assert predict_bytes(DELPHI, Activations(3, 0, 0)) == 6e3
    assert predict_rounds(SEMI2K, Activations(1, 0, 0, 1)) is None


@pytest.mark.parametrize("protocol", [CRYPTEN, SEMI2K])
@pytest.mark.parametrize("degree", [1, 2])
def test_budget_in_bytes_is_kept_and_used_up(protocol, degree):
    budget = 200_000.0
    kept = relus_for_bytes(protocol, 3000, degree, budget)

    def cost(relus):
        rest = 3000 - relus
        return predict_bytes(protocol, Activations(relus, rest * (degree == 2), rest * (degree == 1)))

    assert 1 <= kept < 3000 and cost(kept) <= budget < cost(kept + 1)


def test_budgets_in_bytes_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="makes inference dearer; take the replacement linear"):
        relus_for_bytes(CHEETAH, 3000, 2, 1e9)
    with pytest.raises(UserError, match="is not known"):
        relus_for_bytes(DELPHI, 3000, 2, 1e9)
    with pytest.raises(UserError, match="too few for 3,000 sites"):
        relus_for_bytes(CRYPTEN, 3000, 2, 48_000)
    assert relus_for_bytes(CRYPTEN, 3000, 2, 1e12) == 3000


@pytest.mark.parametrize(
    ("text", "value"), [("1.5MB", 1.5e6), ("300 kB", 3e5), ("2e6B", 2e6), ("12900", None), ("2.6%", None)]
)
def test_bytes_are_read(text, value):
    assert parse_bytes(text) == value


def test_time_over_a_link():
    assert Link("x", 1e6, 0.01).seconds(2.0, 4e6, 100) == pytest.approx(2 + 2 + 0.5)
    lan, wan = (link.seconds(0, 13.7e6, 180) for link in LINKS)
    assert lan < 0.1 < 3 < wan, "over a wide area the rounds dominate"
