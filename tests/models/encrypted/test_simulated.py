"""Packing, folding and bookkeeping on the simulator, whose slots are exact, against the network in plain numpy."""

import numpy as np
import pytest

from effml.errors import UserError
from effml.models.encrypted.count import count
from effml.models.encrypted.fold import fold
from effml.models.encrypted.parameters import choose, unfused_levels
from effml.models.encrypted.program import lay_out
from effml.models.encrypted.simulator import Simulator
from effml.models.encrypted.unfused import leave
from tests.models.encrypted.networks import infer, laid_out, small_network

CASES = {
    "stride and residual convolution": (dict(), 512),
    "frames that are no power of two": (dict(channels=(4, 4, 8), strides=(1, 1, 2), keeps=(2, 1, 0), frames=12), 1024),
    "several ciphertexts a node": (
        dict(channels=(8, 16, 12), strides=(1, 2, 2), keeps=(2, 2, 2), frames=10, classes=20),
        256,
    ),
    "channels that shrink": (dict(channels=(8, 4, 8), strides=(1, 1, 1), keeps=(1, 1, 1), classes=3), 512),
    "three taps, one block": (dict(channels=(4,), strides=(1,), keeps=(2,), taps=3), 256),
    "more taps than frames": (dict(channels=(4, 4), strides=(2, 1), keeps=(1, 0), frames=4), 256),
}


@pytest.mark.parametrize("paired", [True, False], ids=["two nodes a ciphertext", "one node a ciphertext"])
@pytest.mark.parametrize("case", CASES)
def test_simulator_gives_the_plain_logits(case, paired, seed):
    options, ring = CASES[case]
    model = small_network(**options, seed=seed)
    program = laid_out(model, ring, paired)
    counter = count(program)
    simulator = Simulator(program.parameters, counter.wanted)
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(program.layout.batch, 3, model.frames, model.nodes))
    logits = infer(program, simulator, x)
    np.testing.assert_allclose(logits, model.forward(x), rtol=0, atol=1e-10)
    assert simulator.ledger.rows() == counter.ledger.rows()


@pytest.mark.parametrize("case", CASES)
def test_unfused_network_gives_the_plain_logits_with_more_levels(case, seed):
    options, ring = CASES[case]
    model = small_network(**options, seed=seed)
    network = leave(model)
    assert network.levels == unfused_levels(len(model.blocks), model.effective_layers()) > fold(model).levels
    program = lay_out(network, choose(network.levels, 40, 60, ring, insecure=True), paired=False)
    counter = count(program)
    simulator = Simulator(program.parameters, counter.wanted)
    x = np.random.default_rng(seed).normal(size=(program.layout.batch, 3, model.frames, model.nodes))
    np.testing.assert_allclose(infer(program, simulator, x), model.forward(x), rtol=0, atol=1e-10)
    assert simulator.ledger.rows() == counter.ledger.rows()


def test_used_levels_are_the_planned_ones():
    model = small_network(keeps=(2, 1, 0))
    assert fold(model).levels == 2 * 3 + 1 + model.effective_layers() == 10
    program = laid_out(model, 512)
    counter = count(program)
    assert program.head_level == 1
    assert max(level for _, level, _ in counter.ledger.rows()) == 10
    assert {level for name, level, _ in counter.ledger.rows() if name == "rescale"} == set(range(1, 11))
    schedule = program.schedule()
    assert (schedule[0][1], schedule[-1][2]) == (10, 0)
    with pytest.raises(UserError, match="parameters have 9 levels; the network takes 10"):
        lay_out(fold(model), choose(9, 40, 60, 512, insecure=True))


def test_two_nodes_a_ciphertext_halve_temporal_rotations():
    model = small_network(channels=(8, 8, 8), strides=(1, 1, 1), keeps=(0, 0, 0))
    alone, paired = (count(laid_out(model, 512, how)).ledger.rotations for how in (False, True))
    assert paired < 0.75 * alone


def test_sequences_do_not_touch_each_other(seed):
    model = small_network(seed=seed)
    program = laid_out(model, 512)
    simulator = Simulator(program.parameters, count(program).wanted)
    x = np.random.default_rng(seed).normal(size=(program.layout.batch, 3, 8, 5))
    other = x.copy()
    other[1:] += 1
    np.testing.assert_allclose(infer(program, simulator, x)[0], infer(program, simulator, other)[0], atol=1e-12)


def test_too_many_sequences_or_other_frames_are_refused():
    program = laid_out(small_network(), 512)
    with pytest.raises(UserError, match="carries 4"):
        program.layout.pack(np.zeros((5, 3, 8, 5)), program.inputs)
    with pytest.raises(UserError, match="have 7 frames; the network takes 8"):
        program.layout.pack(np.zeros((1, 3, 7, 5)), program.inputs)
