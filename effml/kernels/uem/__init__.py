"""Mean uncertainty of each sample's tokens in one pass: linear, sigmoid, mean (DeeDiff eq. 5, averaged over the map).

The map itself is never written: an exit decision needs one number a sample.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from effml.kernels.uem.reference import mean_uncertainty as reference

BACKENDS = ("auto", "triton", "reference")


def mean_uncertainty(
    tokens: Float[Tensor, "B P D"],
    weight: Float[Tensor, "Q D"],
    bias: Float[Tensor, Q] | Float[Tensor, "B Q"],
    *,
    backend: str = "auto",
) -> Float[Tensor, " B"]:
    """mean over P and Q of sigmoid(tokens @ weight^T + bias), in float32.

    Args:
        tokens: patch tokens, float32, float16 or bfloat16; rows may be strided, the last dimension contiguous.
        weight: float32.
        bias: float32, one for all samples or one per sample (which is how a time embedding enters).
        backend: "auto" takes "triton" on CUDA and "reference" elsewhere. Not differentiable: an exit needs no gradient.

    Raises:
        ValueError: shapes that do not fit, more than 64 outputs a token for "triton", an unknown back end.
    """
    if tokens.ndim != 3 or weight.shape[1] != tokens.shape[2] or bias.shape[-1] != weight.shape[0]:
        shapes = f"{tuple(tokens.shape)}, {tuple(weight.shape)}, {tuple(bias.shape)}"
        raise ValueError(f"tokens [B, P, D], weight [Q, D] and bias [Q] or [B, Q] do not fit: {shapes}")
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; there is {', '.join(BACKENDS)}")
    with torch.no_grad():
        if backend == "triton" or (backend == "auto" and tokens.is_cuda):
            from effml.kernels.uem import gpu

            return gpu.mean_uncertainty(tokens, weight, bias)
        return reference(tokens, weight, bias)
