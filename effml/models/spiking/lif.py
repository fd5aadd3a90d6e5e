"""The ordinary leaky integrate-and-fire layer over all T steps, and snntorch's neurons stepped through them.

`Lif` and `LeakySteps` compute the same function; they differ in what autograd keeps: X, or three values a step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from effml.kernels.lif import lif
from effml.kernels.spiking import surrogate_of


class Lif(nn.Module):
    """snntorch's `Leaky(beta, threshold, spike_grad, reset_mechanism=reset)` over [T, batch, ...] in one kernel.

    Returns the spikes; with `output=True` the spikes and the last membrane. `state` may be passed in.
    """

    def __init__(
        self,
        beta: float = 0.5,
        threshold: float = 1.0,
        spike_grad: str | Callable[[Tensor], Tensor] | None = None,
        reset: str = "subtract",
        learn_beta: bool = False,
        output: bool = False,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        self.threshold, self.reset, self.output, self.backend = threshold, reset, output, backend
        self.surrogate = surrogate_of(spike_grad)
        if learn_beta:
            self.beta = nn.Parameter(torch.tensor(float(beta)))
        else:
            self.register_buffer("beta", torch.tensor(float(beta)))

    def forward(self, x: Float[Tensor, "T batch *rest"], state: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        beta = self.beta.clamp(0, 1)
        spikes, last = lif(x, state, beta, self.threshold, self.reset, self.surrogate, self.backend)
        return (spikes, last) if self.output else spikes


class LeakySteps(nn.Module):
    """snntorch's `Leaky` called once per step of [T, batch, ...]: the baseline as its users write it.

    With `carry=True` the membrane of one call is where the next begins (cut out of the graph), until `reset_mem`.
    """

    def __init__(
        self,
        beta: float = 0.5,
        threshold: float = 1.0,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        reset: str = "subtract",
        carry: bool = False,
    ) -> None:
        super().__init__()
        import snntorch

        self.neuron = _unlisted(snntorch.Leaky(beta, threshold, spike_grad, reset_mechanism=reset))
        self.carry = carry
        self.membrane: Tensor | None = None

    def forward(self, x: Float[Tensor, "T batch *rest"]) -> Float[Tensor, "T batch *rest"]:
        _check_steps(x)
        membrane = torch.zeros_like(x[0]) if self.membrane is None else self.membrane
        spikes = []
        for now in x:
            spike, membrane = self.neuron(now, membrane)
            spikes.append(spike)
        self.neuron.mem = torch.zeros(0, device=x.device)  # snntorch leaves the last membrane, and its graph, here
        if self.carry:
            self.membrane = membrane.detach()
        return torch.stack(spikes)

    def reset_mem(self) -> None:
        """Start the next call from 0."""
        self.membrane = None


class SynapticSteps(nn.Module):
    """snntorch's `Synaptic` (a synapse with a memory of its own before the membrane), called once per step."""

    def __init__(self, alpha: float = 0.5, beta: float = 0.5, reset: str = "subtract") -> None:
        super().__init__()
        import snntorch

        self.neuron = _unlisted(snntorch.Synaptic(alpha, beta, reset_mechanism=reset))

    def forward(self, x: Float[Tensor, "T batch *rest"]) -> Float[Tensor, "T batch *rest"]:
        _check_steps(x)
        current, membrane = torch.zeros_like(x[0]), torch.zeros_like(x[0])
        spikes = []
        for now in x:
            spike, current, membrane = self.neuron(now, current, membrane)
            spikes.append(spike)
        self.neuron.syn, self.neuron.mem = torch.zeros(0, device=x.device), torch.zeros(0, device=x.device)
        return torch.stack(spikes)


def _check_steps(x: Tensor) -> None:
    if len(x) == 0:
        raise ValueError(f"x has no time step: {[*x.shape]}; pass [T, ...] with at least one")


def _unlisted(neuron: nn.Module) -> nn.Module:
    """snntorch keeps every neuron ever made in a class list, so that none is freed; take this one off."""
    instances = type(neuron).instances  # type: ignore[attr-defined]
    instances[:] = [other for other in instances if other is not neuron]
    return neuron
