"""What a back end asks of the device, said in one sentence before anything is launched."""

from __future__ import annotations

import os

from torch import Tensor


def check_triton(backend: str | None, x: Tensor, instead: str) -> None:
    """ValueError where `backend` is "triton" and `x` is on the CPU, unless Triton interprets (TRITON_INTERPRET=1)."""
    if backend == "triton" and x.device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(f'the "triton" back end needs tensors on a GPU; on the CPU use backend="{instead}"')
