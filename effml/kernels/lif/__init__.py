"""The ordinary leaky integrate-and-fire neuron over all time steps, with gradients from its input alone: `lif`.

Equal to stepping snntorch's `Leaky` (reset one step late and detached), which keeps three values per neuron and step
for its backward; this keeps X. A `torch.library` custom op; the back end follows the device.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from effml.kernels.devices import check_triton
from effml.kernels.spiking.surrogate import Surrogate, surrogate_of

__all__ = ["RESETS", "lif"]

RESETS = ("subtract", "zero", "none")


def lif(
    x: Float[Tensor, " T *neurons"],
    state: Float[Tensor, " *neurons"] | None = None,
    beta: float | Tensor = 0.5,
    threshold: float = 1.0,
    reset: str = "subtract",
    surrogate: Surrogate | None = None,
    backend: str | None = None,
) -> tuple[Float[Tensor, " T *neurons"], Float[Tensor, " *neurons"]]:
    """Spikes at every step, and the membrane after the last.

    Args:
        x: input current, float32 or float64, at least one step.
        state: membrane before the first step; None is 0.
        beta: decay per step, a number or a scalar tensor (which then gets a gradient).
        threshold: a spike is a membrane above it.
        reset: "subtract" the threshold, to "zero", or "none", in the step after the spike.
        surrogate: derivative of the spike, default atan(2).
        backend: `torch`, `numba` or `triton`; default numba on CPU, Triton on CUDA.

    Raises:
        ValueError: no time step, a state of another shape, an unknown reset or backend, a surrogate without a name.
        TypeError: another dtype, such as that of autocast.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a torch tensor, got {type(x).__name__}")
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"lif takes float32 or float64, got {x.dtype}; under autocast convert with .float()")
    if x.ndim < 1 or x.shape[0] == 0:
        raise ValueError(f"x has no time step: {[*x.shape]}; pass [T, ...] with at least one")
    if state is not None and (state.shape != x.shape[1:] or state.dtype != x.dtype or state.device != x.device):
        raise ValueError(
            f"state {[*state.shape]} {state.dtype} on {state.device} must match a step of x: {[*x.shape[1:]]} {x.dtype} "
            f"on {x.device}"
        )
    if isinstance(beta, Tensor) and beta.numel() != 1:
        raise ValueError(f"beta must be a number or a scalar tensor, got {[*beta.shape]}")
    if reset not in RESETS:
        raise ValueError(f"reset '{reset}' is none of {', '.join(RESETS)}")
    surrogate = surrogate or surrogate_of(None)
    if not surrogate.in_kernels:
        raise ValueError("lif takes the surrogates that have a name; step snntorch's Leaky for any other callable")
    backend = backend or {"cpu": "numba", "cuda": "triton"}.get(x.device.type, "torch")
    check_triton(backend, x, "numba")
    beta = torch.as_tensor(beta, dtype=x.dtype, device=x.device)
    flat = None if state is None else state.flatten()
    spikes, last = _lif(
        x.reshape(x.shape[0], -1), flat, beta, threshold, reset, surrogate.code, surrogate.slope, backend
    )
    return spikes.view(x.shape), last.view(x.shape[1:])


def _implementation(backend: str):
    if backend == "torch":
        from effml.kernels.lif import reference

        return reference
    if backend == "numba":
        from effml.kernels.lif import cpu

        return cpu
    if backend == "triton":
        from effml.kernels.lif import gpu

        return gpu
    raise ValueError(f"backend '{backend}' is none of torch, numba, triton")


@torch.library.custom_op("effml::lif", mutates_args=())
def _lif(
    x: Tensor, state: Tensor | None, beta: Tensor, threshold: float, reset: str, surrogate: int, slope: float,
    backend: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    state = None if state is None else state.contiguous()
    return _implementation(backend).forward(x.contiguous(), state, beta, threshold, reset)


@torch.library.custom_op("effml::lif_backward", mutates_args=())
def _lif_backward(
    x: Tensor, state: Tensor | None, grad_spikes: Tensor, grad_state: Tensor | None, beta: Tensor, threshold: float,
    reset: str, surrogate: int, slope: float, backend: str,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return _implementation(backend).backward(
        x.contiguous(), None if state is None else state.contiguous(), grad_spikes.contiguous(),
        None if grad_state is None else grad_state.contiguous(), beta, threshold, reset, Surrogate(surrogate, slope),
    )  # fmt: skip


@_lif.register_fake
def _(x, state, beta, threshold, reset, surrogate, slope, backend):
    return x.new_empty(x.shape), x.new_empty(x.shape[1:])


@_lif_backward.register_fake
def _(x, state, grad_spikes, grad_state, beta, *_):
    return x.new_empty(x.shape), x.new_empty(x.shape[1:]), torch.empty_like(beta)


def _save(ctx, inputs, output):
    x, state, beta, *ctx.rest = inputs
    ctx.save_for_backward(x, state, beta)


def _gradients(ctx, grad_spikes, grad_state):
    x, state, beta = ctx.saved_tensors
    grad_spikes = torch.zeros_like(x) if grad_spikes is None else grad_spikes
    found = _lif_backward(x, state, grad_spikes, grad_state, beta, *ctx.rest)
    wanted = [gradient if needed else None for gradient, needed in zip(found, ctx.needs_input_grad, strict=False)]
    return *wanted, *[None] * len(ctx.rest)


def _refuse_twice(ctx, *_):
    raise RuntimeError("lif is differentiable once: its backward has no derivative; drop create_graph=True")


_lif.register_autograd(_gradients, setup_context=_save)
_lif_backward.register_autograd(_refuse_twice)
