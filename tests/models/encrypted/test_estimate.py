"""The estimator's arithmetic: costs times counts, by levels and workers."""

import numpy as np
import pytest

from effml.models.encrypted.count import count
from effml.models.encrypted.estimate import TRANSFER, Costs, calibrate, estimate
from effml.models.encrypted.ledger import OPERATIONS, Ledger
from effml.models.encrypted.sealapi import SealApi
from effml.models.encrypted.workers import shares
from tests.models.encrypted.networks import laid_out, small_network


def flat(seconds=0.0, **more):
    """Costs that are the same at every level."""
    return Costs({name: dict.fromkeys((1, 4, 9), more.get(name, seconds)) for name in (*OPERATIONS, TRANSFER)})


def test_costs_follow_a_parabola_through_the_timed_levels():
    timed = {level: 0.001 * (level + 1) * (level + 2) for level in (1, 4, 9)}
    costs = Costs({"rotate": timed})
    for level in range(1, 10):
        assert costs.at("rotate", level) == pytest.approx(0.001 * (level + 1) * (level + 2))
    assert costs.at("conjugate", 5) == costs.at("rotate", 5)
    assert costs.at("rotate", 0) == timed[1]
    assert costs.total(Ledger([("rotate", 1, 3), ("conjugate", 9, 2)])) == pytest.approx(3 * 0.006 + 2 * 0.11)


def test_one_worker_takes_all_rotations_and_two_take_turns():
    program = laid_out(small_network(channels=(8, 8, 8)), 512)
    rotations = count(program).ledger.rotations
    alone = estimate(program, flat(rotate=1.0), 1)
    assert alone.cpu == pytest.approx(rotations, rel=0.01) and alone.wall == pytest.approx(alone.cpu)
    assert alone.shares["rotate"] + alone.shares["conjugate"] == pytest.approx(1, rel=0.02)
    both = estimate(program, flat(rotate=1.0), 2)
    assert rotations / 2 < both.wall < rotations and both.cpu >= rotations - 1e-9


def test_what_workers_hand_over_is_counted():
    program = laid_out(small_network(), 512)
    outputs = sum(len(stage.targets) * program.layout.groups(stage.out) for stage in program.stages)
    found = estimate(program, flat(transfer=1.0), 2)
    assert found.wall == pytest.approx(outputs, abs=0.5)


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_shares_are_all_pairs_once_and_about_even(workers):
    for stage in laid_out(small_network(), 512, paired=False).stages:
        held = shares(stage, workers)
        assert sorted(target for share in held for target in share) == list(range(5))
        assert max(map(len, held)) <= -(-5 // workers) + 1


def test_calibration_times_every_operation_at_three_levels():
    program = laid_out(small_network(channels=(4,), strides=(1,), keeps=(2,), taps=3), 1024)
    backend = SealApi.client(program.parameters, count(program).wanted)
    costs = calibrate(backend, program.layout, seconds=0.2)
    assert set(costs.seconds) == {*OPERATIONS, TRANSFER} - {"conjugate"}
    for timed in costs.seconds.values():
        assert sorted(timed) == [1, program.parameters.levels // 2, program.parameters.levels]
        assert all(np.isfinite(value) and value >= 0 for value in timed.values())
    assert backend.ledger.rows() == []
