"""From clips to sequences: fit a tokenizer, encode, number the words. The first stage of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from effml.errors import UserError
from effml.experiments.core.run import Run
from effml.experiments.data.video.clips import Clips
from effml.experiments.flashvideo.config import Config
from effml.models.video.codebook import PatchCodebook
from effml.models.video.layout import Layout
from effml.models.video.vocabulary import UnknownWord, Vocabulary
from effml.models.video.vqgan import VQTokenizer

FITTED_FRAMES = 8000  # frames that a codebook is fitted to, drawn from the training clips


@dataclass(frozen=True)
class Prepared:
    """Clips as sequences: `text [N, P]` and `codes [N, F, patches]` of all clips, and what made them."""

    clips: Clips
    vocabulary: Vocabulary
    tokenizer: Any
    grid: tuple[int, int]
    text: Int[Tensor, "N P"]
    codes: Int[Tensor, "N F patches"]
    layout: Layout

    def decode(self, codes: Int[Tensor, "N F patches"]) -> Float[Tensor, "N F C H W"]:
        """Pixels from 0 to 1."""
        frames = self.tokenizer.decode(codes.flatten(0, 1).unflatten(1, self.grid))
        return frames.clamp(0, 1).unflatten(0, codes.shape[:2])


def prepare(config: Config, run: Run) -> Prepared:
    clips: Clips = run.load(config.dataset)
    if not clips.train.any() or clips.train.all():
        raise UserError(
            f"{clips.name} has {int(clips.train.sum())} training and {int((~clips.train).sum())} validation clips; "
            "training needs both: use a data set with more clips"
        )
    captions = [caption for caption, train in zip(clips.captions, clips.train.tolist(), strict=True) if train]
    vocabulary = Vocabulary.of(captions)
    _check_captions(config, vocabulary)
    tokenizer = _tokenizer(config, run, clips)
    grid = tokenizer.grid(*clips.frames.shape[-2:])
    codes = tokenizer.encode(clips.unit().flatten(0, 1)).flatten(1).unflatten(0, clips.frames.shape[:2])
    try:
        text = vocabulary.encode(clips.captions)
    except UnknownWord:  # in a validation caption; which words a model knows must not depend on that
        text = _known_only(vocabulary, clips.captions)
    layout = Layout(
        config.tokenizer.codes,
        len(vocabulary),
        vocabulary.length,
        grid[0] * grid[1],
        codes.shape[1],
        config.model.serial,
    )
    return Prepared(clips, vocabulary, tokenizer, grid, text, codes, layout)


def own_captions(config: Config) -> list[str]:
    """The user's captions, if any."""
    return [caption.strip() for caption in (config.sample.captions or "").split(";") if caption.strip()]


def _check_captions(config: Config, vocabulary: Vocabulary) -> None:
    try:
        vocabulary.encode(own_captions(config))
    except UnknownWord as error:
        raise UserError(f"sample.captions: {error}") from None


def _known_only(vocabulary: Vocabulary, captions: list[str]) -> Tensor:
    known = set(vocabulary.words)
    kept = [[word for word in caption.lower().split() if word in known] for caption in captions]
    return vocabulary.encode([" ".join(words[-vocabulary.length :]) for words in kept])


def _tokenizer(config: Config, run: Run, clips: Clips) -> Any:
    """Fit the tokenizer to training frames, once: a resumed run takes it from its stage."""
    frames = clips.frames[clips.train].flatten(0, 1)
    drawn = torch.randperm(len(frames), generator=run.generator("tokenizer frames"))[:FITTED_FRAMES]
    frames = frames[drawn].float() / 255
    channels, height, width = frames.shape[1:]
    patch, codes = config.tokenizer.patch, config.tokenizer.codes
    if height % patch or width % patch:
        raise UserError(
            f"tokenizer.patch={patch} does not divide frames of {height} x {width} pixels; use another size"
        )
    if config.tokenizer.kind == "kmeans":
        try:
            centres = run.stage("codebook", lambda: PatchCodebook.fit(frames, codes, patch, run.seed).centres)
        except ValueError as error:
            raise UserError(f"tokenizer.codes={codes}: {error}") from None
        return PatchCodebook(centres, channels, patch)
    try:
        tokenizer = VQTokenizer(channels, codes, patch)
    except ValueError as error:
        raise UserError(f"tokenizer.patch={patch}: {error}") from None

    def train() -> dict[str, Tensor]:
        generator = run.generator("tokenizer batches")
        batches = [
            frames[torch.randint(len(frames), (64,), generator=generator)] for _ in range(config.tokenizer.steps)
        ]
        losses = tokenizer.fit(list(run.progress(batches, "tokenizer")), seed=run.seed)
        run.log(f"tokenizer: loss {losses[0]:.4f} to {losses[-1]:.4f}")
        return tokenizer.state_dict()

    tokenizer.load_state_dict(run.stage("vq", train))
    return tokenizer.eval()
