"""Spike trains and event frames, time first when handed out, as spiking networks take them. Knows no data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from effml.experiments.data import checksum


class Frames:
    """N recordings that are read and binned when indexed: stands where a tensor `[N, T, ...]` would be too large."""

    def __init__(self, count: int, shape: tuple[int, ...], read: Callable[[int], np.ndarray]) -> None:
        self.count, self.one, self.read = count, shape, read

    def __len__(self) -> int:
        return self.count

    @property
    def shape(self) -> tuple[int, ...]:
        return self.count, *self.one

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        chosen = torch.arange(self.count)[index].tolist()
        found = torch.empty((len(chosen), *self.one), dtype=torch.uint8)
        for place, number in enumerate(chosen):
            found[place] = torch.from_numpy(self.read(number))
        return found


@dataclass(eq=False)
class Spikes:
    """N recordings of T steps.

    Args:
        name: of the data set.
        inputs: `[N, T, ...]` uint8: 0 and 1, or events counted in a bin.
        labels: `[N]` int64 classes, or None.
        targets: `[N, T, outputs]` uint8 spikes to be produced, or None.
        train, test: `[N]` bool.
        classes: names of the classes.
        note: what a table must say.
    """

    name: str
    inputs: Tensor | Frames
    labels: Int[Tensor, " recordings"] | None
    targets: Tensor | None
    train: Bool[Tensor, " recordings"]
    test: Bool[Tensor, " recordings"]
    classes: list[str]
    note: str = ""

    def __post_init__(self) -> None:
        for what in ("labels", "targets", "train", "test"):
            held = getattr(self, what)
            if held is not None and len(held) != len(self.inputs):
                raise ValueError(f"{self.name}: {len(held):,} {what} for {len(self.inputs):,} recordings")
        if self.targets is not None and self.targets.shape[1] != self.steps:
            raise ValueError(f"{self.name}: targets of {self.targets.shape[1]} steps for inputs of {self.steps}")

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def steps(self) -> int:
        """T."""
        return self.inputs.shape[1]

    def batch(self, index: Tensor | slice) -> Float[Tensor, "steps recordings *inputs"]:
        """These recordings as float32, time first."""
        return self.inputs[index].float().transpose(0, 1).contiguous()

    def wanted(self, index: Tensor | slice) -> Float[Tensor, "steps recordings outputs"]:
        """The target spikes of these recordings as float32, time first."""
        if self.targets is None:
            raise ValueError(f"{self.name} has classes, no target spikes")
        return self.targets[index].float().transpose(0, 1).contiguous()

    def sha256(self) -> str:
        """Checksum of everything; the inputs must be in memory."""
        return checksum.of(self.inputs, self.labels, self.targets, self.train, self.test)
