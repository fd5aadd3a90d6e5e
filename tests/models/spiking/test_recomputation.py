"""Running again in the backward: depth-reversible chains and one-bit checkpoints give the plain network's gradients."""

import copy

import pytest
import torch
from torch import nn

from effml.experiments.core.measure import saved_tensors
from effml.models.spiking.baselines import Checkpointed
from effml.models.spiking.bitcheckpoint import SpikeCheckpoint
from effml.models.spiking.lif import LeakySteps, Lif
from effml.models.spiking.networks import OverTime
from effml.models.spiking.reversible import ReversibleBlock, ReversibleChain
from effml.models.spiking.revlif import RevLIF


def branch(width, neuron=Lif):
    convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
    return nn.Sequential(neuron(), OverTime(convolution, nn.BatchNorm2d(width), nn.Dropout(0.3)))


def gradients(module, x, weights, draws=3):
    """Output, input gradient, parameters' gradients and buffers after one step from the same random state."""
    leaf = x.clone().requires_grad_()
    torch.manual_seed(draws)
    y = module(leaf)
    after = torch.rand(1)
    (y * weights).sum().backward()
    assert float(torch.rand(1)) != float(after), "the backward rewound the generator of its surroundings"
    return y.detach(), leaf.grad, [p.grad for p in module.parameters()], [b.clone() for b in module.buffers()]


def assert_same(one, other, tolerance):
    torch.testing.assert_close(other[:3], one[:3], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(other[3], one[3])


@pytest.mark.parametrize("neuron", [Lif, nn.Tanh])
def test_chain_equals_the_plain_blocks(neuron):
    torch.manual_seed(11)
    blocks = nn.Sequential(*(ReversibleBlock(branch(2, neuron), branch(2, neuron)) for _ in range(3))).double()
    chain = ReversibleChain(list(copy.deepcopy(blocks)))
    x, weights = torch.randn(4, 2, 4, 3, 3, dtype=torch.float64), torch.randn(4, 2, 4, 3, 3, dtype=torch.float64)
    assert_same(gradients(blocks, x, weights), gradients(chain, x, weights), 1e-9)
    chain.eval()
    with torch.no_grad():
        torch.testing.assert_close(chain(x), blocks.eval()(x))


def test_chain_with_reversible_neurons_and_shared_parameters():
    shared = nn.Sequential(nn.Conv2d(2, 2, 1))
    neuron = lambda: FirstOf(RevLIF(multi_step=True))  # noqa: E731
    make = lambda: ReversibleBlock(nn.Sequential(neuron(), OverTime(shared)), nn.Sequential(neuron(), OverTime(shared)))  # noqa: E731
    blocks = nn.Sequential(make(), make()).double()
    chain = ReversibleChain(list(copy.deepcopy(blocks)))
    x, weights = torch.randn(5, 2, 4, 3, 3, dtype=torch.float64), torch.randn(5, 2, 4, 3, 3, dtype=torch.float64)
    assert_same(gradients(blocks, x, weights), gradients(chain, x, weights), 1e-9)


class FirstOf(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)[0]


def test_chain_refuses_what_it_cannot_reverse():
    chain = ReversibleChain([ReversibleBlock(nn.Tanh(), nn.Tanh())])
    with pytest.raises(ValueError, match="even number"):
        chain(torch.zeros(1, 1, 3))
    with pytest.raises(ValueError, match="init_hidden"):
        ReversibleBlock(RevLIF(init_hidden=True), nn.Tanh())
    y = chain(torch.randn(2, 1, 4, requires_grad=True))
    with torch.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()


@pytest.mark.parametrize("neuron", [LeakySteps, Lif])
def test_bit_checkpoint_equals_the_plain_layer(neuron):
    layer = nn.Sequential(OverTime(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Dropout(0.3)), neuron())
    twin = SpikeCheckpoint(copy.deepcopy(layer))
    spikes, weights = (torch.rand(6, 2, 3, 5, 4) < 0.3).float(), torch.randn(6, 2, 5, 5, 4)
    assert_same(gradients(layer, spikes, weights), gradients(twin, spikes, weights), 0)
    with saved_tensors(*twin.parameters(), *twin.buffers()) as saved:
        twin(spikes.requires_grad_())
    assert saved.bytes == -(-spikes.numel() // 8)


def test_checkpoints_of_two_layers_train_like_the_plain_network():
    layers = [nn.Sequential(nn.Linear(12, 8), Lif()), nn.Sequential(nn.Linear(8, 6), Lif())]
    plain = nn.Sequential(*copy.deepcopy(layers))
    kept = nn.Sequential(*(SpikeCheckpoint(layer) for layer in copy.deepcopy(layers)))
    again = nn.Sequential(*(Checkpointed(layer) for layer in copy.deepcopy(layers)))
    spikes, weights = (torch.rand(9, 4, 12) < 0.4).float(), torch.randn(9, 4, 6)
    expected = gradients(plain, spikes, weights)
    assert_same(expected, gradients(kept, spikes, weights), 0)
    assert_same(expected, gradients(again, spikes, weights), 0)


def test_bit_checkpoint_refuses_real_values_and_takes_them_when_told():
    layer = nn.Sequential(nn.Linear(4, 3), Lif())
    x = torch.randn(5, 2, 4)
    with pytest.raises(ValueError, match="binary=False"):
        SpikeCheckpoint(layer)(x)
    expected, actual = gradients(layer, x, torch.ones(5, 2, 3)), None
    layer.zero_grad()
    actual = gradients(SpikeCheckpoint(layer, binary=False), x, torch.ones(5, 2, 3))
    torch.testing.assert_close(actual[1], expected[1])
    with pytest.raises(ValueError, match="init_hidden"):
        SpikeCheckpoint(RevLIF(init_hidden=True))
