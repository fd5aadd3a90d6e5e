"""Mean uncertainty of each sample's tokens in one pass: linear, sigmoid, mean (DeeDiff eq. 5, averaged over the map).

The map itself is never written: an exit decision needs one number a sample.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from effml.kernels.devices import check_triton
from effml.kernels.uem.reference import mean_uncertainty as reference

BACKENDS = ("auto", "triton", "reference")


def mean_uncertainty(
    tokens: Float[Tensor, "B P D"],
    weight: Float[Tensor, "Q D"],
    bias: Float[Tensor, " Q"] | Float[Tensor, "B Q"],
    *,
    backend: str = "auto",
) -> Float[Tensor, " B"]:
    """mean over P and Q of sigmoid(tokens @ weight^T + bias), in float32 (the reference in float64 where given it).

    Args:
        tokens: patch tokens, float32, float16 or bfloat16; rows may be strided, the last dimension contiguous.
        weight: float32.
        bias: float32, one for all samples or one per sample (which is how a time embedding enters).
        backend: "auto" takes "triton" on CUDA (not for float64) and "reference" elsewhere. Not differentiable: an exit
            needs no gradient.

    Raises:
        ValueError: shapes that do not fit, nothing to take a mean of, more than 64 outputs a token for "triton", an
            unknown back end, or "triton" away from a GPU.
        TypeError: anything but tensors of floating point; float64 for "triton".
        RuntimeError: a gradient would be lost: an argument requires one and none is switched off.
    """
    if not all(isinstance(given, Tensor) for given in (tokens, weight, bias)):
        raise TypeError("tokens, weight and bias must be tensors")
    outputs = weight.shape[0] if weight.ndim == 2 else -1
    fit = tokens.ndim == 3 and weight.ndim == 2 and weight.shape[1] == tokens.shape[2]
    if not fit or tuple(bias.shape) not in ((outputs,), (tokens.shape[0], outputs)):
        shapes = f"{tuple(tokens.shape)}, {tuple(weight.shape)}, {tuple(bias.shape)}"
        raise ValueError(f"tokens [B, P, D], weight [Q, D] and bias [Q] or [B, Q] do not fit: {shapes}")
    if tokens.shape[1] == 0 or outputs == 0:
        raise ValueError(
            f"no tokens or no outputs to take a mean of: tokens {tuple(tokens.shape)}, weight {tuple(weight.shape)}"
        )
    if not (tokens.is_floating_point() and weight.is_floating_point() and bias.is_floating_point()):
        raise TypeError(
            f"tokens, weight and bias must be floating point, got {tokens.dtype}, {weight.dtype}, {bias.dtype}"
        )
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; there is {', '.join(BACKENDS)}")
    if torch.is_grad_enabled() and (tokens.requires_grad or weight.requires_grad or bias.requires_grad):
        raise RuntimeError(
            "mean_uncertainty has no gradient: decide exits under torch.no_grad(), train on the map itself"
        )
    wide = torch.float64 in (tokens.dtype, weight.dtype, bias.dtype)
    with torch.no_grad():
        if backend == "triton" and wide:
            raise TypeError('the "triton" back end has no float64; use backend="reference"')
        check_triton(backend, tokens, "reference")
        if backend == "triton" or (backend == "auto" and tokens.is_cuda and not wide):
            from effml.kernels.uem import gpu

            return gpu.mean_uncertainty(tokens, weight, bias)
        return reference(tokens, weight, bias)
