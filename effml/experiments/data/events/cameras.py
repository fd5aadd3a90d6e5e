"""`nmnist`, `dvs-gesture` and `cifar10-dvs`: recordings of event cameras, through tonic and in its folders.

tonic (GPL-3.0) is installed by the user: it is no dependency of this product. Recordings are binned into frames of counts,
one channel for each polarity, when they are drawn.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from effml.errors import MissingRequirement, UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.events.spikes import Frames, Spikes
from effml.experiments.data.images.images import held_out
from effml.experiments.data.places import reading, require


@dataclass(frozen=True)
class Published:
    """tonic's class for a set, its published counts, and the side to which frames are usually reduced."""

    loader: str
    train: int
    test: int
    classes: int
    size: int


SETS = {
    "nmnist": Published("NMNIST", 60_000, 10_000, 10, 34),
    "dvs-gesture": Published("DVSGesture", 1_077, 264, 11, 128),
    "cifar10-dvs": Published("CIFAR10DVS", 10_000, 0, 10, 48),
}


def fetch(root: Path, name: str) -> None:
    """Let tonic download and unpack the set."""
    (root / "tonic").mkdir(parents=True, exist_ok=True)
    try:
        _parts(name, root / "tonic")
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise MissingRequirement(f"tonic cannot download {name}: {type(error).__name__}: {error}") from error


def load(files: Files, steps: int = 16, size: int | None = None, seed: int = 0) -> Content:
    """Frames `[N, steps, 2, size, size]`, decoded when indexed.

    Args:
        steps: T, bins of equal duration over a recording.
        size: side of a frame; pixels are summed in blocks. Default: the sensor's own, 48 for cifar10-dvs.
        seed: of the tenth of each class of cifar10-dvs that is held out; the others have a split of their own.
    """
    name = files.data.name
    published = SETS[name]
    if steps < 1 or (size is not None and size < 1):
        raise UserError(f"data set {name}: steps={steps}, size={size}; expected at least 1")
    folder = files.folder("tonic")
    with reading(folder, f"tonic's {published.loader}"):
        train, test = _parts(name, folder)
    counts = (len(train), len(test) if test else 0)
    require(
        counts == (published.train, published.test), folder, f"it holds {counts} recordings, not {published.train:,}"
    )
    labels = torch.tensor([*train.targets, *(test.targets if test else [])], dtype=torch.int64)
    held = torch.arange(len(labels)) >= len(train) if test else held_out(labels, 0.1, seed)
    frames = _frames(train, test, steps, size or published.size, folder)
    listed = "".join(f"{Path(path).name}\n" for part in (train, test) if part for path in part.data)
    told = f"{steps} bins, {size or published.size} pixels wide" + ("" if test else f", a tenth held out, seed {seed}")
    value = Spikes(name, frames, labels, None, ~held, held, [str(number) for number in range(published.classes)])
    return Content(value, hashlib.sha256(listed.encode()).hexdigest(), told)


def _parts(name: str, folder: Path) -> tuple[Any, Any]:
    loader = getattr(importlib.import_module("tonic.datasets"), SETS[name].loader)
    if name == "cifar10-dvs":
        return loader(save_to=str(folder)), None
    return loader(save_to=str(folder), train=True), loader(save_to=str(folder), train=False)


def _frames(train: Any, test: Any, steps: int, size: int, folder: Path) -> Frames:
    to_frame = importlib.import_module("tonic.transforms").ToFrame(sensor_size=train.sensor_size, n_time_bins=steps)

    def read(number: int) -> np.ndarray:
        with reading(folder, f"recording {number}", AssertionError):
            events, _ = train[number] if number < len(train) else test[number - len(train)]
            return _reduced(np.asarray(to_frame(events)), size)

    return Frames(len(train) + (len(test) if test else 0), (steps, 2, size, size), read)


def _reduced(frames: np.ndarray, size: int) -> np.ndarray:
    """`[T, 2, H, W]` summed to `[T, 2, size, size]`, counts cut off at 255."""
    for axis in (2, 3):
        starts = np.arange(size) * frames.shape[axis] // size
        frames = np.add.reduceat(frames.astype(np.int64), starts, axis=axis)
    return frames.clip(0, 255).astype(np.uint8)
