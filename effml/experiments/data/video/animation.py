"""Animations and films from files: GIF, WebP and folders of pictures by Pillow, compressed film by PyAV if installed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from effml.errors import MissingRequirement, UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.places import reading
from effml.experiments.data.video.clips import Clips

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
ANIMATIONS = (".gif", ".webp")
FILMS = (".avi", ".mp4", ".mkv", ".webm", ".mov")


def read(
    path: Path, size: int | None, grey: bool = False, frames: int | None = None
) -> UInt8[Tensor, "frames channels height width"]:
    """The first `frames` frames of a film, an animation or a folder of pictures (in order of name).

    With `size`, the largest centred square of each frame, averaged down (or enlarged) to `size x size` pixels.

    Raises:
        MissingRequirement: the file cannot be decoded, or a film needs PyAV and it is not installed.
    """
    if path.is_dir():
        pictures = _pictures(path)
    elif path.suffix.lower() in ANIMATIONS:
        pictures = _animation(path)
    else:
        pictures = _film(path)
    with reading(path, "a video", SyntaxError):
        arrays = [_fit(picture, size, grey) for picture in islice(pictures, frames)]
        if not arrays:
            raise ValueError("it holds no frame")
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()


def _pictures(folder: Path) -> Iterator:
    from PIL import Image

    for path in sorted(folder.iterdir(), key=lambda path: (len(path.stem), path.stem)):
        if path.suffix.lower() in PICTURES:
            with Image.open(path) as picture:
                yield picture.convert("RGB")


def _animation(path: Path) -> Iterator:
    from PIL import Image, ImageSequence

    with Image.open(path) as animation:
        for picture in ImageSequence.Iterator(animation):
            yield picture.convert("RGB")


def _film(path: Path) -> Iterator:
    try:
        import av
    except ImportError:
        raise MissingRequirement(f"{path} is read by the package PyAV: pip install av") from None
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            yield frame.to_image()


def _fit(picture, size: int | None, grey: bool) -> np.ndarray:
    from PIL import Image

    if size is not None:
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        picture = picture.resize((size, size), Image.Resampling.BOX if size <= side else Image.Resampling.BILINEAR, box)
    array = np.asarray(picture.convert("L" if grey else "RGB"))
    return array[..., None] if grey else array


def load_clip(
    files: Files, size: int = 64, frames: int | None = None, grey: bool = False, clips: int | None = None
) -> Content:
    """`cricket-shot`. Args: side `size` in pixels, the first `frames` frames, `grey` instead of colour; `clips` at most,
    of which it has one."""
    if size < 1 or (frames is not None and frames < 1):
        raise UserError(f"data set {files.data.name}: size={size}, frames={frames}; both must be positive")
    (path,) = files.paths.values()
    clip = read(path, size, grey, frames)
    made = Clips(files.data.name, clip[None], ["cricket shot"], torch.zeros(1, dtype=torch.bool))
    return Content(made, note=f"{len(clip)} frames of {size} x {size}")
