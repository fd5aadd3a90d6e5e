"""Images with classes, split into train and test, as bytes. Knows no data set and no augmentation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from effml.experiments.data import checksum
from effml.experiments.data.images.decoding import FilePixels


@dataclass(eq=False)
class Split:
    """N images.

    Args:
        pixels: `[N, C, H, W]` uint8, from 0 to `peak`; files that are decoded when indexed where memory is too small.
        labels: `[N]` int64.
        peak: the value of white (255, or 16 for scikit-learn's digits).
    """

    pixels: UInt8[Tensor, "images channels height width"] | FilePixels
    labels: Int[Tensor, " images"]
    peak: int = 255

    def __post_init__(self) -> None:
        if len(self.pixels) != len(self.labels):
            raise ValueError(f"{len(self.pixels):,} images and {len(self.labels):,} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def unit(self, index: Tensor | slice = slice(None)) -> Float[Tensor, "images channels height width"]:
        """These images as float32 from 0 to 1."""
        return self.pixels[index].float() / self.peak

    def moments(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, in units of 0 to 1; exact, over the counts of the 256 levels."""
        levels = torch.arange(256, dtype=torch.float64) / self.peak
        means, deviations = [], []
        for channel in self.pixels[:].transpose(0, 1):
            counts = torch.bincount(channel.reshape(-1), minlength=256).double()
            mean = float((counts * levels).sum() / counts.sum())
            means.append(mean)
            deviations.append(float(((counts * (levels - mean) ** 2).sum() / counts.sum()).sqrt()))
        return means, deviations


@dataclass(eq=False)
class Images:
    """A set of images.

    Args:
        name: what a table calls it, such as "cifar10 (train q90)".
        train, test: the two splits; take validation images from `train`.
        classes: name of each class.
        mean, std: of each channel over the training images, in units of 0 to 1.
        note: what a table must say ("" for the published set as it is).
    """

    name: str
    train: Split
    test: Split
    classes: list[str]
    mean: list[float]
    std: list[float]
    note: str = ""

    def __post_init__(self) -> None:
        for split in (self.train, self.test):
            if len(split) and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < len(self.classes):
                raise ValueError(f"{self.name}: labels outside the {len(self.classes)} classes")

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        channels, height, width = self.train.pixels.shape[1:]
        return channels, height, width

    def sha256(self) -> str:
        """Checksum of pixels and labels of both splits, which must be in memory."""
        return checksum.of(self.train.pixels, self.train.labels, self.test.pixels, self.test.labels)


def in_memory(name: str, train: Split, test: Split, classes: list[str], note: str = "") -> Images:
    """Images whose mean and deviation are taken from the training split."""
    return Images(name, train, test, classes, *train.moments(), note)


def seeded_split(pixels: Tensor, labels: Tensor, test_share: float, seed: int, peak: int = 255) -> tuple[Split, Split]:
    """Train and test, the same share of every class in both; the draw depends on the seed alone."""
    held = held_out(labels, test_share, seed)
    return Split(pixels[~held], labels[~held], peak), Split(pixels[held], labels[held], peak)


def held_out(labels: Tensor, share: float, seed: int) -> Tensor:
    """`[N]` bool: this share of every class, drawn with the seed."""
    generator = torch.Generator().manual_seed(seed)
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().squeeze(1)
        drawn = members[torch.randperm(len(members), generator=generator)]
        held[drawn[: round(share * len(members))]] = True
    return held
