"""Chunkwise retention as batched matrix products: the CPU path, forward and hand-written backward.

Chunks of all sequences are laid side by side so that everything inside a chunk is one batched product, and only the
states are walked through in order. Packed sequences of different lengths need no padding beyond their last chunk: the
chunks are ordered by their position in their sequence, longest sequence first, so step c of the walk is one slice.
Works on any device and in float64, but knows nothing of autograd (see operator.py).

Equations as in reference.py; backward, with M = (dO V^T) . D, P = (Q K^T) . D and dS the gradient of the state that
leaves the chunk: dQ = s [M K + xi dO S^T], dK = s M^T Q + zeta V dS^T, dV = s P^T dO + zeta K dS,
dS <- gamma^L dS + s (xi Q)^T dO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from effml.kernels.retention.operands import Operands


@dataclass(frozen=True)
class _Walk:
    """Where each chunk's rows lie among the packed tokens, in the order in which states are walked through.

    `lengths [chunks]`; `slices[c]` are the chunks that are the c-th of their sequence; `order` sorts sequences by length,
    longest first; `rows [chunks, C]` are token indices, with `tokens` standing for "no token"; None when the tokens are a
    plain `[B, T]` block, which needs only padding.
    """

    lengths: Tensor
    slices: list[slice]
    order: Tensor | None
    rows: Tensor | None


def _walk(sequences: int, tokens: int, chunk: int, cu_seqlens: Tensor | None) -> _Walk:
    if cu_seqlens is None:
        steps = -(-tokens // chunk)
        lengths = torch.full((steps, sequences), chunk)
        if steps:
            lengths[-1] = tokens - (steps - 1) * chunk
        return _Walk(lengths.flatten(), [slice(c * sequences, (c + 1) * sequences) for c in range(steps)], None, None)
    bounds = cu_seqlens.cpu().long()
    sizes = bounds.diff()
    order = torch.argsort(sizes, descending=True, stable=True)
    sizes_of_chunks: list[Tensor] = []
    starts: list[Tensor] = []
    slices, done = [], 0
    for first in range(0, int(sizes.max()) if sizes.numel() else 0, chunk):
        active = order[: int((sizes > first).sum())]
        sizes_of_chunks.append((sizes[active] - first).clamp(max=chunk))
        starts.append(bounds[active] + first)
        slices.append(slice(done, done + active.numel()))
        done += active.numel()
    if not slices:
        return _Walk(torch.zeros(0, dtype=torch.long), [], order, torch.zeros(0, chunk, dtype=torch.long))
    length, start = torch.cat(sizes_of_chunks), torch.cat(starts)
    inside = torch.arange(chunk)
    rows = torch.where(inside < length[:, None], start[:, None] + inside, tokens)
    return _Walk(length, slices, order, rows)


class _Chunks:
    """One call's chunk layout with its decay factors, and the moves between tokens and chunks."""

    def __init__(self, x: Operands) -> None:
        self.batch, self.tokens, self.heads = x.q.shape[:3]
        self.dtype = dtype = x.state.dtype
        self.chunk = min(x.chunk, max(self.tokens, 1))
        if x.cu_seqlens is None and self.tokens:
            # Chunks of even length: 142 tokens are three chunks of 48 rather than two of 64 and a padded rest.
            self.chunk = -(-self.tokens // -(-self.tokens // self.chunk))
        self.walk = _walk(self.batch, self.tokens, self.chunk, x.cu_seqlens)
        self.steps = len(self.walk.slices)
        device, chunk = x.q.device, self.chunk
        # Powers in float64, once per head: gamma^4096 in float32 would carry the rounding of log gamma 4096 times over.
        exponents = torch.arange(1, chunk + 1, device=device, dtype=torch.float64)
        powers = (exponents * x.log_gamma.double()[:, None]).exp()
        powers = torch.cat([powers.new_ones(self.heads, 1), powers], 1)  # [H, C + 1], gamma^0 first
        i = torch.arange(chunk, device=device)
        distance = i[:, None] - i[None, :]
        self.decay = (powers[:, distance.clamp(min=0)] * (distance >= 0)).to(dtype)  # D: [H, C, C]
        self.xi = powers[:, 1:, None].to(dtype)  # [H, C, 1]
        lengths = self.walk.lengths.to(device)
        reversed_rows = lengths[:, None] - 1 - i
        zeta = powers[:, reversed_rows.clamp(min=0)] * (reversed_rows >= 0)
        self.zeta = zeta.permute(1, 0, 2)[..., None].to(dtype)  # [chunks, H, C, 1]
        self.leave = powers[:, lengths].T[..., None, None].to(dtype)  # gamma^L: [chunks, H, 1, 1]

    def split(self, x: Tensor) -> Tensor:
        """`[B, T, H, D]` tokens to contiguous `[chunks, H, C, D]`, zeros where a chunk has no token."""
        x = x.to(self.dtype)
        if self.walk.rows is not None:
            padded = torch.cat([x[0], x.new_zeros(1, *x.shape[2:])])
            return padded[self.walk.rows.to(x.device)].transpose(1, 2).contiguous()
        missing = self.steps * self.chunk - self.tokens
        if missing:
            x = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, missing))
        x = x.reshape(self.batch, self.steps, self.chunk, self.heads, x.shape[-1])
        return x.permute(1, 0, 3, 2, 4).reshape(self.steps * self.batch, self.heads, self.chunk, x.shape[-1])

    def join(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """`[chunks, H, C, D]` back to `[B, T, H, D]` in `dtype`."""
        width = x.shape[-1]
        if self.walk.rows is not None:
            tokens = x.new_empty(self.tokens + 1, self.heads, width)
            rows = self.walk.rows.to(x.device)
            tokens[rows.flatten()] = x.transpose(1, 2).reshape(-1, self.heads, width)
            return tokens[None, :-1].to(dtype, copy=True)
        x = x.reshape(self.steps, self.batch, self.heads, self.chunk, width).permute(1, 0, 3, 2, 4)
        return (
            x.reshape(self.batch, self.steps * self.chunk, self.heads, width)[:, : self.tokens].to(dtype).contiguous()
        )

    def sort(self, state: Tensor) -> Tensor:
        """A fresh copy of per-sequence states in walking order."""
        state = state.to(self.dtype, copy=True)
        return state if self.walk.order is None else state[self.walk.order.to(state.device)]

    def unsort(self, state: Tensor) -> Tensor:
        if self.walk.order is None:
            return state
        out = torch.empty_like(state)
        out[self.walk.order.to(state.device)] = state
        return out

    def scan(self, updates: Tensor, state: Tensor, slices: Sequence[slice]) -> Tensor:
        """`state <- gamma^L state + update` along `slices`; `updates` is overwritten with the state before each step."""
        for part in slices:
            active = state[: part.stop - part.start]
            leaving = torch.addcmul(updates[part], self.leave[part], active)
            updates[part] = active
            active.copy_(leaving)
        return state


def forward(x: Operands) -> tuple[Tensor, Tensor]:
    """`(o, final state)`, computed in the dtype of the state."""
    chunks = _Chunks(x)
    qc, kc, vc = chunks.split(x.q), chunks.split(x.k), chunks.split(x.v)
    states = (kc * chunks.zeta).transpose(-1, -2) @ vc
    final = chunks.scan(states, chunks.sort(x.state), chunks.walk.slices)
    scores = (qc @ kc.transpose(-1, -2)).mul_(chunks.decay)
    o = scores @ vc
    o.addcmul_(qc @ states, chunks.xi)
    return chunks.join(o.mul_(x.scale), x.v.dtype), chunks.unsort(final)


def backward(x: Operands, grad_o: Tensor, grad_final: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`(dq, dk, dv, dstate)` for the gradients of both outputs; the states are computed again, not stored."""
    chunks = _Chunks(x)
    qc, kc, vc, dc = chunks.split(x.q), chunks.split(x.k), chunks.split(x.v), chunks.split(grad_o).mul_(x.scale)
    states = (kc * chunks.zeta).transpose(-1, -2) @ vc
    chunks.scan(states, chunks.sort(x.state), chunks.walk.slices)
    grad_states = (qc * chunks.xi).transpose(-1, -2) @ dc
    grad_state = chunks.scan(grad_states, chunks.sort(grad_final), chunks.walk.slices[::-1])
    m = (dc @ vc.transpose(-1, -2)).mul_(chunks.decay)
    p = (qc @ kc.transpose(-1, -2)).mul_(chunks.decay)
    dq = (m @ kc).addcmul_(dc @ states.transpose(-1, -2), chunks.xi)
    dk = (m.transpose(-1, -2) @ qc).addcmul_(vc @ grad_states.transpose(-1, -2), chunks.zeta)
    dv = (p.transpose(-1, -2) @ dc).addcmul_(kc @ grad_states, chunks.zeta)
    return (
        chunks.join(dq, x.q.dtype),
        chunks.join(dk, x.k.dtype),
        chunks.join(dv, x.v.dtype),
        chunks.unsort(grad_state),
    )
