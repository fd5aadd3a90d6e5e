"""Frames between key frames, computed only where something changes: FlashVideo's redundant-free interpolation.

A patch is static when its tokens are equal in both key frames, or when its pixels differ by less than `tau` grey levels on
average (the paper does not give its criterion; both are offered). Static patches are copied; the others, and `dilation`
patches around them, go to an interpolator, which works on a list of patches and never on a frame, so that what is skipped
is not paid for. With every patch in the list the same code is the dense interpolation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

# Patches whose displacements are compared together: 2 MB of pixels, which a cache holds; 64 at once take a third longer.
AT_ONCE = 8

# (a, b, place along the way 0..1, patches [n, 2] as rows and columns, patch size) -> [n, C, patch, patch]
Interpolator = Callable[[Tensor, Tensor, float, Tensor, int], Tensor]


@dataclass(frozen=True)
class Between:
    """Interpolated frames `[steps - 1, C, H, W]` and the patches that were computed, `[rows, columns]`."""

    frames: Float[Tensor, "between C H W"]
    computed: Bool[Tensor, "rows columns"]

    @property
    def skipped(self) -> float:
        """Share of the patches that were copied."""
        return 1 - float(self.computed.double().mean())


def changed_pixels(
    a: Float[Tensor, "C H W"], b: Float[Tensor, "C H W"], patch: int, tau: float
) -> Bool[Tensor, "rows columns"]:
    """Patches whose mean absolute difference is `tau` grey levels (of 255) or more; any difference at all if tau is 0."""
    difference = F.avg_pool2d((a - b).abs().mean(0, keepdim=True), patch)[0] * 255
    return difference >= tau if tau > 0 else difference > 0


def changed_tokens(a: Int[Tensor, "rows columns"], b: Int[Tensor, "rows columns"]) -> Bool[Tensor, "rows columns"]:
    """Patches whose code differs."""
    return a != b


def dilate(mask: Bool[Tensor, "rows columns"], radius: int) -> Bool[Tensor, "rows columns"]:
    """The mask and everything within `radius` patches of it."""
    if radius == 0:
        return mask
    return F.max_pool2d(mask[None].float(), 2 * radius + 1, 1, radius)[0].bool()


def interpolate(
    a: Float[Tensor, "C H W"],
    b: Float[Tensor, "C H W"],
    steps: int,
    computed: Bool[Tensor, "rows columns"],
    interpolator: Interpolator,
) -> Between:
    """The `steps - 1` frames between `a` and `b` (0 to 1), computed where `computed` and copied from `a` elsewhere.

    Raises:
        ValueError: frames that differ in size or do not divide into the mask's patches, or no frame in between.
    """
    height, width = a.shape[1:]
    rows, columns = computed.shape
    if a.shape != b.shape or height % rows or width % columns or height // rows != width // columns:
        raise ValueError(
            f"frames of {tuple(a.shape)} and {tuple(b.shape)} and a mask of {rows} x {columns} square patches do not fit"
        )
    if steps < 2:
        raise ValueError(f"{steps} steps from one key frame to the next leave no frame between them; use at least 2")
    patch = height // rows
    patches = computed.nonzero()
    frames = a.expand(steps - 1, *a.shape).clone()
    tiles = frames.view(steps - 1, a.shape[0], rows, patch, columns, patch)
    if len(patches):
        for step in range(1, steps):
            values = interpolator(a, b, step / steps, patches, patch)
            tiles[step - 1, :, patches[:, 0], :, patches[:, 1]] = values
    return Between(frames, computed)


def blend(
    a: Tensor, b: Tensor, place: float, patches: Int[Tensor, "n 2"], patch: int
) -> Float[Tensor, "n C patch patch"]:
    """Cross-fade: `(1 - place) a + place b`."""
    corner = patches * patch
    return _weighted(_squares(a, corner, patch), _squares(b, corner, patch), place)


def motion(
    a: Tensor,
    b: Tensor,
    place: float,
    patches: Int[Tensor, "n 2"],
    patch: int,
    reach: int = 4,
    margin: int = 4,
    still: float = 2 / 255,
) -> Float[Tensor, "n C patch patch"]:
    """Block matching: each patch is blended from where it came from in `a` and where it goes to in `b`.

    Of all displacements up to `reach` pixels in each direction, that one is taken under which both ends agree best, the
    patch seen with a `margin` of its surroundings; `still` is what a pixel of displacement must gain in mean absolute
    difference, so that flat regions do not drift.
    """
    moves = torch.cartesian_prod(*[torch.arange(-reach, reach + 1, device=a.device)] * 2)  # [D, 2], rows and columns
    back = (place * moves).round().long()
    pad = reach + margin
    a_wide, b_wide = (F.pad(frame[None], (pad,) * 4, mode="replicate")[0] for frame in (a, b))
    corner = patches * patch + reach  # of the patch with its margin, in the padded frame
    inner = slice(margin, margin + patch)
    values = []
    for part in corner.split(AT_ONCE):
        origin = _squares(a_wide, part[:, None] - back, patch + 2 * margin)  # [n, D, C, side, side]
        goal = _squares(b_wide, part[:, None] + (moves - back), patch + 2 * margin)
        cost = (origin - goal).abs().mean((2, 3, 4)) + still * moves.abs().sum(1)
        best = cost.argmin(1)
        row = torch.arange(len(part), device=a.device)
        values.append(_weighted(origin[row, best][..., inner, inner], goal[row, best][..., inner, inner], place))
    return torch.cat(values)


INTERPOLATORS: dict[str, Interpolator] = {"blend": blend, "motion": motion}


def _weighted(origin: Tensor, goal: Tensor, place: float) -> Tensor:
    # origin + place (goal - origin) returns equal pixels unchanged, to the last bit.
    return origin + place * (goal - origin)


def _squares(frame: Tensor, corner: Int[Tensor, "*n 2"], side: int) -> Float[Tensor, "*n C side side"]:
    """The `side x side` squares of `frame` with these upper left corners."""
    inside = torch.arange(side, device=frame.device)
    rows = (corner[..., 0, None] + inside)[..., :, None]
    columns = (corner[..., 1, None] + inside)[..., None, :]
    return frame[:, rows, columns].movedim(0, -3)
