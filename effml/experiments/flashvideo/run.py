"""FlashVideo, read top to bottom: train and judge; time a token against length; interpolate; time the operator.

Training: clips -> codes -> one sequence a clip -> next-code prediction, then clips generated for captions of the
validation set and judged by a digit classifier and a motion tracker. The timed suites are in decode.py, interpolate.py
and kernel.py.
"""

from __future__ import annotations

from typing import Any

from effml.errors import UserError
from effml.experiments.core import memory
from effml.experiments.core.run import Run
from effml.experiments.flashvideo import decode, generating, interpolate, kernel, training
from effml.experiments.flashvideo.config import Config
from effml.experiments.flashvideo.judges import DigitReader, Share
from effml.experiments.flashvideo.prepare import Prepared, prepare
from effml.models.video.codebook import perplexity


def run(config: Config, run: Run) -> None:
    suites = ("train", "decode", "interpolate", "kernel") if config.suite == "all" else (config.suite,)
    for suite in suites:
        {"train": _train, "decode": decode.measure, "interpolate": interpolate.measure, "kernel": kernel.measure}[
            suite
        ](config, run)


def _train(config: Config, run: Run) -> None:
    prepared = prepare(config, run)
    _check_request(config, prepared, run)
    _record_tokenizer(config, prepared, run)
    model = training.build(config, prepared, run)
    training.train(config, prepared, model, run)

    labels: dict[str, Any] = {
        "dataset": config.dataset.name,
        "model": config.model.kind,
        "serial": config.model.serial if config.model.kind != "masked" else "-",
        "decay": config.model.decay if config.model.kind == "retnet" else "-",
        "steps": config.train.steps,
    }

    def record(metric: str, value: float) -> None:
        run.record("quality", labels, metric, value)

    record("parameters", model.parameters_count)
    record("unigram_nll", training.unigram_nll(prepared))
    if config.model.kind == "masked":
        record("nll", training.masked_loss(model, prepared, run))
        record("shuffled_nll", training.masked_loss(model, prepared, run, shift=1))
    else:
        losses = training.validation_losses(model, prepared, run)
        record("nll", float(losses.mean()))
        record("shuffled_nll", float(training.validation_losses(model, prepared, run, shift=1).mean()))
        record("first_frame_nll", float(losses[:, 0].mean()))
        if losses.shape[1] > 2:
            record("later_frames_nll", float(losses[:, 2:].mean()))
        for frame, nll in enumerate(losses.mean((0, 2)).tolist(), 1):
            run.record("frames", {**labels, "frame": frame}, "nll", nll)

    made = generating.draw(config, prepared, model, run)
    record("passes", made.passes)
    generating.judge(prepared, made, record)
    generating.show(config, prepared, made, model, run)


def _check_request(config: Config, prepared: Prepared, run: Run) -> None:
    """Refuse, before training, a generation that will not be possible after it."""
    frames, trained = config.sample.frames, prepared.codes.shape[1]
    if frames and frames > trained and (config.model.serial != "none" or config.model.kind == "masked"):
        raise UserError(
            f"sample.frames={frames} is more than the {trained} frames of a training clip, and the model has no serial "
            f"numbers for the rest; use dataset.frames={frames} or, with RetNet, model.serial=none"
        )
    layers, width = config.model.layers, config.model.width
    length = prepared.layout.length(trained)
    # Activations kept for backward: about 34 numbers of 4 bytes per channel, layer and token, and the logits.
    training_bytes = 4.0 * config.train.batch * length * (34 * width * layers + 2 * prepared.layout.codes)
    memory.require(training_bytes, run.device, f"training on {config.train.batch} clips of {length:,} tokens",
                   "use a smaller train.batch, fewer dataset.frames or a larger tokenizer.patch")  # fmt: skip
    # Generated codes, and their pixels several times over: decoded, judged, drawn.
    pixels = prepared.clips.frames[0, 0].numel()
    made = config.sample.clips * (frames or trained) * (24.0 * prepared.layout.patches + 24.0 * pixels)
    memory.require(made, run.device, f"generating {config.sample.clips:,} clips of {frames or trained:,} frames",
                   "use fewer sample.clips or sample.frames")  # fmt: skip
    if config.model.kind == "transformer":
        cache = 8.0 * config.sample.clips * prepared.layout.length(frames or trained) * width * layers
        memory.require(cache, run.device, f"a key-value cache for {config.sample.clips} clips",
                       "use fewer sample.clips or sample.frames")  # fmt: skip


def _record_tokenizer(config: Config, prepared: Prepared, run: Run) -> None:
    held = prepared.clips.subset(~prepared.clips.train)
    real = held.unit()
    rebuilt = prepared.decode(prepared.codes[~prepared.clips.train])
    labels: dict[str, Any] = {
        "dataset": config.dataset.name,
        "tokenizer": config.tokenizer.kind,
        "codes": config.tokenizer.codes,
        "patch": config.tokenizer.patch,
    }
    run.record("tokenizer", labels, "tokenizer_psnr", interpolate.psnr(rebuilt, real))
    run.record("tokenizer", labels, "perplexity", perplexity(prepared.codes, prepared.layout.codes))
    if "digit" in held.labels:
        run.record(
            "tokenizer", labels, "digit_accuracy", Share.of(DigitReader().read(rebuilt) == held.labels["digit"]).value
        )
