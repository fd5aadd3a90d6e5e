"""Captioned clips of one size, split into train and validation, as bytes. Knows no data set and no tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from effml.experiments.data import checksum


@dataclass(eq=False)
class Clips:
    """N clips of F frames.

    Args:
        name: what a table calls the set.
        frames: `[N, F, C, H, W]` uint8, 0 to 255; C is 1 (grey) or 3 (red, green, blue).
        captions: one sentence a clip, lower case; "" where there is none.
        train: `[N]`, True for training clips; the others are for validation.
        labels: further facts by name, each `[N]` int64 with -1 for unknown, such as the digit shown.
        classes: names of the values of each label.
    """

    name: str
    frames: UInt8[Tensor, "clips frames channels height width"]
    captions: list[str]
    train: Bool[Tensor, " clips"]
    labels: dict[str, Int[Tensor, " clips"]] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.frames) == len(self.captions) == len(self.train):
            raise ValueError(
                f"{len(self.frames)} clips, {len(self.captions)} captions and {len(self.train)} split marks differ"
            )

    def __len__(self) -> int:
        return len(self.frames)

    def subset(self, index: Tensor) -> Clips:
        """The clips at `index` (int64) or where it is True."""
        if index.dtype == torch.bool:
            index = index.nonzero().squeeze(1)
        return Clips(
            self.name,
            self.frames[index],
            [self.captions[i] for i in index.tolist()],
            self.train[index],
            {name: values[index] for name, values in self.labels.items()},
            self.classes,
        )

    def unit(self) -> Float[Tensor, "clips frames channels height width"]:
        """Frames as float32 from 0 to 1."""
        return self.frames.float() / 255

    def sha256(self) -> str:
        return checksum.of(self.frames, "\n".join(self.captions), self.train)
