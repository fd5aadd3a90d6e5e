"""Who stops after which layer: the paper's rule and what people would use instead, behind one interface.

A policy that decides from the timestep alone returns plain True or False, so nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from effml.models.exits.forward import View


class _Stateless:
    checked = 0

    def begin(self, rows: int, timestep: int, device: torch.device) -> None:
        return


class Never(_Stateless):
    """The full network."""

    def decide(self, view: View) -> bool:
        return False


@dataclass
class Uem(_Stateless):
    """Stop when the uncertainty of the sample is below a threshold (DeeDiff, paper eq. 5 and section 3).

    Args:
        threshold: stop when u < threshold; 0 never stops, above 1 stops at once.
        patience: checks that must pass in a row (the authors' code: 2 in the first half, otherwise 1).
        statistic: mean, max or quantile (0.9) of the uncertainty map.
        every: check every so many blocks only.
        first: no check before this block.
    """

    threshold: float
    patience: int = 1
    statistic: str = "mean"
    every: int = 1
    first: int = 0
    last: Tensor | None = None

    def begin(self, rows: int, timestep: int, device: torch.device) -> None:
        self._passed = torch.zeros(rows, dtype=torch.long, device=device)

    def decide(self, view: View) -> Bool[Tensor, " b"] | bool:
        self.checked = 0
        if self.threshold <= 0 or view.layer < self.first or (view.layer - self.first) % self.every:
            return False
        self.last = view.uncertainty(self.statistic)
        self.checked = len(view.alive)
        passes = self.last < self.threshold
        self._passed[view.alive] = torch.where(passes, self._passed[view.alive] + 1, 0)
        return self._passed[view.alive] >= self.patience


@dataclass
class FixedLayer(_Stateless):
    """Every call stops after the same block (0-based)."""

    layer: int

    def decide(self, view: View) -> bool:
        return view.layer >= self.layer


@dataclass
class TimeSchedule(_Stateless):
    """The block to stop after falls by bins of time (ASE, Moon et al. 2024): `layers[0]` is for the least noise."""

    layers: list[int]
    steps: int = 1000

    def decide(self, view: View) -> bool:
        place = min(int(view.timestep * len(self.layers) / self.steps), len(self.layers) - 1)
        return view.layer >= self.layers[place]


@dataclass
class Calibrated(_Stateless):
    """The block to stop after is read from a table per timestep, measured once: no decision, no synchronisation."""

    table: Mapping[int, int]

    def decide(self, view: View) -> bool:
        nearest = min(self.table, key=lambda t: abs(t - view.timestep))
        return view.layer >= self.table[nearest]


@dataclass
class Pabee(_Stateless):
    """Stop when `patience` predictions in a row agree to a relative tolerance (PABEE for regression)."""

    tolerance: float
    patience: int = 1

    def begin(self, rows: int, timestep: int, device: torch.device) -> None:
        self._before: Tensor | None = None
        self._agreed = torch.zeros(rows, dtype=torch.long, device=device)

    def decide(self, view: View) -> Bool[Tensor, " b"] | bool:
        now = view.prediction().flatten(1)
        if self._before is None:
            self._before = torch.zeros(len(self._agreed), now.shape[1], dtype=now.dtype, device=now.device)
            self._before[view.alive] = now
            return False
        change = (now - self._before[view.alive]).norm(dim=1) / now.norm(dim=1).clamp_min(1e-12)
        self._before[view.alive] = now
        self._agreed[view.alive] = torch.where(change < self.tolerance, self._agreed[view.alive] + 1, 0)
        return self._agreed[view.alive] >= self.patience


@dataclass
class Calm(_Stateless):
    """Stop when the tokens hardly turn any more: cosine to the block before above a threshold (CALM's saturation)."""

    cosine: float

    def begin(self, rows: int, timestep: int, device: torch.device) -> None:
        self._before: Tensor | None = None

    def decide(self, view: View) -> Bool[Tensor, " b"] | bool:
        now = view.tokens.flatten(1)
        if self._before is None:
            self._before = torch.zeros(len(view.alive), now.shape[1], dtype=now.dtype, device=now.device)
            self._before[view.alive] = now
            return False
        cosine = nn.functional.cosine_similarity(now, self._before[view.alive], dim=1)
        self._before[view.alive] = now
        return cosine > self.cosine


@dataclass
class Berxit(_Stateless):
    """Stop when a learned probe per layer, blind to time, expects a small error (BERxiT's learning to exit)."""

    probes: nn.ModuleList
    threshold: float

    def decide(self, view: View) -> Bool[Tensor, " b"]:
        self.checked = 0  # one dot product per row: not an uncertainty map
        return torch.sigmoid(self.probes[view.layer](view.tokens.float().mean(1)))[:, 0] < self.threshold


@dataclass
class Random(_Stateless):
    """Stop after each block with one probability: what an exit is worth that knows nothing."""

    probability: float
    seed: int = 0
    _generator: torch.Generator = field(default_factory=torch.Generator, repr=False)

    def __post_init__(self) -> None:
        self._generator.manual_seed(self.seed)

    def decide(self, view: View) -> Bool[Tensor, " b"]:
        return (torch.rand(len(view.alive), generator=self._generator) < self.probability).to(view.tokens.device)


@dataclass
class Oracle(_Stateless):
    """Stop when the prediction is within a distance of the full network's, which is known: a bound on any rule.

    `full` holds the full network's prediction for the call at hand; computing it is not charged to the policy.
    """

    tolerance: float
    full: Tensor | None = None

    def decide(self, view: View) -> Bool[Tensor, " b"]:
        assert self.full is not None, "set `full` before the call"
        difference = (view.prediction() - self.full[view.alive]).abs().tanh()
        return difference.flatten(1).mean(1) < self.tolerance


@dataclass
class Joint:
    """Both rows of a guidance pair stop together: row i and row i + B/2 stop when both would (`cfg_exit=joint`)."""

    inner: Uem
    last: Tensor | None = None
    checked: int = 0

    def begin(self, rows: int, timestep: int, device: torch.device) -> None:
        self._half = rows // 2
        self.inner.begin(rows, timestep, device)

    def decide(self, view: View) -> Bool[Tensor, " b"] | bool:
        stop = self.inner.decide(view)
        self.checked, self.last = self.inner.checked, self.inner.last
        if not isinstance(stop, Tensor):
            return stop
        # Pairs always leave together, so the living are pairs, too: first halves, then their partners.
        first, second = stop.chunk(2)
        both = first & second
        return torch.cat([both, both])
