"""`moving-digits`: a handwritten digit that moves one way, and the sentence that says so.

A small stand-in for captioned video: what is shown (ten digits, in many hands) and where it goes (eight directions) can
both be read off a clip, so that a generated one can be judged. Validation clips show handwriting that training never
saw. What leaves the canvas on one side comes in on the other, or the digit bounces off the edges.

The default speed is a whole patch of the default tokenizer (4 pixels) a frame, so that motion is a shift of codes. At one
or two pixels a frame every code of a frame is new, and how codes turn into one another under sub-patch shifts is more than
a model learns in minutes on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from effml.errors import UserError
from effml.experiments.core import memory
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.video.clips import Clips

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
DIRECTIONS = {
    "up": (-1, 0),
    "up right": (-1, 1),
    "right": (0, 1),
    "down right": (1, 1),
    "down": (1, 0),
    "down left": (1, -1),
    "left": (0, -1),
    "up left": (-1, -1),
}  # rows, columns a frame
SIDE = 8  # of scikit-learn's digits
HELD_OUT_FROM = 1437  # scikit-learn keeps the images in the order of their writers, so the last fifth is other hands


def load(
    files: Files,
    clips: int = 16000,
    frames: int = 8,
    size: int = 16,
    speed: int = 4,
    grid: int = 4,
    edges: str = "wrap",
    held_out: float = 0.1,
    seed: int = 0,
) -> Content:
    """Args: number of `clips`, `frames` of each, canvas `size` in pixels, `speed` in pixels a frame, `grid` of which the
    start is a multiple, `edges` that "wrap" or "bounce", share `held_out` for validation, `seed`."""
    from sklearn.datasets import load_digits

    _check(clips, frames, size, speed, grid, edges, held_out)
    data = load_digits()
    pixels = (torch.from_numpy(data.images) * (255 / 16)).round().to(torch.uint8)
    written = torch.from_numpy(data.target).long()
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int, count: int) -> Tensor:
        return torch.randint(high, (count,), generator=generator)

    validation = max(1, round(held_out * clips))
    train = torch.arange(clips) >= validation
    image = torch.where(train, draw(HELD_OUT_FROM, clips), HELD_OUT_FROM + draw(len(pixels) - HELD_OUT_FROM, clips))
    direction = draw(len(DIRECTIONS), clips)
    steps = speed * torch.tensor(list(DIRECTIONS.values()))[direction][:, None] * torch.arange(frames)[:, None]
    where = torch.rand(clips, 2, generator=generator)
    corners = _wrapped(steps, size, grid, where) if edges == "wrap" else _bounced(steps, size - SIDE, where)
    canvas = _paint(pixels[image], corners, size)
    names = list(DIRECTIONS)
    digit = written[image]
    captions = [f"a {DIGITS[d]} moving {names[m]}" for d, m in zip(digit.tolist(), direction.tolist(), strict=True)]
    labels = {"digit": digit, "direction": direction}
    made = Clips("moving-digits", canvas, captions, train, labels, {"digit": DIGITS, "direction": names})
    note = f"{clips} clips, {frames} frames of {size} x {size}, {speed} pixels a frame, edges {edges}, seed {seed}"
    return Content(made, made.sha256(), note)


def _check(clips: int, frames: int, size: int, speed: int, grid: int, edges: str, held_out: float) -> None:
    if size <= SIDE:
        raise UserError(
            f"data set moving-digits: size={size} leaves a digit of {SIDE} pixels no room to move; use more"
        )
    if edges not in ("wrap", "bounce"):
        raise UserError(f"data set moving-digits: edges={edges} is neither wrap nor bounce")
    if clips < 2 or frames < 1 or speed < 1 or not 1 <= grid <= size or not 0 < held_out < 1:
        raise UserError(
            f"data set moving-digits: clips={clips}, frames={frames}, speed={speed}, grid={grid}, held_out={held_out} make no "
            "set; use at least 2 clips, 1 frame and 1 pixel a frame, and a share between 0 and 1"
        )
    nbytes = 10.0 * clips * frames * size**2  # bytes, and floats twice
    what = f"data set moving-digits with clips={clips:,} of {frames:,} frames of {size} x {size} pixels"
    memory.require(nbytes, torch.device("cpu"), what, "use fewer or smaller ones")


def _wrapped(steps: Tensor, size: int, grid: int, where: Tensor) -> Tensor:
    """Upper left corners `[N, F, 2]` from displacements `steps` of that shape and uniform draws `where` `[N, 2]`."""
    return ((where * (size // grid)).long()[:, None] * grid + steps).remainder(size)


def _bounced(steps: Tensor, room: int, where: Tensor) -> Tensor:
    """The same, kept within 0..room; where the whole way fits, the start is drawn such that nothing is bounced off."""
    travel = steps[:, -1]
    low, high = (-travel).clamp(min=0), room - travel.clamp(min=0)
    straight = high >= low
    low, high = torch.where(straight, low, 0), torch.where(straight, high, room)
    place = (low + (where * (high - low + 1)).long())[:, None] + steps
    folded = place.remainder(2 * room)  # a walk on a line, folded into a triangle wave
    return torch.where(folded > room, 2 * room - folded, folded)


def _paint(pixels: Tensor, corners: Tensor, size: int) -> Tensor:
    """`[N, F, 1, size, size]`: each digit `[N, 8, 8]` with its corner at `corners`, around the edges where it sticks out."""
    count, frames = corners.shape[:2]
    inside = torch.arange(SIDE)
    rows = (corners[..., 0, None] + inside).remainder(size)[..., :, None]
    columns = (corners[..., 1, None] + inside).remainder(size)[..., None, :]
    canvas = torch.zeros(count, frames, size, size, dtype=torch.uint8)
    clip, frame = torch.arange(count)[:, None, None, None], torch.arange(frames)[:, None, None]
    canvas[clip, frame, rows, columns] = pixels[:, None].expand(-1, frames, -1, -1)
    return canvas[:, :, None]
