"""Rotary positions: pairs of channels turned by the position times a frequency. Knows nothing of heads or layers.

RetNet writes this as xPos, whose exponential factor is what the decay of retention replaces (arXiv 2307.08621, eq. 5).
Frequencies 10000^(-j / (K/2 - 1)), end point included, pairs interleaved, as in torchscale; flash-linear-attention uses
10000^(-2j/K) and half-split pairs, so weights cannot be carried from one to the other unchanged.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor


class Rotation:
    """Table of unit complex numbers, computed in float64, grown on demand and kept per device and dtype."""

    def __init__(self, channels: int, base: float = 10000.0) -> None:
        if channels % 2:
            raise ValueError(f"rotation turns pairs of channels, and {channels} is odd")
        self.frequencies = base ** -torch.linspace(0, 1, channels // 2, dtype=torch.float64)
        self._tables: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def at(self, start: int, count: int, like: Tensor) -> Complex[Tensor, "count 1 half"]:
        """The turns of positions `start ... start + count - 1`, for tensors such as `like`."""
        dtype = torch.complex128 if like.dtype == torch.float64 else torch.complex64
        table = self._tables.get((like.device, dtype))
        if table is None or len(table) < start + count:
            length = 1 << max(start + count - 1, 255).bit_length()
            with torch.inference_mode(False):  # a table made while sampling must serve training, too
                angles = torch.arange(length, dtype=torch.float64)[:, None, None] * self.frequencies
                table = torch.polar(torch.ones_like(angles), angles).to(like.device, dtype)
            self._tables[like.device, dtype] = table
        return table[start : start + count]


def rotate(x: Float[Tensor, "B T H K"], turn: Complex[Tensor, "T 1 half"]) -> Float[Tensor, "B T H K"]:
    """Turn each pair (x_2j, x_2j+1), read as a complex number."""
    wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
    turned = torch.view_as_complex(wide.unflatten(-1, (-1, 2))) * turn
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)
