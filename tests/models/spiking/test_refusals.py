"""Inputs that cannot work end with a sentence, whichever layer meets them."""

import pytest
import torch
from torch import nn

from effml.models.spiking.baselines import DoubleRevLIF, RevSpikes, WholeRevLIF
from effml.models.spiking.lif import LeakySteps, Lif, SynapticSteps
from effml.models.spiking.norm import NormRevLIF
from effml.models.spiking.revlif import RevLIF
from effml.models.spiking.sequence import SpikingLayer, SpikingSequence

REVERSIBLE = {
    "numba": lambda: RevLIF(multi_step=True),
    "torch": lambda: RevLIF(multi_step=True, backend="torch"),
    "double": DoubleRevLIF,
    "whole": WholeRevLIF,
    "spikes": RevSpikes,
}
ORDINARY = {"lif": Lif, "leaky": LeakySteps, "synaptic": SynapticSteps}


@pytest.mark.parametrize("make", REVERSIBLE.values(), ids=REVERSIBLE)
def test_an_odd_number_of_channels(make):
    with pytest.raises(ValueError, match="5 channels: the two groups need an even number"):
        make()(torch.randn(3, 2, 5))


@pytest.mark.parametrize("make", [*REVERSIBLE.values(), *ORDINARY.values()], ids=[*REVERSIBLE, *ORDINARY])
def test_no_time_step(make):
    with pytest.raises(ValueError, match="at least one"):
        make()(torch.randn(0, 2, 4))


def test_no_time_step_in_a_norm_and_in_a_sequence():
    sequence = SpikingSequence([SpikingLayer(nn.Linear(4, 4), Lif())])
    for call in (lambda: NormRevLIF(4)(torch.randn(0, 2, 4, 2, 2)), lambda: sequence(torch.zeros(0, 2, 4), torch.sum)):
        with pytest.raises(ValueError, match="at least one"):
            call()


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_half_precision_of_autocast_names_the_remedy(backend):
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(TypeError, match=r"under autocast convert with .float"),
    ):
        RevLIF(multi_step=True, backend=backend)(nn.Linear(4, 4)(torch.randn(3, 2, 4)))


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_a_second_derivative_is_refused_when_asked_for_and_no_sooner(backend):
    x = torch.randn(3, 2, 4, requires_grad=True)
    y, _ = RevLIF(multi_step=True, backend=backend)(x)
    (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    (plain,) = torch.autograd.grad(RevLIF(multi_step=True, backend=backend)(x)[0].square().sum(), x)
    assert torch.equal(first, plain)
    with pytest.raises(RuntimeError, match="revlif is differentiable once"):
        first.sum().backward()


@pytest.mark.parametrize(
    "wrong", [{"alpha": float("nan")}, {"beta": float("inf")}, {"threshold": float("nan")}, {"tau": float("inf")}]
)
def test_constants_that_are_no_numbers(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RevLIF(**wrong)
