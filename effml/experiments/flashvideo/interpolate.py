"""Redundant-free interpolation on real or generated clips: how much is skipped, what time that saves, what it costs in dB.

Key frames are every `gap`-th frame, the frames between them are made and compared with the real ones. The time of the
redundant-free way includes deciding what to skip; the dense way is the same interpolator on every patch.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from effml.errors import UserError
from effml.experiments.core.measure import interleave
from effml.experiments.core.run import Run
from effml.experiments.data.video.clips import Clips
from effml.experiments.flashvideo import clock
from effml.experiments.flashvideo.config import Config
from effml.experiments.flashvideo.pictures import animate
from effml.models.video import interpolation
from effml.models.video.codebook import PatchCodebook
from effml.models.video.interpolation import INTERPOLATORS, Between, Interpolator

CODES = 256  # of the codebook behind the token criterion


def measure(config: Config, run: Run) -> None:
    loaded: Clips = run.load(config.dataset)
    held = loaded.subset(~loaded.train)
    clips = (held if len(held) else loaded).unit()[: config.interpolate.clips].to(run.device)
    _check(config, clips)
    options = config.interpolate
    criteria: list[float | str] = [*options.taus, "tokens"]
    for gap in options.gaps:
        _measure_clips(config.dataset.name, clips, gap, criteria, options.dilations, config, run)
    # Where nothing moves, every criterion must skip everything: the strictest and the coarsest show it.
    gap = min(options.gaps)
    static = clips[:1, :1].expand(-1, gap * 2 + 1, -1, -1, -1)
    name = f"{config.dataset.name}, first frame repeated"
    _measure_clips(name, static, gap, [min(options.taus), "tokens"], [min(options.dilations)], config, run)
    _show(config, clips, run)


def _measure_clips(
    name: str, frames: Tensor, gap: int, criteria: list[float | str], dilations: list[int], config: Config, run: Run
) -> None:
    """Every method, criterion and dilation on all pairs of key frames that are `gap` apart."""
    book = _codebook(frames, config.interpolate.patch, run.seed)
    pairs = [(clip, start) for clip in range(len(frames)) for start in range(0, frames.shape[1] - gap, gap)]
    for method in config.interpolate.methods:
        work = [_Way(frames, pairs, gap, config, method, criterion, dilation, book)
                for criterion in criteria for dilation in dilations]  # fmt: skip
        for way in run.progress(work, f"{name}, {method}, gap {gap}"):
            _measure_one(name, way, config, run)


class _Way:
    """One way of interpolating all key-frame pairs of all clips."""

    def __init__(
        self,
        frames: Float[Tensor, "N F C H W"],
        pairs: list[tuple[int, int]],
        gap: int,
        config: Config,
        method: str,
        criterion: float | str,
        dilation: int,
        book: PatchCodebook,
    ) -> None:
        self.frames, self.pairs, self.gap, self.patch = frames, pairs, gap, config.interpolate.patch
        self.method, self.criterion, self.dilation, self.book = method, criterion, dilation, book
        self.interpolator: Interpolator = INTERPOLATORS[method]

    @property
    def named(self) -> str:
        return "tokens differ" if self.criterion == "tokens" else f"pixels differ by {self.criterion:g}"

    def sparse(self) -> list[Between]:
        return [self._between(clip, start, self._mask(clip, start)) for clip, start in self.pairs]

    def dense(self) -> list[Between]:
        height, width = self.frames.shape[-2:]
        everything = torch.ones(height // self.patch, width // self.patch, dtype=torch.bool, device=self.frames.device)
        return [self._between(clip, start, everything) for clip, start in self.pairs]

    def truth(self) -> Tensor:
        return torch.cat([self.frames[clip, start + 1 : start + self.gap] for clip, start in self.pairs])

    def _between(self, clip: int, start: int, computed: Tensor) -> Between:
        a, b = self.frames[clip, start], self.frames[clip, start + self.gap]
        return interpolation.interpolate(a, b, self.gap, computed, self.interpolator)

    def _mask(self, clip: int, start: int) -> Tensor:
        a, b = self.frames[clip, start], self.frames[clip, start + self.gap]
        if self.criterion == "tokens":
            codes = self.book.encode(torch.stack([a, b]))
            changed = interpolation.changed_tokens(codes[0], codes[1])
        else:
            changed = interpolation.changed_pixels(a, b, self.patch, float(self.criterion))
        return interpolation.dilate(changed, self.dilation)


def _measure_one(clip: str, way: _Way, config: Config, run: Run) -> None:
    sparse, dense, truth = way.sparse(), way.dense(), way.truth()
    made = torch.cat([between.frames for between in sparse])
    full = torch.cat([between.frames for between in dense])
    skipped = sum(between.skipped for between in sparse) / len(sparse)
    ways = {"sparse": way.sparse, "dense": way.dense}
    with clock.threads(config.threads, run.device):
        timings = interleave(ways, rounds=config.interpolate.rounds, warmup=1, device=run.device)
    speedups = clock.ratios(timings["dense"], timings["sparse"], run.device)
    labels: dict[str, Any] = {
        "clip": clip,
        "method": way.method,
        "criterion": way.named,
        "gap": way.gap,
        "dilation": way.dilation,
    }
    run.record("interpolation", labels, "skipped", skipped)
    run.record("interpolation", labels, "speedup", statistics.median(speedups), samples=speedups)
    run.record("interpolation", labels, "dense_psnr", psnr(full, truth))
    run.record("interpolation", labels, "psnr", psnr(made, truth))
    loss = 0.0 if torch.equal(made, full) else psnr(full, truth) - psnr(made, truth)
    run.record("interpolation", labels, "psnr_loss", loss)
    run.record("interpolation", labels, "difference_max", float((made - full).abs().max()) * 255)


def _codebook(frames: Tensor, patch: int, seed: int) -> PatchCodebook:
    flat = frames.flatten(0, 1).cpu()
    distinct = len(torch.unique(PatchCodebook.patches(flat, patch), dim=0))
    book = PatchCodebook.fit(flat, min(CODES, distinct), patch, seed)
    return PatchCodebook(book.centres.to(frames.device), book.channels, patch)


def _show(config: Config, clips: Tensor, run: Run) -> None:
    """The first clip beside what interpolation makes of its key frames and which patches were computed for that."""
    gap, options = min(config.interpolate.gaps), config.interpolate
    pairs = [(0, start) for start in range(0, clips.shape[1] - gap, gap)]
    book = _codebook(clips[:1], options.patch, run.seed)
    way = _Way(clips, pairs, gap, config, options.methods[-1], sorted(options.taus)[len(options.taus) // 2], 0, book)
    real, made, marks = [], [], []
    for (_, start), between in zip(pairs, way.sparse(), strict=True):
        mask = between.computed.repeat_interleave(options.patch, 0).repeat_interleave(options.patch, 1)
        real.append(clips[0, start : start + gap])
        made.append(torch.cat([clips[0, start : start + 1], between.frames]))
        marks.append(mask.to(clips).expand(gap, clips.shape[2], -1, -1))
    animate(run.artifact("interpolated.gif"), torch.stack([torch.cat(part).cpu() for part in (real, made, marks)]))


def psnr(made: Tensor, truth: Tensor) -> float:
    """Peak signal to noise ratio in dB of pixels from 0 to 1, over all frames together; inf for equal ones."""
    error = float((made.double() - truth.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def _check(config: Config, clips: Tensor) -> None:
    patch, (height, width) = config.interpolate.patch, clips.shape[-2:]
    if height % patch or width % patch:
        raise UserError(
            f"interpolate.patch={patch} does not divide frames of {height} x {width} pixels; use another size"
        )
    if clips.shape[1] <= max(config.interpolate.gaps):
        raise UserError(
            f"interpolate.gaps={config.interpolate.gaps} need clips of more than {max(config.interpolate.gaps)} frames; "
            f"these have {clips.shape[1]}"
        )
