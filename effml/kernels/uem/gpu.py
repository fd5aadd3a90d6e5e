"""One program a sample: it walks the sample's tokens once and keeps a single sum. Memory-bound: B*P*D elements read.

No atomics, so results depend neither on the order of programs nor on the other samples of a batch.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

WIDEST = 64  # outputs a token that one tile holds


@triton.jit
def uem_kernel(
    tokens, weight, bias, out, patches, width, stride_b, stride_p, bias_b,
    OUTPUTS: tl.constexpr, TILE_P: tl.constexpr, TILE_D: tl.constexpr, TILE_Q: tl.constexpr,
):  # fmt: skip
    sample = tl.program_id(0).to(tl.int64)
    q = tl.arange(0, TILE_Q)
    real = q < OUTPUTS
    shift = tl.load(bias + sample * bias_b + q, mask=real, other=0.0)
    total = tl.zeros([TILE_P], dtype=tl.float32)
    for first in range(0, patches, TILE_P):
        p = first + tl.arange(0, TILE_P)
        logits = tl.zeros([TILE_P, TILE_Q], dtype=tl.float32)
        for start in range(0, width, TILE_D):
            d = start + tl.arange(0, TILE_D)
            inside = (p < patches)[:, None] & (d < width)[None, :]
            x = tl.load(
                tokens + sample * stride_b + p[:, None].to(tl.int64) * stride_p + d[None, :], mask=inside, other=0.0
            )
            w = tl.load(weight + q[None, :] * width + d[:, None], mask=real[None, :] & (d < width)[:, None], other=0.0)
            logits += tl.dot(x.to(tl.float32), w, input_precision="tf32x3")
        u = 1.0 / (1.0 + tl.exp(-(logits + shift[None, :])))
        total += tl.sum(tl.where(real[None, :] & (p < patches)[:, None], u, 0.0), axis=1)
    tl.store(out + sample, tl.sum(total, axis=0) / (patches * OUTPUTS))


def mean_uncertainty(tokens: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """See `effml.kernels.uem.mean_uncertainty`."""
    batch, patches, width = tokens.shape
    outputs = weight.shape[0]
    if outputs > WIDEST:
        raise ValueError(f"{outputs} outputs a token; the Triton form takes at most {WIDEST}")
    if tokens.stride(2) != 1:
        tokens = tokens.contiguous()
    weight, bias = weight.float().contiguous(), bias.float().contiguous()
    out = torch.empty(batch, dtype=torch.float32, device=tokens.device)
    if batch:
        uem_kernel[(batch,)](
            tokens, weight, bias, out, patches, width, tokens.stride(0), tokens.stride(1), 0 if bias.ndim == 1 else outputs,
            OUTPUTS=outputs, TILE_P=32, TILE_D=32, TILE_Q=max(16, triton.next_power_of_2(outputs)), num_stages=2,
        )  # fmt: skip
    return out
