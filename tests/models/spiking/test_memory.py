"""What autograd keeps, counted byte by byte: one neuron layer, and whole networks beside it."""

import warnings

import pytest
import torch

from effml.experiments.core.measure import saved_tensors
from effml.models.spiking.baselines import DoubleRevLIF, WholeRevLIF
from effml.models.spiking.lif import LeakySteps, Lif, SynapticSteps
from effml.models.spiking.networks import spiking_convnet
from effml.models.spiking.revlif import RevLIF

UNIT = 32 * 512 * 4  # bytes of one step


def own_bytes(neuron, steps):
    """Bytes kept besides the input and the output."""
    x = torch.randn(steps, 32, 512, requires_grad=True)
    with warnings.catch_warnings(), saved_tensors(x, *neuron.parameters(), *neuron.buffers()) as saved:
        warnings.simplefilter("ignore")
        result = neuron(x)
    return saved.without(result[0] if isinstance(result, tuple) else result)


@pytest.mark.parametrize("steps", [8, 20, 32, 128])
def test_node_keeps_what_the_mode_says(steps):
    paper, bits, exact, anchor = (
        own_bytes(RevLIF(mode=mode, multi_step=True), steps) for mode in ("paper", "bits", "exact", "anchor")
    )
    assert paper == UNIT, "one state, whatever T is"
    assert bits == steps * UNIT // 32, "one bit for a float"
    assert exact == UNIT + steps * UNIT // 32
    assert anchor == UNIT * (1 + (steps - 1) // 8)
    leaky = own_bytes(LeakySteps(reset="zero"), steps)
    assert (3 * steps - 2) * UNIT <= leaky <= (3 * steps - 2) * UNIT + 8 * steps, "scalars aside"
    if steps == 20:
        assert leaky / paper == pytest.approx(58.0, abs=0.05)
    assert 88 <= leaky / bits <= 96


def test_other_ways_of_keeping_a_neuron():
    steps = 32
    assert own_bytes(Lif(), steps) <= 64, "its input is the synapse's output, which is excluded"
    assert own_bytes(DoubleRevLIF(), steps) == UNIT
    assert 2.9 < own_bytes(WholeRevLIF(), steps) / (steps * UNIT) < 5
    assert 1.9 < own_bytes(LeakySteps(reset="subtract"), steps) / (steps * UNIT) < 2
    assert 2.9 < own_bytes(SynapticSteps(reset="zero"), steps) / (steps * UNIT) < 3.1


def network_bytes(kept, steps=32, width=8, side=8, batch=2):
    net = spiking_convnet(kept, 3, width, 6, side)
    x = torch.rand(steps, batch, 3, side, side)
    with saved_tensors(x, *net.parameters(), *net.buffers()) as saved, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = net(x).square().sum()
    del loss
    return saved.bytes


def test_a_network_saves_what_its_other_layers_leave_to_save():
    leaky = network_bytes("leaky")
    assert 2.1 < leaky / network_bytes("rev-bits") < 2.6, "58 is a figure of the neuron alone"
    assert 2.1 < leaky / network_bytes("rev-paper") < 2.6
    assert leaky / network_bytes("rev-norm") > 4
    assert leaky / network_bytes("lif-norm") > 2.1
    assert leaky / network_bytes("bit-checkpoint") > 9
    assert leaky / network_bytes("depth") > 9


def test_a_longer_chain_of_reversible_blocks_keeps_no_more():
    from effml.models.spiking.networks import OverTime
    from effml.models.spiking.reversible import ReversibleBlock, ReversibleChain

    def kept(blocks):
        branch = lambda: torch.nn.Sequential(Lif(), OverTime(torch.nn.Conv2d(4, 4, 3, padding=1)))  # noqa: E731
        chain = ReversibleChain([ReversibleBlock(branch(), branch()) for _ in range(blocks)])
        x = torch.randn(8, 2, 8, 5, 5, requires_grad=True)
        with saved_tensors(*chain.parameters(), *chain.buffers()) as saved:
            y = chain(x)
        assert saved.bytes == y.untyped_storage().nbytes()
        return saved.bytes

    assert kept(1) == kept(6)
