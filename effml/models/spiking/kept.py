"""The ways in which a spiking layer can be kept for its backward, by name: which neuron, norm and wrapper each takes.

| name | what autograd keeps of a synapse - norm - neuron layer |
|---|---|
| leaky, synaptic | everything: snntorch's neurons, stepped |
| online | one step's everything: no gradient through time (train with `spatial_backward`) |
| lif | inputs of synapse, norm and neuron: the same neuron as `leaky` in one kernel |
| lif-norm | inputs of synapse and neuron: the norm is recomputed |
| checkpoint | the layer's input, by `torch.utils.checkpoint` |
| bit-checkpoint | the layer's input as bits |
| depth | nothing but the last output of the chain of layers |
| rev-bits, rev-paper, rev-anchor | inputs of synapse and norm, and what the mode of the reversible neuron keeps |
| rev-norm | input of the synapse and bits: reversible neuron fused with its norm |
| rev-double | as rev-paper, recovered by inverse and second forward |
| rev-whole | everything: the reversible node followed by autograd |
| rev-spikes | inputs of synapse and norm, and Y: the reversible node handing on its spikes alone |
| linear | inputs of synapse and norm: no neuron at all, to tell what a task asks of one |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from effml.kernels.spiking import Rule, surrogate_of
from effml.models.spiking.baselines import Checkpointed, DoubleRevLIF, RevSpikes, WholeRevLIF
from effml.models.spiking.bitcheckpoint import SpikeCheckpoint
from effml.models.spiking.lif import LeakySteps, Lif, SynapticSteps
from effml.models.spiking.norm import NormRevLIF, RecomputedBatchNorm
from effml.models.spiking.revlif import RevLIF

ORDINARY = ("leaky", "synaptic", "online", "lif", "lif-norm", "checkpoint", "bit-checkpoint", "depth")
REVERSIBLE = ("rev-bits", "rev-paper", "rev-anchor", "rev-norm", "rev-double", "rev-whole")
CONTROLS = ("rev-spikes", "linear")
KEPT = ORDINARY + REVERSIBLE + CONTROLS


@dataclass(frozen=True)
class Constants:
    """What the neurons of a network have in common.

    Args:
        tau: membrane time constant; ordinary neurons decay by 1 - 1/tau a step.
        alpha, beta: couplings of reversible neurons.
        threshold: membrane at which a neuron fires.
        spike_grad: derivative of the spike, a name or one of snntorch's functions.
        reset: of ordinary neurons; "zero" is like the reversible one's, "subtract" is snntorch's default.
    """

    tau: float = 2.0
    alpha: float = 0.5
    beta: float = 1.0
    threshold: float = 1.0
    spike_grad: str | Callable[[Tensor], Tensor] | None = None
    reset: str = "zero"


def neuron_of(kept: str, c: Constants) -> nn.Module:
    """The neuron of a way, over [T, batch, channels, ...] and returning the same shape alone.

    Raises:
        ValueError: no such way, or a surrogate by name where snntorch needs its own function.
    """
    decay = 1 - 1 / c.tau
    if kept in ("leaky", "checkpoint", "online"):
        if isinstance(c.spike_grad, str):
            raise ValueError(f"snntorch takes a function as spike_grad, not the name '{c.spike_grad}'")
        return LeakySteps(decay, c.threshold, c.spike_grad, c.reset, carry=kept == "online")
    if kept == "synaptic":
        return SynapticSteps(decay, decay, c.reset)
    if kept in ORDINARY:
        return Lif(decay, c.threshold, c.spike_grad, c.reset)
    if kept == "linear":
        return nn.Identity()
    if kept == "rev-spikes":
        return RevSpikes(c.alpha, c.beta, Rule(c.tau, c.threshold, surrogate_of(c.spike_grad)))
    if kept in ("rev-double", "rev-whole"):
        rule = Rule(c.tau, c.threshold, surrogate_of(c.spike_grad), mode="paper")
        return (DoubleRevLIF if kept == "rev-double" else WholeRevLIF)(c.alpha, c.beta, rule)
    if kept in REVERSIBLE:
        mode = "bits" if kept == "rev-norm" else kept.removeprefix("rev-")
        neuron = RevLIF(c.tau, c.alpha, c.beta, c.threshold, c.spike_grad, mode, multi_step=True, output=False)
        return OutputOnly(neuron)
    raise ValueError(f"'{kept}' is none of {', '.join(KEPT)}")


def norm_and_neuron(kept: str, channels: int, c: Constants) -> tuple[nn.Module | None, nn.Module]:
    """The norm for [N, C, H, W] (None where the neuron normalises) and the neuron behind a convolution."""
    if kept == "rev-norm":
        return None, NormRevLIF(channels, c.alpha, c.beta, c.tau, c.threshold, c.spike_grad)
    norm = RecomputedBatchNorm if kept == "lif-norm" else nn.BatchNorm2d
    return norm(channels), neuron_of(kept, c)


def wrapped(kept: str, layer: nn.Module, binary: bool = True) -> nn.Module:
    """The layer, checkpointed where the way asks for it; `binary` tells that its input is 0 and 1."""
    if kept == "checkpoint":
        return Checkpointed(layer)
    return SpikeCheckpoint(layer, binary) if kept == "bit-checkpoint" else layer


class OutputOnly(nn.Module):
    """Drops the state that a neuron returns beside its output."""

    def __init__(self, neuron: nn.Module) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(x)[0]


NEURONS = (LeakySteps, SynapticSteps, Lif, NormRevLIF, DoubleRevLIF, WholeRevLIF, RevSpikes, OutputOnly)
