"""Which neurons fire, and how often: counted for any network here, and brought to one rate before training.

A reversible neuron hands on Y = S + beta X', X' being the other group's input: that it fired cannot be read off Y alone,
which is almost nowhere 0 or 1. Knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from effml.models.spiking.kept import NEURONS, OutputOnly
from effml.models.spiking.norm import NormRevLIF
from effml.models.spiking.revlif import reset_states

POWERS = range(-10, 11)  # of two, between which `balance` looks for the factor of a layer's weights


class Firing(NamedTuple):
    """Shares of a network's neurons and steps.

    Args:
        density: outputs that are not 0, all layers together: what comes after cannot leave those out.
        rate: neurons that fired, all layers together.
        quietest: the same of the layer that fires least.
    """

    density: float
    rate: float
    quietest: float


def fired(
    neuron: nn.Module, x: Float[Tensor, "T batch channels *rest"], y: Float[Tensor, "T batch channels *rest"]
) -> Bool[Tensor, "T batch channels *rest"]:
    """Where the neuron (one of `NEURONS`) that made y of x fired."""
    inner = neuron.neuron if isinstance(neuron, OutputOnly) else neuron
    beta = getattr(inner, "beta", None) if getattr(inner, "reversible", False) else None
    if beta is None:
        return y != 0
    if isinstance(neuron, NormRevLIF):
        x = neuron.normalised(x)
    return y - beta * torch.cat(x.chunk(2, 2)[::-1], 2) > 0.5


def firing(net: nn.Module, x: Tensor, steps: int | None = None) -> Firing | None:
    """One pass of the network over x, looked at; None where it has no neuron."""
    counts: dict[nn.Module, list[int]] = {}

    def count(neuron: nn.Module, inputs: tuple, output: Tensor | tuple[Tensor, Tensor]) -> None:
        y = output[0] if isinstance(output, tuple) else output
        known = counts.setdefault(neuron, [0, 0, 0])
        now = y.numel(), int(torch.count_nonzero(y)), int(fired(neuron, inputs[0], y).sum())
        known[:] = [before + more for before, more in zip(known, now, strict=True)]

    handles = [module.register_forward_hook(count) for module in net.modules() if isinstance(module, NEURONS)]
    try:
        with torch.no_grad():
            net(x, steps)
    finally:
        for handle in handles:
            handle.remove()
    if not counts:
        return None
    total, nonzero, spikes = (sum(column) for column in zip(*counts.values(), strict=True))
    return Firing(nonzero / total, spikes / total, min(own[2] / own[0] for own in counts.values()))


@torch.no_grad()
def balance(net: nn.Module, x: Float[Tensor, "T batch inputs"], rates: Sequence[float]) -> list[float]:
    """Scale the weights of linear layers, the first one first, until the wanted share of the neurons behind each fires on x.

    Threshold and constants stay as they are. Neurons whose current is a tenth of their threshold fire never and learn
    late, and how far weights drawn the usual way are from driving a neuron depends on the neuron: a reversible one takes
    k = 1/tau of its current, snntorch's takes all of it.

    Args:
        net: chain of linear layers with a neuron of `NEURONS` behind each, in the order of its modules; a last linear
            layer may be without one.
        rates: shares of neurons and steps with a spike, layer by layer.

    Returns:
        The factor of each layer.

    Raises:
        ValueError: no weights make the neurons fire that often (a current of 0, or one of the wrong sign).
    """
    linears = [module for module in net.modules() if isinstance(module, nn.Linear)]
    neurons = [module for module in net.modules() if isinstance(module, NEURONS)]
    factors = []
    for number, (linear, neuron, rate) in enumerate(zip(linears, neurons, rates, strict=False)):
        current = linear(x)
        factor = _factor(neuron, current, rate)
        if factor is None:
            most = max(_share(neuron, current, power) for power in POWERS)
            raise ValueError(
                f"no scale of the weights makes {rate:.1%} of layer {number}'s neurons fire on this input; at most {most:.1%}"
            )
        for values in linear.parameters():
            values.mul_(factor)
        factors.append(factor)
        x = _run(neuron, current * factor)
    return factors


def _factor(neuron: nn.Module, current: Tensor, rate: float) -> float | None:
    """The smallest factor that makes a share `rate` fire, to a thousandth: by octaves, as more current need not mean more
    spikes (a reset that comes a step late silences every other one), then by bisection."""
    high: float | None = next((power for power in POWERS if _share(neuron, current, power) >= rate), None)
    if high is None:
        return None
    low = high - 1
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if _share(neuron, current, middle) < rate else (low, middle)
    return 2.0**high


def _share(neuron: nn.Module, current: Tensor, power: float) -> float:
    scaled = current * 2.0**power
    return float(fired(neuron, scaled, _run(neuron, scaled)).float().mean())


def _run(neuron: nn.Module, current: Tensor) -> Tensor:
    reset_states(neuron)
    output = neuron(current)
    reset_states(neuron)
    return output[0] if isinstance(output, tuple) else output
