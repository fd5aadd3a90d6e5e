"""Sequences of skeletons with classes and subjects, of any length; resampled to a tensor when asked. Knows no data set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from effml.experiments.data import checksum


@dataclass(eq=False)
class Skeletons:
    """N sequences of V joints of up to M people, laid end to end.

    Args:
        name: of the data set.
        frames: `[sum of T, M, V, 3]` float32, x y z in metres; a person who is not there is all zero.
        offsets: `[N + 1]` int64: sequence `i` is `frames[offsets[i]:offsets[i + 1]]`.
        labels: `[N]` int64.
        subjects: `[N]` int64, who performed it.
        train, test: `[N]` bool; take validation sequences from `train`.
        classes: name of each class.
        bones: (joint, its neighbour nearer to the centre), V - 1 of them.
        centre: the joint in the middle.
        note: what a table must say.
    """

    name: str
    frames: Float[Tensor, "frames people joints 3"]
    offsets: Int[Tensor, " sequences_plus_1"]
    labels: Int[Tensor, " sequences"]
    subjects: Int[Tensor, " sequences"]
    train: Bool[Tensor, " sequences"]
    test: Bool[Tensor, " sequences"]
    classes: list[str]
    bones: tuple[tuple[int, int], ...]
    centre: int
    note: str = ""

    def __post_init__(self) -> None:
        sizes = {len(getattr(self, name)) for name in ("labels", "subjects", "train", "test")} | {len(self.offsets) - 1}
        if len(sizes) != 1:
            raise ValueError(f"{self.name}: labels, subjects, splits and offsets differ in length: {sorted(sizes)}")
        if int(self.offsets[0]) != 0 or int(self.offsets[-1]) != len(self.frames) or (self.offsets.diff() < 1).any():
            raise ValueError(f"{self.name}: offsets do not cut {len(self.frames):,} frames into sequences")
        if len(self.bones) != self.num_joints - 1:
            raise ValueError(f"{self.name}: {len(self.bones)} bones for {self.num_joints} joints")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_joints(self) -> int:
        return self.frames.shape[2]

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def lengths(self) -> Int[Tensor, " sequences"]:
        """Frames of each sequence."""
        return self.offsets.diff()

    def sequence(self, number: int) -> Float[Tensor, "frames people joints 3"]:
        """One sequence as recorded."""
        return self.frames[self.offsets[number] : self.offsets[number + 1]]

    def tensor(self, frames: int = 64, centred: bool = True) -> Float[Tensor, "sequences 3 frames joints people"]:
        """Every sequence resampled linearly to `frames` steps, in the order that ST-GCN takes: N, C, T, V, M.

        Args:
            frames: T; first and last frame of a sequence stay first and last.
            centred: move the first person's centre joint in the first frame to the origin; absent people stay zero.
        """
        if frames < 1:
            raise ValueError(f"frames={frames}; expected at least 1")
        last = (self.lengths - 1)[:, None].double()
        place = torch.linspace(0, 1, frames, dtype=torch.float64)[None] * last
        low = place.floor().long()
        high = torch.minimum(low + 1, last.long())
        begin = self.offsets[:-1, None]
        share = (place - low).float()[..., None, None, None]
        found = torch.lerp(self.frames[begin + low], self.frames[begin + high], share)
        if centred:
            present = (found != 0).any(-1, keepdim=True).any(-2, keepdim=True)
            found = torch.where(present, found - found[:, :1, :1, self.centre : self.centre + 1], found)
        return found.permute(0, 4, 1, 3, 2).contiguous()

    def sha256(self) -> str:
        """Checksum of frames, classes and splits."""
        return checksum.of(self.frames, self.offsets, self.labels, self.subjects, self.train, self.test)
