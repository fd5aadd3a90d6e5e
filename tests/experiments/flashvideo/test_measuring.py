"""How FlashVideo's figures are made from what is timed: closed forms, and contenders that compute what they should."""

import math

import numpy as np
import pytest
import torch

from effml.errors import UserError
from effml.experiments.flashvideo import decode
from effml.experiments.flashvideo.config import Config, Decode
from effml.experiments.flashvideo.contenders import (
    BASELINES,
    CACHED,
    MASKED,
    RETNET,
    UNCACHED,
    AttentionCore,
    Networks,
    RetentionCore,
    cores,
)
from effml.experiments.flashvideo.interpolate import psnr
from effml.experiments.flashvideo.kernel import attention

CPU = torch.device("cpu")


class Recorder:
    """Stands in for a run: keeps what is recorded."""

    device = CPU

    def __init__(self):
        self.cells = {}

    def record(self, table, labels, metric, value, **more):
        self.cells[(table, *labels.values(), metric)] = value


def test_clip_times_and_the_crossing_of_9_17():
    """A token costs 2 with RetNet, its own length with a cache and 50 a length masked; sums are known in closed form."""
    run, lengths = Recorder(), [1, 10, 100]
    times = {RETNET: [2.0] * 3, CACHED: [1.0, 10.0, 100.0], UNCACHED: [2.0] * 3, MASKED: [50.0, 5.0, 0.5]}
    decode._record_clips("core", 1, lengths, times, Decode(lengths=[10, 100]), run)
    assert run.cells["clip", "core", 1, 100, RETNET, "clip_seconds"] == pytest.approx(200)
    assert run.cells["clip", "core", 1, 100, CACHED, "clip_seconds"] == pytest.approx(100 * 101 / 2)
    assert run.cells["clip", "core", 1, 10, MASKED, "clip_seconds"] == pytest.approx(50)
    assert run.cells["headline", CACHED, "core", 1, "speedup"] == pytest.approx(5050 / 200)
    assert run.cells["headline", CACHED, "core", 1, "crossing"] == math.ceil(2 * 2 * 9.17 - 1)
    assert run.cells["headline", UNCACHED, "core", 1, "crossing"] is None
    assert run.cells["headline", RETNET, "core", 1, "growth"] == 1
    assert run.cells["headline", CACHED, "core", 1, "growth"] == 10


@pytest.mark.parametrize("dtype,bound", [("fp32", 1e-5), ("bf16", 2e-2)])
def test_cores_compute_what_they_should(dtype, bound):
    options = Decode(width=32, heads=2, dtype=dtype)
    for core in (RetentionCore(options, 3, CPU), AttentionCore(options, 3, 50, CPU)):
        for _ in range(2):
            expected = core.expected()
            got = core()
            assert got.numel() == expected.numel()
            torch.testing.assert_close(got.double().reshape(expected.shape), expected, rtol=bound, atol=bound)


def test_a_wrong_core_is_not_timed(monkeypatch):
    monkeypatch.setattr(AttentionCore, "expected", lambda self: torch.zeros(1, 2, 1, 16, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="AttentionCore at length 20 is wrong"):
        cores(Decode(width=32, heads=2), 1, 20, CPU)


def test_networks_agree_and_match_in_size():
    options = Decode(width=32, layers=2, heads=2, lengths=[100])
    networks = Networks(options, CPU)
    networks.check()
    counts = networks.parameters().values()
    assert max(counts) / min(counts) < 1.05
    made = networks.contenders(3, 100)
    assert set(made) == {RETNET, *BASELINES}
    assert made[RETNET].state_bytes == 2 * 3 * 2 * 16 * 32 * 4, "layers B H K V float32"
    assert made[CACHED].state_bytes == 2 * 3 * 2 * 100 * 32 * 4, "layers B (K and V) length width float32"
    assert made[MASKED].share == pytest.approx(12 / 64), "12 passes for the 64 codes that fit into 100 tokens"
    for contender in made.values():
        contender.call()


def test_psnr():
    truth = torch.zeros(2, 1, 4, 4)
    assert psnr(truth + 0.1, truth) == pytest.approx(20)
    assert psnr(truth, truth) == math.inf


@pytest.mark.parametrize(
    "change,words",
    [
        ({"model.width": 100}, "model.width=100 does not split into model.heads=4"),
        ({"decode.heads": 3}, "decode.width=128 does not split"),
        ({"kernel.chunks": [48]}, "a chunk is 16, 32, 64 or 128"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, words):
    config = Config()
    for key, value in change.items():
        where, name = key.split(".")
        setattr(getattr(config, where), name, value)
    with pytest.raises(UserError, match=words):
        config.check()


def test_interpolated_times_do_not_depend_on_where_they_were_measured():
    run = Recorder()
    lengths = [16, 64, 256]
    linear = {name: [3.0 * length for length in lengths] for name in (RETNET, *BASELINES)}
    decode._record_clips("model", 1, lengths, linear, Decode(lengths=[64, 256]), run)
    exact = 3.0 * np.maximum(np.arange(1, 257), 16).sum()
    assert run.cells["clip", "model", 1, 256, CACHED, "clip_seconds"] == pytest.approx(exact)


@pytest.mark.parametrize(("keys", "values"), [(32, 64), (64, 32), (48, 48)])
def test_the_attention_that_is_timed_is_causal_attention_in_a_fused_kernel(keys, values):
    q, k = torch.randn(2, 2, 37, 3, keys, dtype=torch.float64)
    v = torch.randn(2, 37, 3, values, dtype=torch.float64)
    scores = torch.einsum("bihk,bjhk->bhij", q, k) * keys**-0.5
    scores = scores.masked_fill(torch.ones(37, 37).triu(1).bool(), -math.inf)
    expected = torch.einsum("bhij,bjhv->bihv", scores.softmax(-1), v)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        made = attention(q, k, v)
    torch.testing.assert_close(made, expected)
    assert any("flash_attention" in event.key for event in profile.key_averages())
