"""FlashVideo end to end at small size, as a user runs it; and, marked slow, at the sizes whose figures are claimed."""

import math

import pytest
import torch

from effml.experiments.core import registry
from effml.experiments.core.run import Run
from effml.experiments.flashvideo import training
from effml.experiments.flashvideo.config import Config
from effml.experiments.flashvideo.prepare import prepare


def cells(row, table, metric):
    """Values of a metric by their labels."""
    found = [m for m in row["measurements"] if (m["table"], m["metric"]) == (table, metric)]
    return [(m["labels"], m["value"]) for m in found]


def only(row, table, metric):
    ((_, value),) = cells(row, table, metric)
    return value


def test_smoke_runs_every_suite(effml):
    row = effml.row("flashvideo", "--preset", "smoke")
    assert only(row, "quality", "nll") < math.log(32) and only(row, "quality", "passes") == 1 + 5 * 17
    frames = [value for _, value in cells(row, "frames", "nll")]
    assert sum(frames) / 5 == pytest.approx(only(row, "quality", "nll"), rel=1e-5)
    kept = {(labels["provider"], labels["length"]): value for labels, value in cells(row, "memory", "state_bytes")}
    assert kept["retnet", 32] == kept["retnet", 64] == 2 * 16 * 32 * 4
    assert kept["transformer cached", 64] == 2 * kept["transformer cached", 32] == 2 * 64 * 32 * 4
    still = [value for labels, value in cells(row, "interpolation", "skipped") if "repeated" in labels["clip"]]
    assert still and set(still) == {1.0}
    lost = [value for labels, value in cells(row, "interpolation", "difference_max") if "repeated" in labels["clip"]]
    assert set(lost) == {0.0}
    errors = [value for _, value in cells(row, "kernel", "scaled_error")]
    assert len(errors) == 6 and max(errors) < 1e-5
    folder = effml.results / "runs" / "flashvideo" / row["run_id"] / "artifacts"
    from PIL import Image

    with Image.open(folder / "generated.gif") as animation:
        assert animation.n_frames == 5
    assert {path.name for path in folder.iterdir()} >= {"generated.png", "real.gif", "interpolated.gif"}


@pytest.mark.parametrize(
    "words", [["model.kind=masked"], ["model.kind=transformer", "model.serial=none", "sample.frames=7"]]
)
def test_other_models_train_and_generate(effml, words):
    row = effml.row(
        "flashvideo", "--preset", "smoke", "suite=train", "sample.captions='a one moving up; a two moving left'", *words
    )
    assert only(row, "quality", "nll") < 4 and only(row, "quality", "passes") == (
        12 if "masked" in words[0] else 1 + 7 * 16
    )
    folder = effml.results / "runs" / "flashvideo" / row["run_id"] / "artifacts"
    assert (folder / "yours.gif").stat().st_size > 100


@pytest.mark.parametrize(
    "words,told",
    [
        (["suite=train", "sample.captions='a sevn moving up'"], "never saw the word 'sevn'; did you mean seven"),
        (["suite=train", "sample.frames=0"], "sample.frames=0 is out of range"),
        (["suite=train", "sample.frames=9"], "more than the 5 frames of a training clip"),
        (["suite=train", "tokenizer.codes=100000"], "distinct patches cannot make 100000 codes"),
        (["suite=train", "tokenizer.patch=5"], "does not divide frames of 16 x 16"),
        (["suite=decode", "decode.lengths=[1000000000]"], "GB are free; ask for shorter lengths"),
        (["suite=interpolate", "interpolate.gaps=[9]"], "need clips of more than 9 frames"),
        (["suite=train", "train.batch=10000000"], "use a smaller train.batch"),
        (["suite=train", "dataset.frames=1000000000"], "GB are free; use fewer or smaller ones"),
        (["suite=train", "model.serial=none", "sample.frames=1000000000"], "use fewer sample.clips or sample.frames"),
        (["suite=kernel", "kernel.lengths=[1000000000]"], "GB are free; ask for shorter lengths or a smaller batch"),
    ],
)
def test_wrong_requests_end_with_a_sentence(effml, words, told):
    ended = effml("run", "flashvideo", "--preset", "smoke", *words)
    assert ended.code == 2 and told in ended.err and "Traceback" not in ended.err


def test_interrupted_training_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT", 2)
    config = Config()
    config.dataset.name, config.dataset.clips, config.tokenizer.codes = "moving-digits", 40, 16
    config.model.width, config.model.layers, config.model.heads = 16, 1, 2
    config.train.steps, config.train.batch = 6, 4
    experiment = registry.get("flashvideo")

    def run(name):
        (tmp_path / name).mkdir(exist_ok=True)
        return Run(experiment, tmp_path / name, seed=3)

    def weights(name, die_at=None):
        made = run(name)
        prepared = prepare(config, made)
        model = training.build(config, prepared, made)
        if die_at is not None:
            steps = iter(range(100))
            loss = model.loss
            monkeypatch.setattr(model, "loss", lambda *args: loss(*args) if next(steps) < die_at else 1 / 0)
        training.train(config, prepared, model, made)
        return torch.cat([weight.flatten() for weight in model.parameters()])

    with pytest.raises(ZeroDivisionError):
        weights("interrupted", die_at=5)
    assert torch.equal(weights("interrupted"), weights("whole"))


@pytest.mark.realdata
def test_the_real_clip_is_mostly_redundant(effml):
    words = [
        "suite=interpolate",
        "dataset=cricket-shot",
        "dataset.size=64",
        "interpolate.gaps=[2]",
        "interpolate.taus=[4.0]",
    ]
    row = effml.row("flashvideo", *words, "interpolate.dilations=[0]", "interpolate.methods=[blend]")
    real = {m["metric"]: m["value"] for m in row["measurements"]
            if m["labels"]["clip"] == "cricket-shot" and m["labels"]["criterion"] == "pixels differ by 4"}  # fmt: skip
    assert real["skipped"] == pytest.approx(0.775, abs=0.02) and 0 <= real["psnr_loss"] < 0.5
    assert {m["evidence"] for m in row["measurements"]} == {"measured"}


@pytest.mark.slow
def test_default_training_figures(effml):
    """Ten minutes of one CPU core must suffice for all of this."""
    row = effml.row("flashvideo")
    value = {metric: only(row, "quality", metric) for metric in (
        "nll", "unigram_nll", "first_frame_nll", "later_frames_nll", "shuffled_nll", "digit_accuracy_low",
        "direction_accuracy_low",
    )}  # fmt: skip
    assert value["nll"] < 1.6 < value["unigram_nll"]
    assert value["later_frames_nll"] < value["first_frame_nll"] and value["shuffled_nll"] > value["nll"] + 0.05
    assert value["digit_accuracy_low"] > 2 / 10 and value["direction_accuracy_low"] > 2 / 8


@pytest.mark.slow
def test_decoding_figures(effml):
    row = effml.row("flashvideo", "suite=decode", "decode.lengths=[256,4096]")
    growth = {(labels["baseline"], labels["part"]): value for labels, value in cells(row, "headline", "growth")}
    assert growth["retnet", "core"] < 2 and growth["retnet", "model"] < 2
    assert growth["transformer cached", "core"] >= 6
    fast = {(labels["baseline"], labels["part"], labels["length"]): v for labels, v in cells(row, "speedup", "speedup")}
    assert fast["transformer cached", "core", 4096] > 9.17
    assert fast["transformer cached", "model", 4096] > 1
