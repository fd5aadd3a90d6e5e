"""What one call of retention works on, as every back end receives it. Knows nothing of how it is computed."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class Operands(NamedTuple):
    """Checked and filled in by the package's public function: contiguous, one device, one dtype but for decays and state."""

    q: Float[Tensor, "B T H K"]
    k: Float[Tensor, "B T H K"]
    v: Float[Tensor, "B T H V"]
    log_gamma: Float[Tensor, " H"]  # float32 or float64
    scale: float
    state: Float[Tensor, "N H K V"]  # one for each sequence; float32, or float64 with operands of float64
    cu_seqlens: Int[Tensor, " N_plus_1"] | None
    chunk: int  # tokens
