"""The three forms of retention in plain torch: the oracle for every other back end, differentiable, float64-capable.

All three compute, per head, with a decay gamma in (0, 1] and a state S of K x V numbers (RetNet, arXiv 2307.08621):

    S_n = gamma S_{n-1} + k_n^T v_n        o_n = scale q_n S_n

`recurrent` is that definition. `parallel` is the same sum written out over all earlier tokens, `chunkwise` walks over
chunks of tokens and carries the state between them. They know nothing of rotation, gates or norms, nor of packed
sequences: here every batch entry is one sequence.

Letters: B batch, T tokens, H heads, K key channels, V value channels; every function takes
`q, k [B, T, H, K]`, `v [B, T, H, V]`, `log_gamma [H]`, `state [B, H, K, V]` and returns `(o [B, T, H, V], state)`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def recurrent(
    q: Float[Tensor, "B T H K"],
    k: Float[Tensor, "B T H K"],
    v: Float[Tensor, "B T H V"],
    log_gamma: Float[Tensor, " H"],
    scale: float,
    state: Float[Tensor, "B H K V"],
) -> tuple[Float[Tensor, "B T H V"], Float[Tensor, "B H K V"]]:
    """The definition, one token after the other."""
    gamma = log_gamma.to(torch.promote_types(q.dtype, log_gamma.dtype)).exp().to(q.dtype)[:, None, None]
    outputs = []
    for n in range(q.shape[1]):
        state = gamma * state + k[:, n, :, :, None] * v[:, n, :, None, :]
        outputs.append(scale * torch.einsum("bhk,bhkv->bhv", q[:, n], state))
    return torch.stack(outputs, 1) if outputs else v, state


def parallel(
    q: Float[Tensor, "B T H K"],
    k: Float[Tensor, "B T H K"],
    v: Float[Tensor, "B T H V"],
    log_gamma: Float[Tensor, " H"],
    scale: float,
    state: Float[Tensor, "B H K V"],
) -> tuple[Float[Tensor, "B T H V"], Float[Tensor, "B H K V"]]:
    """All tokens at once, quadratic in T: `o = scale [(Q K^T . D) V + xi Q S_0]`, `D_nm = gamma^(n-m)` for n >= m."""
    tokens = q.shape[1]
    n = torch.arange(tokens, device=q.device, dtype=q.dtype)
    log_gamma = log_gamma.to(q.dtype)[:, None]
    distance = n[:, None] - n[None, :]
    # The exponent is masked before exp: gamma^(negative) overflows for a strong decay, and inf * 0 is NaN.
    decay = (distance.clamp(min=0) * log_gamma[..., None]).exp() * (distance >= 0)
    xi = ((n + 1) * log_gamma).exp()
    zeta = ((tokens - 1 - n) * log_gamma).exp()
    scores = torch.einsum("bnhk,bmhk->bhnm", q, k) * decay
    o = torch.einsum("bhnm,bmhv->bnhv", scores, v) + torch.einsum("bnhk,hn,bhkv->bnhv", q, xi, state)
    final = (tokens * log_gamma[..., None]).exp() * state + torch.einsum("hn,bnhk,bnhv->bhkv", zeta, k, v)
    return scale * o, final


def chunkwise(
    q: Float[Tensor, "B T H K"],
    k: Float[Tensor, "B T H K"],
    v: Float[Tensor, "B T H V"],
    log_gamma: Float[Tensor, " H"],
    scale: float,
    state: Float[Tensor, "B H K V"],
    chunk: int,
) -> tuple[Float[Tensor, "B T H V"], Float[Tensor, "B H K V"]]:
    """`parallel` inside chunks of `chunk` tokens (the last may be shorter), the state carried from chunk to chunk.

    Equation 7 of the paper is mis-indexed; these are the indices under which all three forms agree: in a chunk of L
    tokens row i reads the entering state with gamma^(i+1) and writes to the leaving one with gamma^(L-1-i).
    """
    outputs = []
    for q_c, k_c, v_c in zip(q.split(chunk, 1), k.split(chunk, 1), v.split(chunk, 1), strict=True):
        o, state = parallel(q_c, k_c, v_c, log_gamma, scale, state)
        outputs.append(o)
    return torch.cat(outputs, 1), state
