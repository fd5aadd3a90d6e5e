"""The formula in plain torch, in the precision of its arguments (at least float32)."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_uncertainty(tokens: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """mean over P and Q of sigmoid(tokens @ weight^T + bias): `[B, P, D]`, `[Q, D]`, `[Q]` or `[B, Q]` -> `[B]`."""
    wide = torch.promote_types(torch.promote_types(tokens.dtype, weight.dtype), torch.float32)
    logits = tokens.to(wide) @ weight.to(wide).T
    logits = logits + (bias.to(wide) if bias.ndim == 1 else bias.to(wide)[:, None])
    return torch.sigmoid(logits).mean(dim=(1, 2))
