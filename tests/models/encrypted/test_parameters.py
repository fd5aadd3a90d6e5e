"""The planner of levels and rings, against the published sizes and the security standard."""

import pytest

from effml.errors import UserError
from effml.models.encrypted.parameters import LIMITS, Parameters, choose, fused_levels, unfused_levels


def test_levels_of_three_blocks_are_nine_at_two_nonlinear_layers_and_thirteen_at_six():
    assert (fused_levels(3, 2), fused_levels(3, 6)) == (9, 13)
    assert unfused_levels(3, 6) == 22


@pytest.mark.parametrize(("blocks", "last", "smaller", "larger"), [(3, 3, 16384, 32768), (6, 10, 32768, 65536)])
def test_ring_doubles_where_the_published_latencies_jump(blocks, last, smaller, larger):
    assert choose(fused_levels(blocks, last), 33, 47).ring == smaller
    assert choose(fused_levels(blocks, last + 1), 33, 47).ring == larger
    assert choose(fused_levels(blocks, last)).ring == smaller
    assert choose(fused_levels(blocks, last + 1)).ring == larger


@pytest.mark.parametrize("levels", range(3, 26))
def test_room_left_by_the_ring_is_used_without_passing_its_limit(levels):
    chosen = choose(levels)
    assert chosen.secure and chosen.levels == levels
    assert 33 <= chosen.scale_bits <= 40
    assert chosen.total_bits + levels > LIMITS[chosen.ring] or chosen.scale_bits == 40 or chosen.bits[-1] >= 56


def test_insecure_parameters_are_refused_with_the_limit():
    with pytest.raises(UserError, match=r"16384 with a modulus of 439 bits.*limit for it is 438"):
        Parameters(16384, (47, *[43] * 8, 48))
    with pytest.raises(UserError, match=r"2048 with a modulus.*limit for it is 54"):
        choose(3, 33, 47, ring=2048)
    with pytest.raises(UserError, match="insecure parameters need a ring"):
        choose(3, insecure=True)
    waived = choose(3, 33, 47, ring=2048, insecure=True)
    assert not waived.secure and "NOT 128-bit secure" in waived.verdict()


def test_no_ring_is_large_enough_for_a_hundred_levels():
    with pytest.raises(UserError, match="largest ring, 65536, is secure up to 1747"):
        choose(100)


def test_parameters_survive_their_dictionary():
    made = choose(9)
    assert Parameters.from_dict(made.as_dict()) == made
    assert Parameters.from_dict(made.as_dict()).digest == made.digest != choose(10).digest
