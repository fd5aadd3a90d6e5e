"""spikingjelly's multi-step LIF neuron and its checkpoints of spikes (`memopt`), where a user has installed it.

It brings torchvision's torch along, so it is no dependency: `pip install --no-deps spikingjelly loguru`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

HOW = "pip install --no-deps spikingjelly loguru"


def missing() -> str | None:
    """Why it cannot be used, with the command that helps; None where it can."""
    try:
        importlib.import_module("spikingjelly.activation_based.neuron")
    except ImportError as error:
        return f"{error}; {HOW}"
    return None


def neuron(tau: float, threshold: float) -> nn.Module:
    """Its LIF over [T, batch, ...], hard reset to 0, surrogate ATan(2), in torch."""
    from torch import nn

    jelly = importlib.import_module("spikingjelly.activation_based.neuron")
    surrogate = importlib.import_module("spikingjelly.activation_based.surrogate")

    class FromRest(nn.Module):
        """The neuron, starting at 0 in every call."""

        def __init__(self) -> None:
            super().__init__()
            self.neuron = jelly.LIFNode(
                tau=tau, decay_input=False, v_threshold=threshold, v_reset=0.0, step_mode="m",
                surrogate_function=surrogate.ATan(alpha=2.0),
            )  # fmt: skip

        def forward(self, x: Tensor) -> Tensor:
            self.neuron.reset()
            return self.neuron(x)

    return FromRest()


def refit(net: nn.Module, tau: float, threshold: float) -> nn.Module:
    """The network with spikingjelly's neurons in place of ours."""
    from effml.models.spiking.lif import LeakySteps, Lif

    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LeakySteps | Lif):
                setattr(parent, name, neuron(tau, threshold))
    return net


def checkpointed(net: nn.Module, forward: Callable[[nn.Module], Any]) -> nn.Module:
    """The network after `memopt`: every convolution - norm - neuron layer checkpointed, binary inputs as bits, which it
    finds out by one `forward(net)`."""
    from torch import nn

    from effml.models.spiking.networks import OverTime

    memopt = importlib.import_module("spikingjelly.activation_based.memopt")

    class Layer(nn.Sequential):
        """What `memopt` shall take as one."""

    body = net.get_submodule("layers")
    for name, child in list(body.named_children()):
        if isinstance(child, nn.Sequential) and not isinstance(child, OverTime):
            setattr(body, name, Layer(*child))
    return memopt.optimize_memory(net, Layer, forward, level=1, checkpoint_budget="memory", compress=True)
