"""Training batches that depend on seed and step alone, so that a resumed run sees what an uninterrupted one would have.

Augmentation is the papers': a random crop after padding, and a flip. Knows no data set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


class Indexable(Protocol):
    """Normalised images of one split, float32: a tensor, or what makes one when it is indexed."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Float[Tensor, "batch channels h w"]: ...


@dataclass(frozen=True)
class Batches:
    """Endless shuffled batches.

    Args:
        images, labels: the training set.
        size: examples in a batch; the last, smaller batch of an epoch is left out.
        seed: decides the order and the augmentation.
        crop: padding of the random crop, 0 for none; flip: whether to mirror half of the images.
    """

    images: Indexable
    labels: Int[Tensor, " n"]
    size: int
    seed: int
    crop: int = 0
    flip: bool = False
    _order: dict[int, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def per_epoch(self) -> int:
        return max(1, len(self.images) // self.size)

    def __call__(self, step: int) -> tuple[Float[Tensor, "batch channels h w"], Int[Tensor, " batch"]]:
        """The batch of this step, where the images are."""
        images, labels = self._plain(step)
        return self._augment(images, np.random.default_rng([self.seed, 1, step])), labels

    def plain(self, count: int) -> list[Float[Tensor, "batch channels h w"]]:
        """The images of the first `count` batches without augmentation: for calibration."""
        return [self._plain(step)[0] for step in range(min(count, self.per_epoch))]

    def probe(self, count: int) -> Float[Tensor, "batch channels h w"]:
        """The same as one batch, of as many as come to 4 million values (an activation of it is tens of times that)."""
        size = self.size * math.prod(self._plain(0)[0].shape[1:])
        return torch.cat(self.plain(max(1, min(count, (1 << 22) // size))))

    def _plain(self, step: int) -> tuple[Tensor, Tensor]:
        epoch, place = divmod(step, self.per_epoch)
        if epoch not in self._order:
            self._order.clear()
            self._order[epoch] = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.images))
        chosen = torch.from_numpy(self._order[epoch][place * self.size : (place + 1) * self.size])
        images = self.images[chosen]
        return images, self.labels[chosen].to(images.device)

    def _augment(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        batch, _, height, width = images.shape
        if self.crop:
            padded = F.pad(images, [self.crop] * 4)
            top, left = torch.from_numpy(rng.integers(0, 2 * self.crop + 1, size=(2, batch))).to(images.device)
            rows = (top[:, None] + torch.arange(height, device=images.device))[:, :, None]
            columns = (left[:, None] + torch.arange(width, device=images.device))[:, None, :]
            example = torch.arange(batch, device=images.device)[:, None, None]
            images = padded[example, :, rows, columns].permute(0, 3, 1, 2).contiguous()
        if self.flip:
            mirrored = torch.from_numpy(rng.random(batch) < 0.5).to(images.device)
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        return images
