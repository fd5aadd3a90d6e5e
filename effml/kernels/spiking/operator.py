"""The reversible node as `torch.library` operators on [T, rows, 2, half], and what autograd keeps between them.

Couplings come as tensors where they are learnt, else as numbers, so that nothing is kept of them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from effml.kernels.spiking.bits import packed_width, unpack_bits
from effml.kernels.spiking.rule import Rule
from effml.kernels.spiking.surrogate import Surrogate


def node_forward(
    x: Float[Tensor, "T rows 2 half"], state: Tensor | None, alpha: float | Tensor, beta: float | Tensor, rule: Rule,
    backend: str | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Y, the last state, the packed bits and the anchors that `rule.mode` keeps; differentiable."""
    return _revlif(x, state, *_coupled(alpha, beta), *_constants(rule), backend or default_backend(x))


def node_backward(
    y: Float[Tensor, "T rows 2 half"], u: Tensor | None, state: Tensor | None, bits: Tensor, anchors: Tensor | None,
    grad_y: Tensor, grad_u: Tensor | None, alpha: float | Tensor, beta: float | Tensor, rule: Rule,
    coupling: bool = False, backend: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of x, of the first state and (with `coupling`) of [alpha, beta], from what `node_forward` returned.

    Mode `bits` needs no `u`; only mode `anchor` needs `anchors`.
    """
    anchors = y.new_empty(0, *y.shape[1:]) if anchors is None else anchors
    return _revlif_backward(
        y, u, state, bits, anchors, grad_y, grad_u, *_coupled(alpha, beta), *_constants(rule),
        backend or default_backend(y), coupling,
    )  # fmt: skip


def node_input(
    y: Float[Tensor, "T rows 2 half"], bits: UInt8[Tensor, "T 2 bytes"], beta: float
) -> Float[Tensor, "T rows 2 half"]:
    """X of mode `bits`: X1 = (Y2 - S2) / beta, X2 = (Y1 - S1) / beta."""
    spikes = unpack_bits(bits, y.shape[1] * y.shape[3], y.dtype).view(y.shape[0], 2, y.shape[1], y.shape[3])
    return (y - spikes.transpose(1, 2)).flip(2) / beta


def default_backend(x: Tensor) -> str:
    """numba on CPU, Triton on CUDA, torch elsewhere."""
    return {"cpu": "numba", "cuda": "triton"}.get(x.device.type, "torch")


def scalar(coupling: float | Tensor, x: Tensor) -> Tensor:
    """The coupling where and as `x` is."""
    if isinstance(coupling, Tensor):
        return coupling.to(x.device, x.dtype)
    return torch.full((), coupling, dtype=x.dtype, device=x.device)


def _coupled(alpha: float | Tensor, beta: float | Tensor) -> tuple[Tensor | None, Tensor | None, list[float]]:
    learnt, numbers = zip(
        *((c, 0.0) if isinstance(c, Tensor) else (None, float(c)) for c in (alpha, beta)), strict=True
    )
    return learnt[0], learnt[1], list(numbers)


def _constants(rule: Rule) -> tuple[float, float, int, float, bool, str, int]:
    surrogate = rule.surrogate
    reset = rule.detach_reset
    return rule.tau, rule.threshold, surrogate.code, surrogate.slope, reset, rule.mode, rule.anchor_every


def _implementation(backend: str):
    if backend == "torch":
        from effml.kernels.spiking import reference

        return reference
    if backend == "numba":
        from effml.kernels.spiking import cpu

        return cpu
    if backend == "triton":
        from effml.kernels.spiking import gpu

        return gpu
    raise ValueError(f"backend '{backend}' is none of torch, numba, triton")


@torch.library.custom_op("effml::revlif", mutates_args=())
def _revlif(
    x: Tensor, state: Tensor | None, alpha: Tensor | None, beta: Tensor | None, couplings: list[float], tau: float,
    threshold: float, surrogate: int, slope: float, detach_reset: bool, mode: str, anchor_every: int, backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    rule = Rule(tau, threshold, Surrogate(surrogate, slope), detach_reset, mode, anchor_every)
    state = None if state is None else state.contiguous()
    alpha, beta = _both(alpha, beta, couplings, x)
    y, u, bits, anchors, largest = _implementation(backend).forward(x.contiguous(), state, alpha, beta, rule)
    rule.check_range(y, largest, beta)
    return y, u, bits, anchors


@torch.library.custom_op("effml::revlif_backward", mutates_args=())
def _revlif_backward(
    y: Tensor, u: Tensor | None, state: Tensor | None, bits: Tensor, anchors: Tensor, grad_y: Tensor,
    grad_u: Tensor | None, alpha: Tensor | None, beta: Tensor | None, couplings: list[float], tau: float,
    threshold: float, surrogate: int, slope: float, detach_reset: bool, mode: str, anchor_every: int, backend: str,
    coupling: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    rule = Rule(tau, threshold, Surrogate(surrogate, slope), detach_reset, mode, anchor_every)
    return _implementation(backend).backward(
        y, y[0] if u is None else u, None if state is None else state.contiguous(), bits, anchors, grad_y.contiguous(),
        None if grad_u is None else grad_u.contiguous(), *_both(alpha, beta, couplings, y), rule, coupling,
    )  # fmt: skip


def _both(alpha: Tensor | None, beta: Tensor | None, couplings: list[float], x: Tensor) -> tuple[Tensor, Tensor]:
    known = zip((alpha, beta), couplings, strict=True)
    first, second = (scalar(number if learnt is None else learnt, x) for learnt, number in known)
    return first, second


@_revlif.register_fake
def _(x, state, alpha, beta, couplings, tau, threshold, surrogate, slope, detach_reset, mode, anchor_every, backend):
    steps, rows, _, half = x.shape
    bits = (steps, 2, packed_width(rows * half)) if mode in ("bits", "exact") else (0, 2, 0)
    kept = (steps - 1) // anchor_every if mode == "anchor" else 0
    anchors = x.new_empty(kept, rows, 2, half)
    return x.new_empty(x.shape), x.new_empty(rows, 2, half), x.new_empty(bits, dtype=torch.uint8), anchors


@_revlif_backward.register_fake
def _(y, *_):
    return torch.empty_like(y), y.new_empty(y.shape[1:]), y.new_empty(2)


def _save(ctx, inputs, output):
    _, state, alpha, beta, *ctx.rest = inputs
    y, u, bits, anchors = output
    inverts = ctx.rest[6] != "bits"
    ctx.save_for_backward(y, u if inverts else None, None if inverts else state, bits, anchors, alpha, beta)


def _gradients(ctx, grad_y, grad_u, _bits, _anchors):
    y, u, state, bits, anchors, alpha, beta = ctx.saved_tensors
    grad_y = torch.zeros_like(y) if grad_y is None else grad_y
    learnt = ctx.needs_input_grad[2] or ctx.needs_input_grad[3]
    of_x, of_state, of_couplings = _revlif_backward(
        y, u, state, bits, anchors, grad_y, grad_u, alpha, beta, *ctx.rest, learnt
    )
    found = [of_x, of_state]
    for which, coupling in enumerate((alpha, beta)):
        found.append(None if coupling is None else of_couplings[which].to(coupling.device, coupling.dtype))
    wanted = [gradient if needed else None for gradient, needed in zip(found, ctx.needs_input_grad, strict=False)]
    return *wanted, *[None] * len(ctx.rest)


def refuse_twice(ctx, *_):
    """The backward of the backward."""
    raise RuntimeError("revlif is differentiable once: its backward has no derivative; drop create_graph=True")


_revlif.register_autograd(_gradients, setup_context=_save)
_revlif_backward.register_autograd(refuse_twice)
