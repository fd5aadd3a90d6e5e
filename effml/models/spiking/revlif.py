"""`RevLIF`, the reversible spiking neuron as a layer, called as snntorch's neurons are. Method: arXiv 2308.08649.

A reconstruction: the paper's text gives the structure, not the constants (equations in `effml.kernels.spiking`). Its
output Y = S + beta X is real-valued, so what comes after it is no longer driven by events.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from effml.kernels.spiking import Rule, revlif, surrogate_of
from effml.models.spiking.stability import is_stable, max_safe_steps


class RevLIF(nn.Module):
    """Two groups of leaky integrate-and-fire neurons that feed each other, so that inputs and past follow from outputs.

    One step, as in snntorch: `y, mem = neuron(x, mem)` with x [batch, channels, ...]; with `multi_step=True` x is
    [T, batch, channels, ...] and the state is kept once a call instead of once a step, which is where the memory is
    saved. With `init_hidden=True` the state lives on the module and only `y` is returned, unless `output=True`.

    Args:
        tau: membrane time constant in steps; a neuron keeps 1 - 1/tau of its membrane (snntorch calls that `beta`).
        alpha: coupling of the two groups' states. Above 1/tau the state grows without bound, which is warned of.
        beta: coupling of input into output (not snntorch's beta). X comes back as (Y - S) / beta.
        threshold: membrane at which a neuron fires.
        spike_grad: derivative of the spike: a name, a function of `snntorch.surrogate`, or any callable like them.
        mode: how the past is recovered: "bits", "paper", "anchor" or "exact" (`effml.kernels.spiking.revlif`).
        detach_reset: leave the reset out of the gradient.
        anchor_every: steps between kept states in mode "anchor".
        split_dim: axis of one step (0 is the batch) that is cut into the two groups; its size must be even.
        learn_alpha, learn_beta: make the couplings parameters.
        backend: see `revlif`.

    Warns:
        UserWarning: alpha above 1/tau; or more steps in one call than mode "paper", or than an interval of mode
            "anchor", can recover.

    Raises:
        ValueError, TypeError: as `revlif`, when called.
    """

    reversible = True  # its output tells its input

    def __init__(
        self,
        tau: float = 2.0,
        alpha: float = 0.5,
        beta: float = 1.0,
        threshold: float = 1.0,
        spike_grad: str | Callable[[Tensor], Tensor] | None = None,
        mode: str = "bits",
        detach_reset: bool = False,
        anchor_every: int = 8,
        multi_step: bool = False,
        split_dim: int = 1,
        init_hidden: bool = False,
        output: bool = False,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        self.rule = Rule(tau, threshold, surrogate_of(spike_grad), detach_reset, mode, anchor_every)
        self.rule.check_couplings(alpha, beta)
        self.multi_step, self.split_dim, self.backend = multi_step, split_dim, backend
        self.init_hidden, self.output = init_hidden, output
        self.alpha = nn.Parameter(torch.tensor(float(alpha))) if learn_alpha else float(alpha)
        self.beta = nn.Parameter(torch.tensor(float(beta))) if learn_beta else float(beta)
        self.mem: Tensor
        self.register_buffer("mem", torch.zeros(0), persistent=False)
        if not is_stable(alpha, tau):
            warnings.warn(
                f"alpha {alpha:g} is above 1/tau = {1 / tau:g}: the membrane grows without bound as steps go by and "
                "firing saturates; choose alpha at most 1/tau",
                stacklevel=2,
            )

    def reset_mem(self) -> Tensor:
        """Forget the state; returns an empty one, which stands for zeros of any shape."""
        self.mem = torch.zeros(0, device=self.mem.device)
        return self.mem

    def detach_mem(self) -> None:
        """Cut the state out of the graph: truncated backpropagation through time."""
        self.mem = self.mem.detach()

    def forward(
        self, x: Float[Tensor, "*steps batch channels *rest"], mem: Float[Tensor, "batch channels *rest"] | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        if self.init_hidden and mem is not None:
            raise TypeError("the state lives on this module (init_hidden=True): do not pass one")
        state = self.mem if self.init_hidden else mem
        sequence = x if self.multi_step else x.unsqueeze(0)
        if state is not None and state.numel() == 0 and sequence[0].numel():
            state = None
        if self.init_hidden and state is not None and state.shape != sequence.shape[1:]:
            state = None  # another batch size: start anew, as snntorch does
        self._warn_of_drift(len(sequence), x.dtype)
        axis = self.split_dim + 1 if self.split_dim >= 0 else self.split_dim
        y, last = revlif(sequence, state, self.alpha, self.beta, self.rule, axis, self.backend)
        y = y if self.multi_step else y.squeeze(0)
        if self.init_hidden:
            self.mem = last
        return y if self.init_hidden and not self.output else (y, last)

    def _warn_of_drift(self, steps: int, dtype: torch.dtype) -> None:
        inverted = {"paper": steps, "anchor": min(steps, self.rule.anchor_every)}.get(self.rule.mode, 1)
        if inverted <= 1 or torch.compiler.is_compiling():
            return
        alpha = _number(self.alpha)
        safe = max_safe_steps(alpha, self.rule.tau, dtype)
        if inverted > safe:
            warnings.warn(
                f"mode {self.rule.mode} inverts {inverted} steps at a stretch, but at alpha {alpha:g}, tau "
                f"{self.rule.tau:g} and {str(dtype).removeprefix('torch.')} about {safe:g} come back right: spikes "
                "before that, and the gradient through them, are wrong; use mode bits",
                stacklevel=3,
            )

    def extra_repr(self) -> str:
        couplings = f"alpha={_number(self.alpha):g}, beta={_number(self.beta):g}"
        shown = f"tau={self.rule.tau:g}, {couplings}, mode={self.rule.mode}"
        return shown + (", multi_step" if self.multi_step else "")


def _number(coupling: float | Tensor) -> float:
    return float(coupling.detach()) if isinstance(coupling, Tensor) else coupling


def reset_states(net: nn.Module) -> None:
    """Forget the state of every neuron in `net`, ours and snntorch's, however deeply nested."""
    for module in net.modules():
        if callable(reset := getattr(module, "reset_mem", None)):
            reset()
