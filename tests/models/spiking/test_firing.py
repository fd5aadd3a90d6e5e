"""Firing counted against the kernel's own spikes, and layers brought to a rate."""

import pytest
import torch
from torch import nn

from effml.kernels.spiking import Rule, node_forward, unpack_bits
from effml.models.spiking.baselines import RevSpikes
from effml.models.spiking.firing import balance, fired, firing
from effml.models.spiking.kept import KEPT, Constants, OutputOnly, neuron_of
from effml.models.spiking.networks import spiking_convnet, spiking_mlp
from effml.models.spiking.norm import NormRevLIF
from effml.models.spiking.revlif import RevLIF

CONSTANTS = Constants(alpha=0.25, beta=0.5)
FLAT = [kept for kept in KEPT if kept not in ("rev-norm", "lif-norm", "depth", "linear")]


def spikes_of_the_kernel(x, beta):
    """S of [T, batch, channels] from the bits that mode `bits` keeps."""
    steps, batch, channels = x.shape
    halves = x.reshape(steps, batch, 2, channels // 2)
    *_, bits, _ = node_forward(halves, None, CONSTANTS.alpha, beta, Rule(mode="bits"))
    own = unpack_bits(bits, batch * channels // 2).view(steps, 2, batch, channels // 2)
    return own.transpose(1, 2).reshape(x.shape)


@pytest.mark.parametrize("kept", ["rev-bits", "rev-paper", "rev-anchor", "rev-double", "rev-whole", "rev-spikes"])
def test_a_reversible_neuron_fires_where_the_kernel_says(kept):
    x = torch.randn(9, 3, 10) * 2
    neuron = neuron_of(kept, CONSTANTS)
    expected = spikes_of_the_kernel(x, CONSTANTS.beta)
    assert torch.equal(fired(neuron, x, neuron(x)), expected) and 0.02 < expected.float().mean() < 0.9


def test_the_norm_that_is_part_of_the_neuron_is_seen_through():
    x = torch.randn(5, 3, 4, 2, 2) * 3
    neuron = NormRevLIF(4, 0.5, 0.5)
    neuron.norm.weight.data.uniform_(1, 2)
    for _ in range(2):  # in training by the batch's statistics, then by the running ones
        before = neuron.norm.running_mean.clone()
        z = neuron.normalised(x)
        assert torch.equal(neuron.norm.running_mean, before)
        expected = fired(alone := OutputOnly(RevLIF(beta=0.5, multi_step=True)), z, alone(z))
        assert torch.equal(fired(neuron, x, neuron(x)), expected) and expected.any()
        neuron.eval()


def test_spikes_alone_are_those_of_the_node_and_have_its_gradient():
    x = (torch.randn(6, 2, 8, dtype=torch.float64) * 2).requires_grad_()
    weights = torch.randn(6, 2, 8, dtype=torch.float64)
    spikes = RevSpikes(0.25, 0.5)(x)
    assert torch.equal(spikes.bool(), spikes_of_the_kernel(x.detach(), 0.5)) and set(spikes.unique().tolist()) == {0, 1}
    (got,) = torch.autograd.grad(spikes, x, weights)
    y = neuron_of("rev-whole", CONSTANTS)(x)
    swapped = torch.cat(weights.chunk(2, 2)[::-1], 2)
    (want,) = torch.autograd.grad(y, x, weights)
    torch.testing.assert_close(got, want - 0.5 * swapped)


def test_counts_over_layers():
    """Two layers of which one never fires: the rate is the mean, the quietest is 0; outputs of Y are dense all the same."""
    net = nn.Sequential(neuron_of("rev-bits", Constants(threshold=1e9)), neuron_of("lif", Constants(threshold=-1.0)))
    x = torch.rand(4, 2, 6) + 0.1

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, steps):
            return self.net(x)

    assert firing(Wrapped(), x) == (1.0, 0.5, 0.0)
    assert firing(spiking_mlp("linear", 6, (4, 4), 2), x) is None


@pytest.mark.parametrize("kept", FLAT)
@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_every_layer_fires_at_the_wanted_rate(kept, rate):
    net = spiking_mlp(kept, 40, (64, 64), 4, CONSTANTS)
    x = (torch.rand(10, 32, 40) < 0.3).float()
    readout = net.readout.weight.clone()
    factors = balance(net, x, [rate] * 2)
    found = firing(net, x)
    assert abs(found.rate - rate) < 0.02 and abs(found.quietest - rate) < 0.03
    assert len(factors) == 2 and torch.equal(net.readout.weight, readout)


def test_ordinary_and_reversible_convnets_fire_behind_a_norm():
    x = torch.rand(4, 2, 3, 8, 8)
    for kept in ("lif", "depth", "rev-bits", "rev-norm"):
        assert 0.02 < firing(spiking_convnet(kept, 3, 8, 2, 8), x).rate < 0.4


def test_no_current_cannot_be_balanced():
    net = spiking_mlp("lif", 4, (4, 4), 2)
    net.encoder.bias.data.zero_()
    with pytest.raises(ValueError, match="layer 0's neurons"):
        balance(net, torch.zeros(3, 2, 4), [0.2, 0.2])
