"""Training a model on prepared clips, with checkpoints, and its validation losses."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from effml.experiments.core.run import Keep, Run, State
from effml.experiments.flashvideo.config import Config
from effml.experiments.flashvideo.prepare import Prepared
from effml.models.video.language_model import Shape, VideoModel
from effml.models.video.masked import MaskedVideoModel

CHECKPOINT = 200  # steps


def build(config: Config, prepared: Prepared, run: Run) -> Any:
    """A fresh model; its weights depend on the seed alone."""
    options = config.model
    # RetNet's own base of 10000 is for texts of thousands of tokens: on a clip most pairs would hardly turn.
    base = float(prepared.layout.length(prepared.layout.frames))
    shape = Shape(options.width, options.layers, options.heads, options.decay, base)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.generator("weights").initial_seed())
        if options.kind == "masked":
            return MaskedVideoModel(prepared.layout, shape).to(run.device)
        return VideoModel(prepared.layout, shape, options.kind).to(run.device)


def train(config: Config, prepared: Prepared, model: Any, run: Run) -> None:
    """AdamW with warm-up and a cosine; every CHECKPOINT steps the state is kept, and a resumed run goes on from there."""
    model.load_state_dict(run.resumable("training", partial(_fit, config, prepared, model, run)))
    model.eval()


def _fit(config: Config, prepared: Prepared, model: Any, run: Run, kept: State | None, keep: Keep) -> dict[str, Tensor]:
    options = config.train
    optimizer = torch.optim.AdamW(model.parameters(), options.rate, (0.9, 0.95), weight_decay=options.weight_decay)
    batches, masks = run.generator("batches"), run.generator("masks")
    members = prepared.clips.train.nonzero().squeeze(1)
    done = 0
    if kept is not None:
        done = kept["step"]
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        batches.set_state(kept["batches"])
        masks.set_state(kept["masks"])
    for step in run.progress(range(done, options.steps), f"training the {config.model.kind}"):
        rise = min(1.0, (step + 1) / max(options.warmup, 1))
        for group in optimizer.param_groups:
            group["lr"] = options.rate * rise * (0.02 + 0.98 * (1 + math.cos(math.pi * step / options.steps)) / 2)
        index = members[torch.randint(len(members), (options.batch,), generator=batches)]
        text, codes = prepared.text[index].to(run.device), prepared.codes[index].to(run.device)
        loss = model.loss(text, codes, masks) if config.model.kind == "masked" else model.loss(text, codes)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 0 or step == options.steps - 1:
            run.step(step=step, loss=float(loss.detach()))
        if (step + 1) % CHECKPOINT == 0:
            state = {"step": step + 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
            keep({**state, "batches": batches.get_state(), "masks": masks.get_state()})
    return model.state_dict()


@torch.no_grad()
def validation_losses(model: VideoModel, prepared: Prepared, run: Run, shift: int = 0) -> Float[Tensor, "N F patches"]:
    """Nats of every code of the validation clips; `shift` gives each clip the caption of the clip so many further on."""
    held = (~prepared.clips.train).nonzero().squeeze(1)
    text = prepared.text[held].roll(shift, 0)
    parts = [
        model.token_losses(part_text.to(run.device), part.to(run.device)).cpu()
        for part_text, part in zip(text.split(64), prepared.codes[held].split(64), strict=True)
    ]
    return torch.cat(parts)


@torch.no_grad()
def masked_loss(model: MaskedVideoModel, prepared: Prepared, run: Run, shift: int = 0) -> float:
    """Mean nats of masked codes of the validation clips, at rates drawn as in training."""
    held = (~prepared.clips.train).nonzero().squeeze(1)
    text, codes = prepared.text[held].roll(shift, 0), prepared.codes[held]
    generator = run.generator("validation masks")
    losses = [
        float(model.loss(part_text.to(run.device), part.to(run.device), generator))
        for part_text, part in zip(text.split(64), codes.split(64), strict=True)
    ]
    return sum(losses) / len(losses)


def unigram_nll(prepared: Prepared) -> float:
    """Nats of a validation code guessed by the frequencies of the training codes (each counted once more than it occurs)."""
    codes, size = prepared.codes, prepared.layout.codes
    counts = torch.bincount(codes[prepared.clips.train].flatten(), minlength=size).double() + 1
    logs = (counts / counts.sum()).log()
    return -float(logs[codes[~prepared.clips.train]].mean())
