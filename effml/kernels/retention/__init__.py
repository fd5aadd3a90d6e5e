"""Retention: attention with an exponentially decaying, linear memory, in time linear in the length (arXiv 2307.08621).

    S_n = gamma S_{n-1} + k_n^T v_n        o_n = scale q_n S_n

One meaning, several ways to compute it: `retention` for whole sequences (training, prompts), `retention_step` for one
token at a time with the state updated in place (generation). Rotations, norms and gates are the caller's; see
`effml.models.retnet` for the layer built on top.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from effml.kernels.devices import check_triton
from effml.kernels.retention import operator, reference

BACKENDS = ("auto", "triton", "chunk", "parallel", "recurrent")
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def retention(
    q: Float[Tensor, "B T H K"],
    k: Float[Tensor, "B T H K"],
    v: Float[Tensor, "B T H V"],
    log_gamma: Float[Tensor, " H"],
    *,
    scale: float | None = None,
    initial_state: Float[Tensor, "N H K V"] | None = None,
    return_state: bool = False,
    chunk: int = 64,
    cu_seqlens: Int[Tensor, " N_plus_1"] | None = None,
    backend: str = "auto",
) -> Any:
    """Retention of whole sequences: `o_n = scale q_n (gamma^(n+1) S_0 + sum_{m<=n} gamma^(n-m) k_m^T v_m)`.

    Splitting a sequence anywhere and handing the state on gives the same as running it whole. Differentiable in `q`, `k`,
    `v`, `initial_state` and `log_gamma`; works under `torch.compile`. Deterministic.

    Args:
        q, k: queries and keys `[B, T, H, K]`, float32, float16, bfloat16 or float64, all of one dtype and device.
        v: values `[B, T, H, V]`, same dtype.
        log_gamma: natural logarithm of each head's decay, `[H]`, float32 or float64, at most 0, which means no decay
            (checked when it lies on the CPU). Take it from `log1p(-2 ** (-5 - h))`: `log(1 - ...)` loses
            digits.
        scale: factor on the output, default `K ** -0.5`.
        initial_state: the state to start from, `[N, H, K, V]` with one entry per sequence (N = B unless packed), float32
            (float64 if `q` is). None means zeros.
        return_state: also return the state after the last token, in the form of `initial_state`.
        chunk: tokens per chunk of the chunkwise form; a power of two from 16 to 128 for "triton". The result does not
            depend on it beyond rounding.
        cu_seqlens: for sequences of different lengths packed behind one another in a batch of one: `[N + 1]` ascending
            offsets from 0 to T, int32 or int64. Checked when it lies on the CPU; on a CUDA device it is trusted (a check
            would wait for the device), out-of-range offsets are cut to the buffer.
        backend: "auto" takes "triton" on CUDA (16- and 32-bit, K and V up to 256) and "chunk" elsewhere. "chunk" is
            batched products on any device and dtype; "parallel" (quadratic in T) and "recurrent" (a Python loop) are the
            plain references.

    Returns:
        `o [B, T, H, V]` in the dtype of `v`, or `(o, state)` with `return_state`.

    Raises:
        TypeError, ValueError: on arguments that do not fit together; the message names them.
    """
    _check(q, k, v, log_gamma, chunk, backend)
    sequences = q.shape[0] if cu_seqlens is None else _count_sequences(q, cu_seqlens)
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    shape = (sequences, q.shape[2], q.shape[3], v.shape[3])
    if initial_state is None:
        state = torch.zeros(shape, dtype=wide, device=q.device)
    else:
        _check_state(initial_state, shape, wide, q.device)
        state = initial_state
    scale = q.shape[-1] ** -0.5 if scale is None else float(scale)
    backend = choose_backend(q, v) if backend == "auto" else backend
    if backend in ("parallel", "recurrent"):
        o, state = _reference(backend, q, k, v, log_gamma, scale, state, cu_seqlens)
    else:
        if backend == "triton":
            _check_triton(q, v, chunk)
        q, k, v, state = (x.contiguous() for x in (q, k, v, state))
        o, state = operator.retention(q, k, v, log_gamma, scale, state, cu_seqlens, chunk, backend)
    return (o, state) if return_state else o


def retention_step(
    state: Float[Tensor, "B H K V"],
    q: Float[Tensor, "B H K"],
    k: Float[Tensor, "B H K"],
    v: Float[Tensor, "B H V"],
    log_gamma: Float[Tensor, " H"],
    *,
    scale: float | None = None,
) -> Float[Tensor, "B H V"]:
    """One more token for each sequence: updates `state` in place and returns `o [B, H, V]` in the dtype of `v`.

    Time and memory do not depend on how many tokens came before. Not differentiable. On CUDA it may be captured in a
    graph.

    Args:
        state: `[B, H, K, V]`, float32 or float64, contiguous; as returned by `retention(..., return_state=True)`.
        q, k: `[B, H, K]`, already rotated if the model rotates.
        v: `[B, H, V]`.
        log_gamma: `[H]`, as for `retention`; that it is at most 0 is not checked at every step.
        scale: factor on the output, default `K ** -0.5`.

    Raises:
        TypeError, ValueError: on a state that cannot be updated in place, or shapes that do not fit it.
        RuntimeError: a gradient would be lost: q, k or v requires one and none is switched off.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else float(scale)
    if torch.compiler.is_compiling():
        return operator.retention_step(state, q, k, v, log_gamma, scale)
    return operator.step(state, q, k, v, log_gamma, scale)


def choose_backend(q: Tensor, v: Tensor) -> str:
    """The back end that "auto" takes for these operands: "triton" or "chunk"."""
    if q.device.type == "cuda" and q.dtype != torch.float64 and max(q.shape[-1], v.shape[-1]) <= 256:
        return "triton"
    return "chunk"


def _check(q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor, chunk: int, backend: str) -> None:
    if backend not in BACKENDS:
        raise ValueError(f"backend {backend!r} is none of {', '.join(BACKENDS)}")
    if not all(isinstance(x, Tensor) for x in (q, k, v, log_gamma)):
        raise TypeError("q, k, v and log_gamma must be tensors")
    if q.dim() != 4 or k.shape != q.shape:
        raise ValueError(f"q and k must both be [B, T, H, K]; got {tuple(q.shape)} and {tuple(k.shape)}")
    if v.dim() != 4 or v.shape[:3] != q.shape[:3]:
        raise ValueError(f"v must be [B, T, H, V] with B, T, H = {tuple(q.shape[:3])}; got {tuple(v.shape)}")
    if q.shape[2] == 0 or q.shape[3] == 0 or v.shape[3] == 0:
        raise ValueError(f"H, K and V must be positive; got q {tuple(q.shape)} and v {tuple(v.shape)}")
    if log_gamma.shape != (q.shape[2],):
        raise ValueError(f"log_gamma must be [H] = [{q.shape[2]}]; got {tuple(log_gamma.shape)}")
    if q.dtype not in _FLOATS or k.dtype != q.dtype or v.dtype != q.dtype:
        raise TypeError(f"q, k, v must share one floating dtype; got {q.dtype}, {k.dtype}, {v.dtype}")
    if log_gamma.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"log_gamma must be float32 or float64, got {log_gamma.dtype}; its last digits decide the far past"
        )
    if log_gamma.device.type == "cpu" and not torch.compiler.is_compiling() and not bool((log_gamma <= 0).all()):
        raise ValueError(f"log_gamma must be at most 0, a decay of at most 1; got {log_gamma.tolist()}")
    if len({x.device for x in (q, k, v, log_gamma)}) > 1:
        raise ValueError(
            f"q, k, v, log_gamma lie on {q.device}, {k.device}, {v.device}, {log_gamma.device}; move them to one"
        )
    if chunk < 1:
        raise ValueError(f"chunk must be positive, got {chunk}")


def _check_state(state: Tensor, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
    if tuple(state.shape) != shape:
        raise ValueError(f"initial_state must be [N, H, K, V] = {list(shape)}; got {list(state.shape)}")
    if state.dtype != dtype:
        raise TypeError(f"initial_state must be {dtype}, got {state.dtype}")
    if state.device != device:
        raise ValueError(f"initial_state lies on {state.device}, q on {device}; move it there")


def _count_sequences(q: Tensor, cu_seqlens: Tensor) -> int:
    if q.shape[0] != 1:
        raise ValueError(f"cu_seqlens packs all sequences into one batch entry, but q has {q.shape[0]} entries")
    if cu_seqlens.dim() != 1 or cu_seqlens.numel() < 1 or cu_seqlens.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"cu_seqlens must be int32 or int64 [N + 1]; got {cu_seqlens.dtype} {list(cu_seqlens.shape)}")
    if cu_seqlens.device.type == "cpu" and not torch.compiler.is_compiling():
        bounds = cu_seqlens.tolist()
        if bounds[0] != 0 or bounds[-1] != q.shape[1] or any(a > b for a, b in itertools.pairwise(bounds)):
            raise ValueError(f"cu_seqlens must ascend from 0 to T = {q.shape[1]}; got {bounds}")
    return cu_seqlens.numel() - 1


def _check_triton(q: Tensor, v: Tensor, chunk: int) -> None:
    check_triton("triton", q, "chunk")
    if q.dtype == torch.float64:
        raise TypeError('the "triton" back end has no float64; use backend="chunk"')
    if max(q.shape[-1], v.shape[-1]) > 256:
        raise ValueError(f'the "triton" back end takes K and V up to 256; got {q.shape[-1]} and {v.shape[-1]}')
    if chunk not in (16, 32, 64, 128):
        raise ValueError(f'the "triton" back end takes chunk 16, 32, 64 or 128; got {chunk}')


def _reference(form, q, k, v, log_gamma, scale, state, cu_seqlens):
    wide = state.dtype
    run = getattr(reference, form)
    if cu_seqlens is None:
        o, state = run(q.to(wide), k.to(wide), v.to(wide), log_gamma, scale, state)
        return o.to(v.dtype), state
    sizes = cu_seqlens.diff().tolist()
    parts = zip(q.split(sizes, 1), k.split(sizes, 1), v.split(sizes, 1), state.split(1), strict=True)
    done = [run(a.to(wide), b.to(wide), c.to(wide), log_gamma, scale, s) for a, b, c, s in parts]
    if not done:
        return torch.zeros_like(v), state
    return torch.cat([o for o, _ in done], 1).to(v.dtype), torch.cat([s for _, s in done])
