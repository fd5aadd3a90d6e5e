"""Refusing what cannot fit before it is begun. Counts bytes; knows nothing of models."""

from __future__ import annotations

from typing import Any

from effml.errors import UserError


def available(device: Any) -> int:
    """Bytes free on this device."""
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return psutil.virtual_memory().available


def require(nbytes: float, device: Any, what: str, remedy: str) -> None:
    """UserError unless `nbytes` are free on `device`: `what` needs them, `remedy` is what to do instead."""
    free = available(device)
    if nbytes > free:
        raise UserError(f"{what} needs about {nbytes / 1e9:.3g} GB and {free / 1e9:.3g} GB are free; {remedy}")
