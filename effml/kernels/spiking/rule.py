"""The constants of a reversible spiking node and how its past is recovered."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from effml.kernels.spiking.surrogate import Surrogate, surrogate_of

MODES = ("paper", "bits", "anchor", "exact")
GRID = 65536.0  # mode exact: V, M and X are multiples of 1/GRID


@dataclass(frozen=True)
class Rule:
    """Everything about the node but its two couplings.

    Args:
        tau: membrane time constant in steps, at least 1; k = 1/tau.
        threshold: membrane at which the node fires.
        surrogate: derivative of the spike.
        detach_reset: leave the reset out of the gradient.
        mode: `paper` keeps the last state and inverts from there; `bits` keeps the spikes, one bit each, and replays
            forwards; `anchor` inverts from a state kept every `anchor_every` steps; `exact` computes on a grid of
            1/65536 with alpha = 1/2 and keeps the bits that halving the state loses.
        anchor_every: steps between anchors.
    """

    tau: float = 2.0
    threshold: float = 1.0
    surrogate: Surrogate = field(default_factory=lambda: surrogate_of(None))
    detach_reset: bool = False
    mode: str = "bits"
    anchor_every: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.tau < math.inf:
            raise ValueError(f"tau must be at least 1 (k = 1/tau lies in (0, 1]), got {self.tau}")
        if math.isnan(self.threshold):
            raise ValueError("threshold is not a number")
        if self.mode not in MODES:
            raise ValueError(f"mode '{self.mode}' is none of {', '.join(MODES)}")
        if self.anchor_every < 1:
            raise ValueError(f"anchor_every must be at least 1, got {self.anchor_every}")

    @property
    def k(self) -> float:
        return 1.0 / self.tau

    def is_anchor(self, t: int, steps: int) -> bool:
        """Whether U of step `t` is kept; the last one is returned anyway."""
        return (t + 1) % self.anchor_every == 0 and t + 1 < steps

    def anchors(self, steps: int) -> int:
        """How many states mode `anchor` keeps besides the last."""
        return (steps - 1) // self.anchor_every

    def check_couplings(self, alpha: float | None, beta: float | None) -> None:
        """Refuse couplings from which the mode cannot recover what it needs; None is a value not known here.

        Raises:
            ValueError: beta 0 (X is lost in every mode), alpha 0 where V is divided by it, or values that mode `exact`
                cannot represent.
        """
        for name, coupling in (("alpha", alpha), ("beta", beta)):
            if coupling is not None and not math.isfinite(coupling):
                raise ValueError(f"{name} must be a finite number, got {coupling}")
        if beta == 0:
            raise ValueError("beta must not be 0: X is recovered as (Y - S) / beta")
        if alpha == 0 and self.mode in ("paper", "anchor"):
            raise ValueError(f"mode {self.mode} divides by alpha, so alpha must not be 0; mode bits allows it")
        if self.mode == "exact":
            if alpha is not None and alpha != 0.5:
                raise ValueError(f"mode exact halves the state, so alpha must be 0.5, got {alpha}")
            if beta is not None and not (beta.hex().startswith("0x1.0000000000000p") and 2**-6 <= beta <= 2**6):
                raise ValueError(f"mode exact needs a beta that is a power of two in [1/64, 64], got {beta}")

    def check_range(self, y: Tensor, largest: Tensor, beta: Tensor) -> None:
        """Mode `exact`: refuse a Y or a state (its `largest` |V|) too large to be held exactly on the grid.

        Raises:
            ValueError: out of range. Looking at the values waits for the device.
        """
        if self.mode != "exact" or y.numel() == 0:
            return
        whole = 1 / torch.finfo(y.dtype).eps / GRID  # multiples of 1/GRID below this are exact in the dtype
        most = whole * min(1.0, float(beta))
        of_y, of_v = float(y.abs().max()), float(largest.max())
        if not (of_y < most and of_v < whole):
            raise ValueError(
                f"mode exact holds |Y| below {most:g} and |V| below {whole:g} in {y.dtype}, got {of_y:g} and {of_v:g}: "
                "scale the input down or use float64"
            )
