"""The user's own spike trains: one .npz.

`input` [N, T, ...] of counts from 0 to 255, with `labels` [N] or `target` [N, T, outputs]; optionally `train` and `test`
[N]. A single recording may leave the first axis out.
"""

from __future__ import annotations

import numpy as np
import torch

from effml.experiments.data.entry import Content, Files
from effml.experiments.data.events.spikes import Spikes
from effml.experiments.data.images.images import held_out
from effml.experiments.data.places import reading, require


def load(files: Files, test_share: float = 0.2, seed: int = 0) -> Content:
    """Args: `test_share`, `seed`: of each class, drawn for testing where the file names no split."""
    path = files.own
    with reading(path, "an .npz of spike trains"), np.load(path, allow_pickle=False) as archive:
        held = {name: archive[name] for name in archive.files}
    require("input" in held, path, "it holds no input")
    require("labels" in held or "target" in held, path, "it holds neither labels nor target")
    if held["input"].ndim == 2 and "labels" not in held:
        held["input"], held["target"] = held["input"][None], held["target"][None]
    arrays = {}
    for name in ("input", "target"):
        if name in held:
            array = held[name]
            counted = (
                array.dtype.kind in "uibf" and array.ndim >= 3 and array.size > 0 and bool(np.isfinite(array).all())
            )
            counted = counted and bool(((array >= 0) & (array <= 255) & (array == np.round(array))).all())
            require(counted, path, f"{name} must be [N, T, ...] of whole numbers from 0 to 255")
            arrays[name] = torch.from_numpy(array.astype(np.uint8))
    count = len(arrays["input"])
    labels = None
    if "labels" in held:
        fits = held["labels"].shape == (count,) and held["labels"].dtype.kind in "iu" and held["labels"].min() >= 0
        require(fits, path, f"labels must be {count} whole numbers from 0")
        labels = torch.from_numpy(held["labels"].astype(np.int64))
    if "target" in arrays:
        fits = arrays["target"].shape[:2] == arrays["input"].shape[:2]
        require(fits, path, "target and input differ in recordings or steps")
    if "train" in held and "test" in held:
        train, test = (torch.from_numpy(held[name].astype(bool)) for name in ("train", "test"))
        require(train.shape == test.shape == (count,), path, f"train and test must be masks over {count} recordings")
        told = "own split"
    elif count == 1:
        train, test, told = torch.tensor([True]), torch.tensor([False]), "one recording"
    else:
        test = held_out(labels if labels is not None else torch.zeros(count).long(), test_share, seed)
        train, told = ~test, f"{test_share:.0%} for testing, seed {seed}"
    classes = [] if labels is None else [str(number) for number in range(int(labels.max()) + 1)]
    value = Spikes(path.name, arrays["input"], labels, arrays.get("target"), train, test, classes)
    return Content(value, value.sha256(), f"{path.name}; {count:,} recordings of {value.steps:,} steps; {told}")
