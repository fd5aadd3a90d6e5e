"""Retention as torch custom operators: schemas, fake kernels for tracing, autograd, and the choice of back end.

`effml::retention` returns output and final state; its gradient is `effml::retention_backward`; `effml::retention_step`
mutates its state. The arguments arrive checked and filled in (see the package's public functions).
"""

from __future__ import annotations

import torch
from torch import Tensor

from effml.kernels.retention import cpu
from effml.kernels.retention.operands import Operands


def _backend(name: str):
    if name == "triton":
        from effml.kernels.retention import gpu

        return gpu
    return cpu


@torch.library.custom_op("effml::retention", mutates_args=())
def retention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_gamma: Tensor,
    scale: float,
    state: Tensor,
    cu_seqlens: Tensor | None,
    chunk: int,
    backend: str,
) -> tuple[Tensor, Tensor]:
    return _backend(backend).forward(Operands(q, k, v, log_gamma, scale, state, cu_seqlens, chunk))


@retention.register_fake
def _(q, k, v, log_gamma, scale, state, cu_seqlens, chunk, backend):
    return torch.empty_like(v, memory_format=torch.contiguous_format), torch.empty_like(
        state, memory_format=torch.contiguous_format
    )


@torch.library.custom_op("effml::retention_backward", mutates_args=())
def retention_backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_gamma: Tensor,
    scale: float,
    state: Tensor,
    cu_seqlens: Tensor | None,
    chunk: int,
    backend: str,
    grad_o: Tensor,
    grad_final: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = Operands(q, k, v, log_gamma, scale, state, cu_seqlens, chunk)
    return _backend(backend).backward(x, grad_o.contiguous(), grad_final.contiguous())


@retention_backward.register_fake
def _(q, k, v, log_gamma, scale, state, cu_seqlens, chunk, backend, grad_o, grad_final):
    return tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v, state))


def _setup(ctx, inputs, output):
    q, k, v, log_gamma, scale, state, cu_seqlens, chunk, backend = inputs
    final = output[1] if log_gamma.requires_grad else None
    ctx.save_for_backward(q, k, v, log_gamma, state, cu_seqlens, final)
    ctx.scale, ctx.chunk, ctx.backend = scale, chunk, backend


def _positions(tokens: int, cu_seqlens: Tensor | None, device: torch.device) -> Tensor:
    """n + 1 for the n-th token of its sequence, float32 `[tokens]`."""
    n = torch.arange(tokens, device=device)
    if cu_seqlens is not None:
        bounds = cu_seqlens.to(device)
        n = n - bounds[torch.searchsorted(bounds, n, right=True) - 1]
    return n + 1


def _differentiate(ctx, grad_o, grad_final):
    q, k, v, log_gamma, state, cu_seqlens, final = ctx.saved_tensors
    grad_o = torch.zeros_like(v) if grad_o is None else grad_o
    grad_final = torch.zeros_like(state) if grad_final is None else grad_final
    dq, dk, dv, dstate = torch.ops.effml.retention_backward(
        q, k, v, log_gamma, ctx.scale, state, cu_seqlens, ctx.chunk, ctx.backend, grad_o, grad_final
    )
    dlog_gamma = None
    if ctx.needs_input_grad[3]:
        # Every term of o carries gamma^(n-m), so d/dlog gamma weighs a term by n-m, which splits into what q and k see.
        wide = state.dtype
        share = ((q.to(wide) * dq.to(wide)).sum(-1) - (k.to(wide) * dk.to(wide)).sum(-1)).double()
        positions = _positions(q.shape[1], cu_seqlens, q.device).double()
        lengths = q.shape[1] if cu_seqlens is None else cu_seqlens.diff().to(q.device)[:, None]
        carried = (final.double() * grad_final.double()).sum((-1, -2)) * lengths
        dlog_gamma = (torch.einsum("bth,t->h", share, positions) + carried.sum(0)).to(log_gamma.dtype)
    return dq, dk, dv, dlog_gamma, None, dstate, None, None, None


retention.register_autograd(_differentiate, setup_context=_setup)


@torch.library.custom_op("effml::retention_step", mutates_args={"state"})
def retention_step(state: Tensor, q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor, scale: float) -> Tensor:
    return step(state, q, k, v, log_gamma, scale)


@retention_step.register_fake
def _(state, q, k, v, log_gamma, scale):
    return torch.empty_like(v, memory_format=torch.contiguous_format)


def step(state: Tensor, q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor, scale: float) -> Tensor:
    """The same without the operator's dispatch, which on a CPU takes longer than the step."""
    _check_step(state, q, k, v, log_gamma)
    device = state.device.type
    if device == "cpu":
        from effml.kernels.retention import cpu_step

        return cpu_step.step(state, q, k, v, log_gamma, scale)
    if device == "cuda":
        from effml.kernels.retention import gpu

        o = torch.empty_like(v, memory_format=torch.contiguous_format)
        gpu.step(state, q.contiguous(), k.contiguous(), v.contiguous(), log_gamma, scale, o)
        return o
    wide = state.dtype
    state.mul_(log_gamma.exp().to(wide)[:, None, None])
    state += k.to(wide)[..., None] * v.to(wide)[..., None, :]
    return torch.einsum("bhk,bhkv->bhv", q.to(wide) * scale, state).to(v.dtype)


def _check_step(state: Tensor, q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor) -> None:
    if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
        raise RuntimeError("retention_step has no gradient: decode under torch.no_grad(), train with retention")
    if state.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"state must be float32 or float64, got {state.dtype}")
    if log_gamma.dtype not in (torch.float32, torch.float64) or not q.is_floating_point():
        raise TypeError(f"q must be floating point and log_gamma float32 or float64; got {q.dtype}, {log_gamma.dtype}")
    if state.dim() != 4:
        raise ValueError(f"state, the first argument, must be [B, H, K, V]; got {[*state.shape]}")
    if not state.is_contiguous():
        raise ValueError(
            "state must be a contiguous [B, H, K, V], because it is updated in place; call .contiguous() before decoding"
        )
    batch, heads, keys, values = state.shape
    if q.shape == k.shape == (batch, heads, keys) and v.shape == (batch, heads, values) and log_gamma.shape == (heads,):
        return
    expected = {
        "q": (batch, heads, keys),
        "k": (batch, heads, keys),
        "v": (batch, heads, values),
        "log_gamma": (heads,),
    }
    for name, x in {"q": q, "k": k, "v": v, "log_gamma": log_gamma}.items():
        if tuple(x.shape) != expected[name]:
            raise ValueError(f"{name} has shape {tuple(x.shape)}; with this state it must be {expected[name]}")
