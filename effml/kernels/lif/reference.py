"""The ordinary leaky integrate-and-fire neuron over all time steps in plain torch, as snntorch's `Leaky` computes it.

    R = H(V - threshold), detached
    V' = beta V + X - R threshold  (reset "subtract"),  beta (1 - R) V + X  ("zero"),  beta V + X  ("none")
    S = H(V' - threshold)

H(0) = 0; the reset follows the spike by one step. Tensors are [T, N].
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from effml.kernels.spiking.surrogate import Surrogate


def step(x: Tensor, v: Tensor, beta: Tensor, threshold: float, reset: str) -> Tensor:
    """The next membrane."""
    fired = v > threshold
    if reset == "subtract":
        return beta * v + x - fired * threshold
    return beta * (v.masked_fill(fired, 0) if reset == "zero" else v) + x


def forward(
    x: Float[Tensor, "T N"], v: Float[Tensor, " N"] | None, beta: Tensor, threshold: float, reset: str
) -> tuple[Float[Tensor, "T N"], Float[Tensor, " N"]]:
    """Spikes (0 or 1 in the dtype of x) and the last membrane."""
    v = torch.zeros_like(x[0]) if v is None else v
    spikes = torch.empty_like(x)
    for t, now in enumerate(x):
        v = step(now, v, beta, threshold, reset)
        spikes[t] = v > threshold
    return spikes, v.clone()


def backward(
    x: Float[Tensor, "T N"], v: Float[Tensor, " N"] | None, grad_spikes: Float[Tensor, "T N"],
    grad_v: Float[Tensor, " N"] | None, beta: Tensor, threshold: float, reset: str, surrogate: Surrogate,
) -> tuple[Float[Tensor, "T N"], Float[Tensor, " N"], Float[Tensor, ""]]:  # fmt: skip
    """Gradients of X, of V at the start and of beta; the membranes are computed again."""
    past = [torch.zeros_like(x[0]) if v is None else v]
    for now in x:
        past.append(step(now, past[-1], beta, threshold, reset))
    grad_x, carried = torch.empty_like(x), torch.zeros_like(x[0]) if grad_v is None else grad_v
    of_beta = x.new_zeros(())
    for t in reversed(range(len(x))):
        grad_x[t] = carried + grad_spikes[t] * surrogate.derivative(past[t + 1] - threshold)
        silent = past[t] <= threshold if reset == "zero" else torch.ones_like(past[t], dtype=torch.bool)
        of_beta += (grad_x[t] * past[t] * silent).sum()
        carried = beta * grad_x[t] * silent
    return grad_x, carried, of_beta
