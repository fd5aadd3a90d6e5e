"""Clips as files to look at: an animated grid and a contact sheet. Pillow only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

GAP = 2  # pixels between pictures, before enlargement


def animate(path: Path, clips: Float[Tensor, "N F C H W"], milliseconds: int = 160, scale: int = 4) -> None:
    """A GIF with all clips side by side in a grid that is about square."""
    columns = math.ceil(math.sqrt(len(clips)))
    pictures = [_picture(_grid(clips[:, frame], columns), scale) for frame in range(clips.shape[1])]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0)


def contact_sheet(path: Path, clips: Float[Tensor, "N F C H W"], captions: Sequence[str], scale: int = 4) -> None:
    """A PNG with one clip a row, its frames from left to right and its caption beside."""
    from PIL import Image, ImageDraw

    sheet = _picture(_grid(clips.flatten(0, 1), clips.shape[1]), scale)
    canvas = Image.new("RGB", (sheet.width + 8 + 7 * max(map(len, captions), default=0), sheet.height), "white")
    canvas.paste(sheet, (0, 0))
    draw = ImageDraw.Draw(canvas)
    row = (clips.shape[-2] + GAP) * scale
    for index, caption in enumerate(captions):
        draw.text((sheet.width + 6, index * row + row // 2 - 6), caption, fill="black")
    canvas.save(path)


def _grid(frames: Tensor, columns: int) -> Tensor:
    """`[count, C, H, W]` to one `[3, rows, columns]` picture on grey."""
    count, channels, height, width = frames.shape
    rows = -(-count // columns)
    sheet = torch.full((3, rows * (height + GAP), columns * (width + GAP)), 0.5)
    for index, frame in enumerate(frames):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        sheet[:, top : top + height, left : left + width] = frame.expand(3, -1, -1) if channels == 1 else frame
    return sheet


def _picture(sheet: Tensor, scale: int):
    from PIL import Image

    array = (sheet.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    picture = Image.fromarray(np.ascontiguousarray(array))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
