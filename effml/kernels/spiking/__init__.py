"""The reversible spiking node over all time steps, with gradients recovered from its output: `revlif`.

A `torch.library` custom op, so that it runs inside `torch.compile`; the back end follows the device. Nothing here knows
of layers or networks. Method: arXiv 2308.08649, reconstructed (equations in `reference.py`).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from effml.kernels.devices import check_triton
from effml.kernels.spiking.bits import pack_bits, packed_width, unpack_bits
from effml.kernels.spiking.operator import node_backward, node_forward, node_input
from effml.kernels.spiking.rule import MODES, Rule
from effml.kernels.spiking.surrogate import CODES, Surrogate, surrogate_of

__all__ = [
    "CODES",
    "MODES",
    "Rule",
    "Surrogate",
    "node_backward",
    "node_forward",
    "node_input",
    "pack_bits",
    "packed_width",
    "revlif",
    "surrogate_of",
    "unpack_bits",
]


def revlif(
    x: Float[Tensor, " T *neurons"],
    state: Float[Tensor, " *neurons"] | None = None,
    alpha: float | Tensor = 0.5,
    beta: float | Tensor = 1.0,
    rule: Rule | None = None,
    split_dim: int = -1,
    backend: str | None = None,
) -> tuple[Float[Tensor, " T *neurons"], Float[Tensor, " *neurons"]]:
    """Run the node over time: its real-valued output Y and the state after the last step.

    Args:
        x: float32 or float64; `split_dim` (not 0, even size) is cut into the two groups.
        state: V before the first step, of `x[0]`'s shape; None is 0.
        alpha, beta: state and input coupling, numbers or scalar tensors (which then get a gradient).
        rule: all other constants and the mode of recovery; default `Rule()`, mode `bits`.
        backend: `torch`, `numba` or `triton`; default numba on CPU, Triton on CUDA. A surrogate given as a callable
            runs in torch.

    For the backward autograd keeps Y (as the next layer does), and besides:

    | mode | kept |
    |---|---|
    | paper | the last state: N values |
    | bits | the spikes, T N / 8 bytes, and `state` if given |
    | anchor | the last state and one every `anchor_every` steps |
    | exact | the last state and T N / 8 bytes |

    Y must not be written to afterwards: autograd refuses the backward then. Differentiable once.

    Raises:
        ValueError: no time step, an odd number of channels, shapes that do not match, a mode that cannot recover with
            these couplings, or (mode `exact`) values too large for the grid.
        TypeError: another dtype, such as that of autocast.
    """
    rule = rule or Rule()
    _check(x, state, split_dim)
    check_triton(backend, x, "numba")
    if not torch.compiler.is_compiling():
        rule.check_couplings(_known(alpha), _known(beta))
    split_dim %= x.ndim
    rows, half = math.prod(x.shape[1:split_dim]), math.prod(x.shape[split_dim:]) // 2
    operands = x.reshape(len(x), rows, 2, half), None if state is None else state.reshape(rows, 2, half)
    if not rule.surrogate.in_kernels or (backend == "torch" and not torch.compiler.is_compiling()):
        y, u = _eager(*operands, alpha, beta, rule, backend or "torch")
    else:
        y, u, *_ = node_forward(*operands, alpha, beta, rule, backend)
    return y.view(x.shape), u.view(x.shape[1:])


def _check(x: Tensor, state: Tensor | None, split_dim: int) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a torch tensor, got {type(x).__name__}")
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"revlif takes float32 or float64, got {x.dtype}: its inverse divides rounding errors by alpha at every "
            "step; under autocast convert with .float() and call it inside torch.autocast(..., enabled=False)"
        )
    if x.ndim < 2 or not -x.ndim <= split_dim < x.ndim or split_dim % x.ndim == 0:
        raise ValueError(f"x must be [T, ...] with a channel axis other than 0, got {[*x.shape]} split at {split_dim}")
    if x.shape[0] == 0:
        raise ValueError(f"x has no time step: {[*x.shape]}; pass at least one")
    if x.shape[split_dim] % 2:
        raise ValueError(f"axis {split_dim} has {x.shape[split_dim]} channels: the two groups need an even number")
    if state is not None and (state.shape != x.shape[1:] or state.dtype != x.dtype or state.device != x.device):
        raise ValueError(
            f"state {[*state.shape]} {state.dtype} on {state.device} must match one step of x: {[*x.shape[1:]]} "
            f"{x.dtype} on {x.device}"
        )


def _known(coupling: float | Tensor) -> float | None:
    """The value, unless reading it would wait for a device."""
    if isinstance(coupling, Tensor):
        return float(coupling.detach()) if coupling.device.type == "cpu" else None
    return float(coupling)


def _eager(
    x: Tensor, state: Tensor | None, alpha: float | Tensor, beta: float | Tensor, rule: Rule, backend: str
) -> tuple[Tensor, Tensor]:
    if backend != "torch":
        raise ValueError(f"a surrogate given as a callable runs with backend='torch', not '{backend}'")
    from effml.kernels.spiking.eager import Eager

    return Eager.apply(x, state, alpha, beta, rule)
