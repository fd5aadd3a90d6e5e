"""Launching the Triton programs: tile sizes, chunk tables of packed sequences, buffers. Knows nothing of autograd.

Everything is queued without waiting for the device, so a call may be captured in a CUDA graph. Between forward and
backward nothing but the inputs is kept: the backward walks the states again (fla and Mamba-2 do the same), which costs
one of its five kernels and saves `4 K V / C` bytes per token and head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from effml.kernels.retention import triton_kernels as programs
from effml.kernels.retention.operands import Operands


@dataclass(frozen=True)
class Tiles:
    """Tile widths and launch options of one program."""

    BK: int
    BV: int
    num_warps: int = 4
    num_stages: int = 2


def tiles(program: str, K: int, V: int, chunk: int, dtype: torch.dtype) -> Tiles:
    """Widths that keep every accumulator in registers: no spills on sm_80 and sm_90 (tests/kernels/retention)."""
    full = dtype == torch.float32
    bk = min(max(triton.next_power_of_2(K), 16), 32 if full else 64)
    bv = min(max(triton.next_power_of_2(V), 16), 32 if full else 64)
    if program == "step":
        return Tiles(max(triton.next_power_of_2(K), 16), min(bv, 32), 4, 1)
    if program == "backward_qk" and dtype == torch.float16:
        bk, bv = min(bk, 32), min(bv, 32)  # the range guard of float16 states takes the registers that the rest leaves
    # Exact float32 products run on the ordinary cores and want twice the threads for the same accumulators.
    heavy = full or chunk == 128 or (chunk == 64 and program == "backward_qk")
    return Tiles(bk, bv, 8 if heavy else 4)


def rows(chunk: int, dtype: torch.dtype, backward: bool) -> int:
    """Rows that a program works on at once: with 128 of them, float32 and the backward pass would spill."""
    return min(chunk, 64) if backward or dtype == torch.float32 else chunk


@dataclass(frozen=True)
class _Layout:
    """What every launch of one call shares."""

    sequences: int
    length: int
    tokens: int
    chunks: int
    cu_seqlens: Tensor | None
    cu_chunks: Tensor | None
    chunk_sequence: Tensor | None

    @property
    def walk(self) -> tuple:
        return self.cu_seqlens, self.cu_chunks, self.length, self.tokens

    @property
    def each(self) -> tuple:
        return self.cu_seqlens, self.cu_chunks, self.chunk_sequence, self.length, self.tokens, self.chunks


def _layout(q: Tensor, cu_seqlens: Tensor | None, chunk: int) -> _Layout:
    batch, tokens = q.shape[:2]
    if cu_seqlens is None:
        return _Layout(batch, tokens, batch * tokens, batch * -(-tokens // chunk), None, None, None)
    bounds = cu_seqlens.to(q.device, torch.int64)
    sequences = bounds.numel() - 1
    # An upper bound of the number of chunks that needs no look at the device; spare chunks find no rows and write nothing.
    chunks = tokens // chunk + sequences
    cu_chunks = torch.zeros(sequences + 1, dtype=torch.int64, device=q.device)
    torch.cumsum((bounds.diff().clamp(min=0) + chunk - 1) // chunk, 0, out=cu_chunks[1:])
    ids = torch.arange(chunks, device=q.device)
    owner = torch.searchsorted(cu_chunks, ids, right=True) - 1
    return _Layout(sequences, 0, tokens, chunks, bounds, cu_chunks, owner.clamp(0, max(sequences - 1, 0)))


def _precision(dtype: torch.dtype) -> str:
    """float32 products follow `torch.set_float32_matmul_precision`: exact at "highest" (the default), TF32 otherwise."""
    return "tf32" if dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest" else "ieee"


def _launch(program, grid: int, tile: Tiles, args: tuple, **constants) -> None:
    if grid:
        program[(grid,)](
            *args, BK=tile.BK, BV=tile.BV, num_warps=tile.num_warps, num_stages=tile.num_stages, **constants
        )


def _walk_forward(k, v, log2_gamma, state, layout, chunk, *, final: bool) -> tuple[Tensor, Tensor]:
    H, K, V = k.shape[2], k.shape[3], v.shape[3]
    states = torch.empty(layout.chunks, H, K, V, dtype=torch.float32, device=k.device)
    out = torch.empty_like(state) if final else state
    tile = tiles("forward_states", K, V, chunk, k.dtype)
    grid = layout.sequences * H * triton.cdiv(K, tile.BK) * triton.cdiv(V, tile.BV)
    _launch(
        programs.forward_states, grid, tile, (k, v, state, states, out, log2_gamma, *layout.walk),
        H=H, K=K, V=V, C=chunk, PACKED=layout.cu_seqlens is not None, INITIAL=True, FINAL=final,
        PRECISION=_precision(k.dtype),
    )  # fmt: skip
    return states, out


def forward(x: Operands) -> tuple[Tensor, Tensor]:
    """`(o, final state)`; operands of float32, float16 or bfloat16."""
    q, k, v, log_gamma, scale, state, cu_seqlens, chunk = x
    H, K, V = q.shape[2], q.shape[3], v.shape[3]
    chunk = rows(chunk, q.dtype, backward=False)
    layout = _layout(q, cu_seqlens, chunk)
    log2_gamma = (log_gamma.double() / math.log(2)).float()
    states, final = _walk_forward(k, v, log2_gamma, state, layout, chunk, final=True)
    o = torch.empty_like(v)
    tile = tiles("forward_output", K, V, chunk, q.dtype)
    _launch(
        programs.forward_output, layout.chunks * H * triton.cdiv(V, tile.BV), tile,
        (q, k, v, states, o, log2_gamma, scale, *layout.each),
        H=H, K=K, V=V, C=chunk, PACKED=cu_seqlens is not None, HALF=q.dtype == torch.float16,
        PRECISION=_precision(q.dtype),
    )  # fmt: skip
    return o, final


def backward(x: Operands, grad_o: Tensor, grad_final: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`(dq, dk, dv, dstate)` for the gradients of both outputs, which are contiguous."""
    q, k, v, log_gamma, scale, state, cu_seqlens, chunk = x
    H, K, V = q.shape[2], q.shape[3], v.shape[3]
    chunk = rows(chunk, q.dtype, backward=True)
    layout = _layout(q, cu_seqlens, chunk)
    log2_gamma = (log_gamma.double() / math.log(2)).float()
    states, _ = _walk_forward(k, v, log2_gamma, state, layout, chunk, final=False)
    grad_states, grad_initial = torch.empty_like(states), torch.empty_like(state)
    shape = {"H": H, "K": K, "V": V, "C": chunk, "PACKED": cu_seqlens is not None, "PRECISION": _precision(q.dtype)}
    half = q.dtype == torch.float16
    tile = tiles("backward_states", K, V, chunk, q.dtype)
    grid = layout.sequences * H * triton.cdiv(K, tile.BK) * triton.cdiv(V, tile.BV)
    args = (q, grad_o, grad_final, grad_states, grad_initial, log2_gamma, scale, *layout.walk)
    _launch(programs.backward_states, grid, tile, args, **shape)
    dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    tile = tiles("backward_qk", K, V, chunk, q.dtype)
    args = (q, k, v, grad_o, states, grad_states, dq, dk, log2_gamma, scale, *layout.each)
    _launch(programs.backward_qk, layout.chunks * H * triton.cdiv(K, tile.BK), tile, args, HALF=half, **shape)
    tile = tiles("backward_v", K, V, chunk, q.dtype)
    args = (q, k, grad_o, grad_states, dv, log2_gamma, scale, *layout.each)
    _launch(programs.backward_v, layout.chunks * H * triton.cdiv(V, tile.BV), tile, args, HALF=half, **shape)
    return dq, dk, dv, grad_initial


def step(state: Tensor, q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor, scale: float, o: Tensor) -> None:
    """One token: `state [B, H, K, V]` float32 updated in place, `o [B, H, V]` written."""
    B, H, K = q.shape
    V = v.shape[-1]
    tile = tiles("step", K, V, 1, q.dtype)
    args = (q, k, v, state, o, log_gamma.float(), scale)
    _launch(programs.step, B * H * triton.cdiv(V, tile.BV), tile, args, H=H, K=K, V=V)
