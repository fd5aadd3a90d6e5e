"""Images as the networks take them: normalised on the fly, with held-out images taken from the training set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from effml.experiments.autorep.config import Config
from effml.experiments.core.run import Run
from effml.experiments.data.images.images import Images, Split
from effml.models.reduction.batches import Batches


class Normalised:
    """Images of a split, chosen by `index`, less the mean and over the deviation of each channel, on `device`."""

    def __init__(self, split: Split, index: Tensor, images: Images, device: torch.device) -> None:
        if isinstance(split.pixels, Tensor) and device.type != "cpu":
            split = Split(split.pixels.to(device), split.labels, split.peak)  # bytes are small: all of them go there
        self.split, self.index, self.device = split, index, device
        self.where = device if isinstance(split.pixels, Tensor) else torch.device("cpu")
        self.mean = torch.tensor(images.mean, device=self.where).reshape(-1, 1, 1)
        self.std = torch.tensor(images.std, device=self.where).reshape(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, chosen: Any, /) -> Float[Tensor, "batch channels h w"]:
        return ((self.split.unit(self.index[chosen]) - self.mean) / self.std).to(self.device)


@dataclass(frozen=True)
class Data:
    """A data set ready to train on: name for tables, batches, held-out and test images with labels, shape, classes."""

    name: str
    batches: Batches
    held_out: tuple[Normalised, Int[Tensor, " n"]]
    test: tuple[Normalised, Int[Tensor, " n"]]
    shape: tuple[int, int, int]
    classes: int


def prepare(config: Config, run: Run) -> Data:
    """Load, split off the held-out images by the seed, and set the papers' augmentation: crop by an eighth, and flip.

    Digits are not flipped: their mirror images are no digits.
    """
    images: Images = run.load(config.dataset)
    order = torch.from_numpy(run.numpy("held-out").permutation(len(images.train)))
    count = max(1, round(config.train.held_out * len(images.train)))
    held, used = order[:count].sort().values, order[count:].sort().values
    train = Normalised(images.train, used, images, run.device)
    seed = int(run.numpy("batches").integers(2**31))
    flip = config.dataset.name != "digits"
    size = min(config.train.batch, len(used))
    return Data(
        images.name,
        Batches(train, images.train.labels[used], size, seed, crop=images.shape[1] // 8, flip=flip),
        (Normalised(images.train, held, images, run.device), images.train.labels[held]),
        (Normalised(images.test, torch.arange(len(images.test)), images, run.device), images.test.labels),
        images.shape,
        images.num_classes,
    )
