"""Spikes as single bits: a boolean tensor in a thirty-second of the space of its float32 form.

Bit `i` of byte `j` is element `8 j + i` of the last axis (numpy's "little" bit order); the last byte is filled with 0.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor


def packed_width(n: int) -> int:
    """Bytes that `n` bits take."""
    return (n + 7) // 8


def pack_bits(spikes: Bool[Tensor, "*rows n"]) -> UInt8[Tensor, "*rows bytes"]:
    """One bit per element of the last axis. Elements other than 0 count as 1."""
    if spikes.device.type == "cpu":
        flags = spikes if spikes.dtype == torch.bool else spikes != 0
        return torch.from_numpy(np.packbits(flags.numpy(), axis=-1, bitorder="little"))
    n = spikes.shape[-1]
    flags = torch.nn.functional.pad((spikes != 0).to(torch.uint8), (0, -n % 8))
    weights = 1 << torch.arange(8, dtype=torch.uint8, device=spikes.device)
    return (flags.unflatten(-1, (-1, 8)) * weights).sum(-1, dtype=torch.uint8)


def unpack_bits(
    packed: UInt8[Tensor, "*rows bytes"], n: int, dtype: torch.dtype = torch.bool
) -> Bool[Tensor, "*rows n"]:
    """The `n` elements that `pack_bits` packed, as 0 and 1 of `dtype`."""
    if packed.device.type == "cpu":
        flags = torch.from_numpy(np.unpackbits(packed.numpy(), axis=-1, count=n, bitorder="little"))
        return flags.view(torch.bool) if dtype == torch.bool else flags.to(dtype)
    places = torch.arange(8, dtype=torch.uint8, device=packed.device)
    return (packed.unsqueeze(-1) >> places & 1).flatten(-2)[..., :n].to(dtype)
