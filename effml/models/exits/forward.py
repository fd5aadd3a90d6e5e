"""A forward that really stops: samples that exit leave the batch, so that later blocks compute less.

Skip tensors are kept with the rows alive when they were made and gathered once, when a block pops them. Results of a
row depend on no other row. Works on any `Layered` model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Layered(Protocol):
    """A network that offers its layers one by one (`UViT`, `DiT`)."""

    @property
    def num_exits(self) -> int: ...
    def embed(self, sample: Tensor, timestep: Any, /, *args: Any, **condition: Any) -> tuple[Tensor, Tensor]: ...
    def block(self, layer: int, tokens: Tensor, time: Tensor, skip: Tensor | None) -> Tensor: ...
    def head(self, layer: int, tokens: Tensor, time: Tensor) -> Tensor: ...
    def uncertainty(self, layer: int, tokens: Tensor, time: Tensor) -> Tensor: ...
    def takes_skip(self, layer: int) -> bool: ...
    def gives_skip(self, layer: int) -> bool: ...


class View:
    """What a policy may look at after a block: tokens of the rows still alive, and what can be computed from them."""

    def __init__(self, model: Layered, layer: int, tokens: Tensor, time: Tensor, alive: Tensor, timestep: int) -> None:
        self.model, self.layer, self.tokens, self.time = model, layer, tokens, time
        self.alive, self.timestep = alive, timestep
        self.heads = 0
        self._prediction: Tensor | None = None

    def uncertainty(self, statistic: str = "mean") -> Float[Tensor, " b"]:
        """One number per row: mean, max or 0.9-quantile of the uncertainty map."""
        mean_of = getattr(self.model, "mean_uncertainty", None)
        if statistic == "mean" and mean_of is not None:
            return mean_of(self.layer, self.tokens, self.time)
        flat = self.model.uncertainty(self.layer, self.tokens, self.time).flatten(1)
        if statistic == "mean":
            return flat.mean(1)
        return flat.amax(1) if statistic == "max" else flat.quantile(0.9, dim=1)

    def prediction(self) -> Tensor:
        """The noise predicted if the rows stopped here; computed once, and counted."""
        if self._prediction is None:
            self._prediction = self.model.head(self.layer, self.tokens, self.time)
            self.heads += len(self.alive)
        return self._prediction


class Policy(Protocol):
    """Decides, after each block but the last, which rows stop."""

    def begin(self, rows: int, timestep: int, device: torch.device) -> None:
        """A network call begins: forget what belongs to the last one."""

    def decide(self, view: View) -> Bool[Tensor, " b"] | bool:
        """Rows that stop here; True or False for all of them needs no look at the data (and no synchronisation)."""


@dataclass
class Exited:
    """The result of one network call.

    Attributes:
        output: predicted noise of every row.
        layer: the block (0-based) after which each row stopped.
        checks, heads: uncertainty maps and output heads computed, in rows.
        syncs: decisions that had to wait for data (host synchronisations on a GPU).
        uncertainty: the mean uncertainty that each row exited with, NaN where none was computed.
    """

    output: Float[Tensor, "B C H W"]
    layer: Int[Tensor, " B"]
    checks: int = 0
    heads: int = 0
    syncs: int = 0
    uncertainty: Tensor = field(default_factory=lambda: torch.empty(0))


@torch.no_grad()
def forward(model: Layered, sample: Tensor, timestep: int, policy: Policy, **condition: Any) -> Exited:
    """Run `model` until every row has stopped.

    Args:
        sample: noisy images `[B, C, H, W]`.
        timestep: the scheduler's timestep, one for the batch.
        policy: who stops where.
        condition: what the model's `embed` takes (class_labels, text), one entry per row.
    """
    rows, device = sample.shape[0], sample.device
    tokens, time = model.embed(sample, timestep, **condition)
    alive = torch.arange(rows, device=device)
    output = torch.empty_like(sample)
    layer_of = torch.full((rows,), model.num_exits - 1, dtype=torch.long, device=device)
    exit_uncertainty = torch.full((rows,), float("nan"), device=device)
    skips: list[tuple[Tensor, Tensor]] = []
    result = Exited(output, layer_of, uncertainty=exit_uncertainty)
    policy.begin(rows, timestep, device)
    for i in range(model.num_exits):
        kept = None
        if model.takes_skip(i):
            kept, kept_alive = skips.pop()
            if len(kept_alive) != len(alive):  # both ascending: find the living among those that were
                kept = kept[torch.searchsorted(kept_alive, alive)]
        tokens = model.block(i, tokens, time, kept)
        if i == model.num_exits - 1:
            break
        if model.gives_skip(i):
            skips.append((tokens, alive))
        view = View(model, i, tokens, time, alive, timestep)
        stop = policy.decide(view)
        result.checks += getattr(policy, "checked", 0)
        if isinstance(stop, Tensor):
            result.syncs += 1
            if not bool(stop.any()):
                result.heads += view.heads
                continue
        elif not stop:
            continue
        else:
            stop = torch.ones(len(alive), dtype=torch.bool, device=device)
        gone = alive[stop]
        output[gone] = view.prediction()[stop] if view.heads else model.head(i, tokens[stop], time[stop])
        result.heads += view.heads or len(gone)
        layer_of[gone] = i
        last = getattr(policy, "last", None)
        if last is not None:
            exit_uncertainty[gone] = last[stop].to(exit_uncertainty.dtype)
        stay = ~stop
        alive, tokens, time = alive[stay], tokens[stay], time[stay]
        if len(alive) == 0:
            return result
    output[alive] = model.head(model.num_exits - 1, tokens, time)
    result.heads += len(alive)
    return result
