"""Reading generated clips: which digit is shown, and which way does it move. Knows moving digits, not models.

The reader has only ever seen still digits out of scikit-learn's set, the tracker nothing at all, so neither can have
learnt the generator's habits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from effml.experiments.data.video.moving_digits import DIRECTIONS, HELD_OUT_FROM, SIDE

NOTHING = -1


@dataclass(frozen=True)
class Share:
    """A share of right answers with its 95 % confidence interval (Wilson's, no normal approximation)."""

    value: float
    low: float
    high: float
    count: int

    @staticmethod
    def of(right: Sequence[bool] | Tensor) -> Share:
        from scipy.stats import binomtest

        hits = int(torch.as_tensor(right).sum())
        count = len(right)
        interval = binomtest(hits, count).proportion_ci(0.95, "wilson")
        return Share(hits / count, float(interval.low), float(interval.high), count)


def centroids(clips: Float[Tensor, "N F 1 H W"]) -> Float[Tensor, "N F 2"]:
    """Centre of the ink, row and column, on a canvas whose edges meet (a circular mean); NaN where a frame is empty."""
    ink = torch.where(clips[:, :, 0] > 0.1, clips[:, :, 0], 0).double()  # below: what a tokenizer leaves of black
    centres = []
    for axis, size in ((2, ink.shape[2]), (3, ink.shape[3])):
        turn = torch.polar(
            torch.ones(size, dtype=torch.float64), torch.arange(size, dtype=torch.float64) * 2 * math.pi / size
        )
        mean = (ink.sum(5 - axis) * turn).sum(2)
        centres.append(torch.where(mean.abs() > 1e-9, mean.angle(), torch.nan) * size / (2 * math.pi) % size)
    return torch.stack(centres, -1)


def motion(clips: Float[Tensor, "N F 1 H W"]) -> Float[Tensor, "N F_minus_1 2"]:
    """Pixels by which the centroid moves from frame to frame, the short way around; NaN next to an empty frame."""
    size = torch.tensor(clips.shape[-2:], dtype=torch.float64)
    moved = centroids(clips).diff(dim=1)
    return (moved + size / 2) % size - size / 2


def directions(clips: Float[Tensor, "N F 1 H W"], least: float = 0.25) -> Int[Tensor, " N"]:
    """Nearest of the eight directions to the mean motion; NOTHING below `least` pixels a frame."""
    mean = torch.nanmean(motion(clips), 1)
    moves = torch.tensor(list(DIRECTIONS.values()), dtype=torch.float64)
    unit = moves / moves.norm(dim=1, keepdim=True)
    nearest = (mean.nan_to_num() @ unit.T).argmax(1)
    return torch.where(mean.norm(dim=1).nan_to_num() < least, NOTHING, nearest)


def motion_error(clips: Float[Tensor, "N F 1 H W"], real: Float[Tensor, "N F 1 H W"]) -> float:
    """Root mean square difference, in pixels a frame, between the motion of clips and of real ones of the same captions."""
    frames = min(clips.shape[1], real.shape[1])
    squares = (motion(clips[:, :frames]) - motion(real[:, :frames])).square().sum(-1)
    return math.sqrt(float(torch.nanmean(squares)))


class DigitReader:
    """A support-vector classifier of centred 8 x 8 digits; a clip is read by the mean of its frames' scores."""

    def __init__(self) -> None:
        from sklearn.datasets import load_digits
        from sklearn.svm import SVC

        data = load_digits()
        images = torch.from_numpy(data.images).float()[:, None, None] / 16
        canvas = torch.nn.functional.pad(images, (0, SIDE, 0, SIDE))
        self._features = _centred(canvas)[:, 0].flatten(1).numpy()
        self._labels = data.target
        self._classifier = SVC(gamma=0.05, C=10.0, decision_function_shape="ovr")
        self._classifier.fit(self._features[:HELD_OUT_FROM], self._labels[:HELD_OUT_FROM])

    def held_out_accuracy(self) -> float:
        """On still digits of hands that it was not fitted to."""
        return float(self._classifier.score(self._features[HELD_OUT_FROM:], self._labels[HELD_OUT_FROM:]))

    def read(self, clips: Float[Tensor, "N F 1 H W"]) -> Int[Tensor, " N"]:
        """The digit shown in each clip; NOTHING where all frames are empty."""
        crops = _centred(clips)
        count, frames = crops.shape[:2]
        scores = self._classifier.decision_function(crops.flatten(0, 1).flatten(1).numpy()).reshape(count, frames, -1)
        read = torch.from_numpy(np.argmax(scores.mean(1), 1)).long()
        return torch.where(crops.flatten(1).sum(1) > 0, read, NOTHING)


def _centred(clips: Float[Tensor, "N F 1 H W"]) -> Float[Tensor, "N F side side"]:
    """The 8 x 8 crop around the centroid of each frame, to the nearest pixel, around the edges; zeros if there is no ink."""
    ink = clips[:, :, 0].clamp(0, 1)
    centres = centroids(clips)
    corner = (centres.nan_to_num() - (SIDE - 1) / 2).round().long()
    inside = torch.arange(SIDE)
    rows = (corner[..., 0, None] + inside).remainder(ink.shape[2])[..., :, None]
    columns = (corner[..., 1, None] + inside).remainder(ink.shape[3])[..., None, :]
    clip, frame = torch.arange(len(ink))[:, None, None, None], torch.arange(ink.shape[1])[:, None, None]
    return ink[clip, frame, rows, columns] * ~centres.isnan().any(-1)[..., None, None]
