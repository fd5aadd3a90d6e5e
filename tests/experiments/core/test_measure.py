"""The timer tells the time, the ratio survives a machine in a mood, and saved bytes are counted once."""

import time

import pytest
import torch

from effml.experiments.core.measure import Timing, copy_bandwidth, interleave, saved_tensors, scaled_error


def test_timer_is_within_five_per_cent_of_a_sleep():
    slept = []

    def sleep():  # a busy machine oversleeps, so each sleep is calibrated by its own clock
        began = time.monotonic_ns()
        time.sleep(0.02)
        slept.append((time.monotonic_ns() - began) / 1e9)

    timing = interleave({"sleep": sleep}, rounds=7, warmup=1, min_seconds=0)["sleep"]
    assert timing.samples == pytest.approx(slept[-7:], rel=0.05)
    assert sum(timing.cpu_samples) < sum(timing.samples) * 0.5


def test_rounds_are_interleaved_and_a_short_call_follows_itself():
    calls = []
    interleave({name: lambda name=name: calls.append(name) for name in "abc"}, rounds=6, warmup=0, min_seconds=0)
    timed = "".join(calls[3:])  # each twice: the first, which wakes the threads, is not timed
    assert [timed[i : i + 6] for i in range(0, 36, 6)] == [*["aabbcc", "bbccaa", "ccaabb"] * 2]


def test_a_short_call_is_not_charged_for_what_ran_before():
    warm = []

    def short():  # as after threads fell asleep: slow unless it ran just before
        time.sleep(0.001 if warm else 0.015)
        warm.append(True)

    def serial():
        time.sleep(0.001)
        warm.clear()

    timings = interleave({"serial": serial, "short": short}, rounds=5, min_seconds=0)
    assert max(timings["short"].samples) < 0.01


def test_ratio_is_taken_per_round():
    moody = [1.0, 3.0, 0.5, 10.0, 2.0]
    ratio = Timing([2 * m for m in moody]).ratio(Timing(moody))
    assert ratio.median == ratio.low == ratio.high == 2.0
    assert Timing(moody).speedup_over(Timing([2 * m for m in moody])).median == 2.0


def test_noise_is_flagged():
    assert not Timing([1.0, 1.01, 0.99, 1.0, 1.0]).noisy
    assert Timing([1.0, 2.0, 0.5, 1.0, 3.0]).noisy and Timing([1.0]).noisy


def test_scaled_error_sees_nan_and_shape():
    x = torch.randn(4, 4)
    assert scaled_error(x, x) == 0.0
    assert scaled_error(x + x.abs().max() * 1e-3, x) == pytest.approx(1e-3, rel=1e-2)
    assert scaled_error(torch.full_like(x, float("nan")), x) == float("inf")
    assert scaled_error(x[:2], x) == float("inf")


def test_saved_bytes_count_each_storage_once_and_no_parameter():
    x, weight = torch.randn(10, 10, requires_grad=True), torch.randn(10, 10, requires_grad=True)
    with saved_tensors(weight) as saved:
        y = x @ weight  # keeps x and weight
        z = y * y  # keeps y once
        (z + x.exp()).sum()  # keeps exp(x)
    assert saved.bytes == 3 * 400


def test_copy_bandwidth_is_plausible():
    assert 1e9 < copy_bandwidth(nbytes=32 * 1024**2, rounds=3) < 1e13
