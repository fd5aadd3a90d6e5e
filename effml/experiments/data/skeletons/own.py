"""The user's own skeletons: one .npz.

`frames` [sum of T, V, 3] (or with a person axis, [sum of T, M, V, 3]) with `offsets` [N + 1], or `x` [N, 3, T, V] (or
[N, 3, T, V, M]); `labels` [N]; `bones` [V - 1, 2], (joint, its neighbour nearer to the centre), which may be left out for
20 joints of MSRAction3D or 25 of NTU; optionally `centre`, `subjects`, `train`, `test`, `classes`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from effml.errors import MissingRequirement
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.images.images import held_out
from effml.experiments.data.places import reading, require
from effml.experiments.data.skeletons.layouts import LAYOUTS
from effml.experiments.data.skeletons.skeletons import Skeletons


def load(files: Files, test_share: float = 0.3, seed: int = 0) -> Content:
    """Args: `test_share`, `seed`: of each class, drawn for testing where the file names no split and no subjects."""
    path = files.own
    with reading(path, "an .npz of skeletons"), np.load(path, allow_pickle=False) as archive:
        held = {name: archive[name] for name in archive.files}
    frames, offsets = _frames(held, path)
    require("labels" in held, path, "it holds no labels")
    count = len(offsets) - 1
    labels = held["labels"]
    fits = labels.shape == (count,) and labels.dtype.kind in "iu" and labels.min() >= 0
    require(fits, path, f"labels must be {count} whole numbers from 0")
    classes = [str(name) for name in held["classes"]] if "classes" in held else None
    classes = classes or [str(number) for number in range(int(labels.max()) + 1)]
    require(labels.max() < len(classes), path, f"class {labels.max()} among {len(classes)} classes")
    bones, centre = _bones(held, frames.shape[2], path)
    subjects = torch.from_numpy(held["subjects"].astype(np.int64)) if "subjects" in held else torch.zeros(count).long()
    require(subjects.shape == (count,), path, "subjects and sequences differ in number")
    train, test, told = _split(held, torch.from_numpy(labels.astype(np.int64)), subjects, test_share, seed, path)
    value = Skeletons(
        path.name,
        torch.from_numpy(frames),
        torch.from_numpy(offsets),
        torch.from_numpy(labels.astype(np.int64)),
        subjects,
        train,
        test,
        classes,
        bones,
        centre,
    )
    return Content(value, value.sha256(), f"{path.name}; {count:,} sequences; {told}")


def _frames(held: dict[str, np.ndarray], path: Path) -> tuple[np.ndarray, np.ndarray]:
    """`[sum of T, M, V, 3]` float32 and `[N + 1]` int64."""
    if "x" in held:
        x = held["x"][..., None] if held["x"].ndim == 4 else held["x"]
        require(x.ndim == 5 and x.shape[1] == 3 and x.size > 0, path, f"x has shape {x.shape}, expected (N, 3, T, V)")
        frames = x.transpose(0, 2, 4, 3, 1).reshape(-1, x.shape[4], x.shape[3], 3)
        offsets = np.arange(len(x) + 1) * x.shape[2]
    else:
        require({"frames", "offsets"} <= set(held), path, "it holds neither x nor frames with offsets")
        frames = held["frames"][:, None] if held["frames"].ndim == 3 else held["frames"]
        shape = held["frames"].shape
        require(
            frames.ndim == 4 and frames.shape[-1] == 3, path, f"frames have shape {shape}, expected (sum of T, V, 3)"
        )
        offsets = held["offsets"]
        cut = offsets.ndim == 1 and offsets.dtype.kind in "iu" and len(offsets) > 1
        cut = (
            cut
            and offsets[0] == 0
            and offsets[-1] == len(frames)
            and bool((np.diff(offsets.astype(np.int64)) > 0).all())
        )
        require(cut, path, f"offsets do not cut {len(frames):,} frames into sequences")
    require(frames.dtype.kind in "fiu", path, f"coordinates are {frames.dtype}, expected numbers")
    frames = np.ascontiguousarray(frames, dtype=np.float32)
    require(bool(np.isfinite(frames).all()), path, "a coordinate is not finite")
    return frames, offsets.astype(np.int64)


def _bones(held: dict[str, Any], joints: int, path: Path) -> tuple[tuple[tuple[int, int], ...], int]:
    if "bones" not in held:
        for known in LAYOUTS.values():
            if known.joints == joints:
                return known.bones, known.centre
        raise MissingRequirement(f"{path} is not usable: it holds no bones, and no known skeleton has {joints} joints")
    bones = held["bones"]
    require(bones.shape == (joints - 1, 2), path, f"bones have shape {bones.shape}, expected ({joints - 1}, 2)")
    require(bones.dtype.kind in "iu" and bones.min() >= 0 and bones.max() < joints, path, "a bone names no joint")
    pairs = tuple((int(joint), int(parent)) for joint, parent in bones)
    centre = int(held["centre"]) if "centre" in held else next(iter({p for _, p in pairs} - {j for j, _ in pairs}), -1)
    reached = {centre}
    while grown := {joint for joint, parent in pairs if parent in reached and joint not in reached}:
        reached |= grown
    require(len(reached) == joints, path, f"bones do not form a tree from joint {centre} outwards")
    return pairs, centre


def _split(
    held: dict[str, np.ndarray], labels: torch.Tensor, subjects: torch.Tensor, share: float, seed: int, path: Path
) -> tuple[torch.Tensor, torch.Tensor, str]:
    if "train" in held and "test" in held:
        train, test = (torch.from_numpy(held[name].astype(bool)) for name in ("train", "test"))
        require(train.shape == test.shape == labels.shape, path, "train, test and labels differ in number")
        require(not (train & test).any(), path, "a sequence is in both train and test")
        return train, test, "own split"
    if len(subjects.unique()) > 1:
        return subjects % 2 == 1, subjects % 2 == 0, "odd subjects train"
    test = held_out(labels, share, seed)
    return ~test, test, f"{share:.0%} of each class for testing, seed {seed}"
