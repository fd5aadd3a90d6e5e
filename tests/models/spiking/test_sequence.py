"""Long sequences: gradients of the whole, bits kept, the order of sqrt(T) in flight; and training without time."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from effml.experiments.core.measure import saved_tensors
from effml.models.spiking.baselines import spatial_backward
from effml.models.spiking.kept import Constants
from effml.models.spiking.lif import Lif
from effml.models.spiking.networks import spiking_mlp
from effml.models.spiking.revlif import reset_states
from effml.models.spiking.sequence import SpikingLayer, SpikingSequence


def network(widths, dtype=torch.float64):
    net = SpikingSequence(
        [SpikingLayer(nn.Linear(a, b), Lif(0.8, learn_beta=True)) for a, b in itertools.pairwise(widths)]
    ).to(dtype)
    with torch.no_grad():  # so that the second layer fires, too, from the first step on
        for layer in net.layers:
            layer.synapse.weight.mul_(8)
    return net


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 23])
def test_gradients_equal_those_of_the_whole_sequence(steps):
    net, head = network((12, 10, 8)), nn.Linear(8, 3).double()
    plain, plain_head = copy.deepcopy(net), copy.deepcopy(head)
    spikes, target = (torch.rand(steps, 2, 12) < 0.5).double(), torch.randn(steps, 2, 3, dtype=torch.float64)
    loss = net(
        spikes,
        lambda now, begin: (head(now) - target[begin : begin + len(now)]).square().sum(),
        list(head.parameters()),
    )
    loss.backward()
    x = spikes
    for layer in plain.layers:
        x, _ = layer(x)
    expected = (plain_head(x) - target).square().sum()
    expected.backward()
    assert torch.equal(net.spikes(spikes), x) and 0 < float(x.detach().mean()) < 1
    torch.testing.assert_close(loss, expected)
    for got, want in zip(
        (*net.parameters(), *head.parameters()), (*plain.parameters(), *plain_head.parameters()), strict=True
    ):
        torch.testing.assert_close(got.grad, want.grad, rtol=1e-10, atol=1e-11)


def test_2000_steps_keep_bits_and_pass_sqrt_of_t():
    """Kept: one bit for a neuron-step. In flight at once: a few times sqrt(T) values for a neuron, never T."""
    steps, hidden = 2000, 32
    net = network((hidden, hidden, hidden), torch.float32)
    spikes = (torch.rand(steps, 1, hidden) < 0.3).float()
    with saved_tensors(*net.parameters()) as saved:
        loss = net(spikes, lambda now, begin: now.sum())
    assert saved.bytes == 3 * steps * hidden // 8, "the input, and two layers' spikes"
    largest = largest_tensor(loss.backward)
    assert largest <= hidden * (math.isqrt(steps - 1) + 2), "a tensor of all steps was made"
    assert largest >= hidden * math.isqrt(steps - 1)


def largest_tensor(call):
    """The most elements of a floating tensor that `call` makes."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for tensor in result if isinstance(result, tuple | list) else (result,):
                if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                    self.elements = max(self.elements, tensor.numel())
            return result

    with Largest() as mode:
        call()
    return mode.elements


def test_what_cannot_work_is_refused():
    net = network((4, 4), torch.float32)
    with pytest.raises(ValueError, match="0 and 1"):
        net(torch.randn(5, 2, 4), lambda now, begin: now.sum())
    norm = SpikingSequence([SpikingLayer(nn.Sequential(nn.Flatten(0, 1), nn.BatchNorm1d(4)), Lif())])
    with pytest.raises(ValueError, match="eval"):
        norm(torch.zeros(5, 2, 4), lambda now, begin: now.sum())


def test_training_without_time_is_the_gradient_with_membranes_cut():
    """Against one graph over all steps whose membranes are detached by hand."""
    import snntorch

    net = spiking_mlp("online", 6, (5,), 3, Constants(reset="subtract"))
    x, labels = (torch.rand(7, 4, 6) < 0.6).float(), torch.tensor([0, 1, 2, 0])
    loss, logits = spatial_backward(net, x, lambda now: nn.functional.cross_entropy(now, labels))
    got = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    neuron, membrane, total, summed = snntorch.Leaky(0.5), torch.zeros(4, 5), 0.0, 0.0
    for now in x:
        spikes, membrane = neuron(net.encoder(now), membrane.detach())
        summed = summed + net.readout(spikes)
        total = total + nn.functional.cross_entropy(net.readout(spikes), labels) / 7
    total.backward()
    torch.testing.assert_close(loss, total.detach())
    torch.testing.assert_close(logits, summed.detach())
    for one, other in zip(got, net.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad)
    reset_states(net)
    net(x).sum().backward()
    assert not torch.allclose(got[0], net.encoder.weight.grad), "through time the gradient is another"
