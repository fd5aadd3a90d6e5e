"""Generating clips with a trained model and judging them: what do they show, where does it go, how do they look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from effml.experiments.core.run import Run
from effml.experiments.flashvideo import judges
from effml.experiments.flashvideo.config import Config
from effml.experiments.flashvideo.pictures import animate, contact_sheet
from effml.experiments.flashvideo.prepare import Prepared, own_captions
from effml.models.video.sampler import Choice, Sampler

SHOWN = 12  # clips in a picture


@dataclass(frozen=True)
class Generated:
    """Clips made for captions of the validation set: their codes, pixels, and which validation clip each caption is of."""

    codes: Int[Tensor, "N F patches"]
    clips: Float[Tensor, "N F C H W"]
    source: Int[Tensor, " N"]
    passes: int


def draw(config: Config, prepared: Prepared, model: Any, run: Run) -> Generated:
    """`sample.clips` clips for captions of validation clips, each caption drawn once before any is drawn twice."""
    held = (~prepared.clips.train).nonzero().squeeze(1)
    source = held.repeat(-(-config.sample.clips // len(held)))[: config.sample.clips]
    frames = config.sample.frames or prepared.codes.shape[1]
    codes, passes = _generate(config, model, prepared.text[source].to(run.device), frames, run.generator("sampling"))
    return Generated(codes, prepared.decode(codes), source, passes)


def _generate(config: Config, model: Any, text: Tensor, frames: int, generator: torch.Generator) -> tuple[Tensor, int]:
    sample = config.sample
    if text.device.type != "cpu":
        generator = torch.Generator(text.device).manual_seed(generator.initial_seed())
    if config.model.kind == "masked":
        return model.generate(text, frames, sample.rounds, generator=generator).cpu(), sample.rounds
    sampler = Sampler(model)
    choice = Choice(sample.temperature, sample.top_k, sample.top_p)
    return sampler.generate(text, frames, choice, generator).cpu(), sampler.passes


def judge(prepared: Prepared, made: Generated, record) -> None:
    """Record, by `record(metric, value)`, what a generated set shows; digits and directions where the data knows them."""
    labels = prepared.clips.labels
    if "digit" in labels:
        digits = judges.Share.of(judges.DigitReader().read(made.clips) == labels["digit"][made.source])
        record("digit_accuracy", digits.value)
        record("digit_accuracy_low", digits.low)
    if "direction" in labels and made.clips.shape[1] > 1:
        truth = labels["direction"][made.source]
        moved = judges.Share.of(judges.directions(made.clips) == truth)
        record("direction_accuracy", moved.value)
        record("direction_accuracy_low", moved.low)
        record("motion_error", judges.motion_error(made.clips, prepared.clips.subset(made.source).unit()))
    if made.clips.shape[1] > 1 and prepared.clips.frames.shape[1] > 1:
        real = prepared.clips.subset(made.source).unit()
        record("change_ratio", float(made.clips.diff(dim=1).abs().mean() / real.diff(dim=1).abs().mean()))


def show(config: Config, prepared: Prepared, made: Generated, model: Any, run: Run) -> None:
    """GIF and contact sheet of generated clips, of the real ones behind their captions, and of the user's captions."""
    some = slice(0, min(SHOWN, len(made.source)))
    captions = [prepared.clips.captions[i] for i in made.source[some].tolist()]
    animate(run.artifact("generated.gif"), made.clips[some])
    contact_sheet(run.artifact("generated.png"), made.clips[some], captions)
    real = prepared.clips.subset(made.source[some]).unit()
    animate(run.artifact("real.gif"), real)
    contact_sheet(run.artifact("real.png"), real, captions)
    if own := own_captions(config):
        text = prepared.vocabulary.encode(own).to(run.device)
        codes, _ = _generate(config, model, text, made.codes.shape[1], run.generator("own captions"))
        clips = prepared.decode(codes)
        animate(run.artifact("yours.gif"), clips)
        contact_sheet(run.artifact("yours.png"), clips, own)
        run.log(f"your captions: artifacts/yours.gif of {run.folder.name}")
