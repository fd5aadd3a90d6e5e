"""Image files to bytes in memory, with PIL: mosaics, archives, folders. A file that cannot be decoded is an error.

torchvision is not used: it brings a torch of its own.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from effml.experiments.data.places import reading

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".tif", ".tiff")


def whole(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """The image at `path`, in colour, at its own size."""
    from PIL import Image

    with reading(path, "an image", Image.DecompressionBombError), Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def tiles(path: Path, side: int, count: int) -> UInt8[Tensor, "images 3 side side"]:
    """The first `count` tiles of a mosaic, row by row."""
    mosaic = whole(path)
    rows, columns = mosaic.shape[0] // side, mosaic.shape[1] // side
    if rows * columns < count:
        raise ValueError(f"{path.name} holds {rows * columns:,} tiles instead of {count:,}")
    cut = mosaic[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
    return torch.from_numpy(cut.transpose(0, 2, 4, 1, 3).reshape(-1, 3, side, side)[:count].copy())


def square(source: Path | io.BytesIO, path: Path, size: int, crop: int | None = None) -> UInt8[Tensor, "3 size size"]:
    """One image, cut square at its centre and resized.

    Args:
        source: what to decode.
        path: the file it comes from, for the error.
        size: side of the result.
        crop: side of the square in the image's own pixels; None for the largest there is.
    """
    from PIL import Image

    with reading(path, "an image", Image.DecompressionBombError), Image.open(source) as image:
        side = min(image.size) if crop is None else min(crop, *image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        colour = image.convert("RGB")
        if colour.size != (size, size) or side != size:
            colour = colour.resize((size, size), Image.Resampling.BICUBIC, box=box)
        return torch.from_numpy(np.array(colour)).permute(2, 0, 1).contiguous()


class FilePixels:
    """Images in files, decoded when indexed: stands where a tensor `[N, 3, size, size]` uint8 would be too large.

    Indexed with a tensor, a list, a slice or a number, as such a tensor would be.
    """

    def __init__(self, paths: Sequence[Path], size: int, crop: int | None = None) -> None:
        self.paths, self.size, self.crop = list(paths), size, crop

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.paths), 3, self.size, self.size

    @property
    def nbytes(self) -> int:
        """Bytes that all of them would take in memory."""
        return len(self.paths) * 3 * self.size**2

    def __getitem__(self, index: Tensor | slice | int | Sequence[int]) -> UInt8[Tensor, "*images 3 size size"]:
        if isinstance(index, int):
            return square(self.paths[index], self.paths[index], self.size, self.crop)
        chosen = torch.arange(len(self.paths))[index].tolist()
        found = torch.empty((len(chosen), 3, self.size, self.size), dtype=torch.uint8)
        for place, number in enumerate(chosen):
            found[place] = square(self.paths[number], self.paths[number], self.size, self.crop)
        return found
