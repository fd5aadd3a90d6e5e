"""Time and memory of generation against length, for every contender, and where 9.17x holds.

On a GPU every contender is captured in a CUDA graph, since the launches of a small model's step would otherwise hide all
difference between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from effml.experiments.core import memory
from effml.experiments.core.measure import Timing, copy_bandwidth, interleave
from effml.experiments.core.run import Run
from effml.experiments.flashvideo import clock
from effml.experiments.flashvideo.config import Config, Decode
from effml.experiments.flashvideo.contenders import BASELINES, DTYPES, MASKED, RETNET, Contender, Networks, cores

PAPER = 9.17  # arXiv 2401.00869, abstract
SHORT = 16  # tokens: where the curve of a clip's time begins
# A sample is this long, however short a step: generation takes one step after another with its state in the caches, and
# a few steps right after a contender that swept them would mostly measure how they are filled again.
SAMPLE_SECONDS = 0.05


def measure(config: Config, run: Run) -> None:
    options, device = config.decode, run.device
    _check_memory(options, device)
    with clock.threads(config.threads, device):
        torch.manual_seed(run.generator("decode").initial_seed())
        roof = _roof(options, device)
        networks = Networks(options, device)
        networks.check()
        run.log("parameters: " + ", ".join(f"{name} {count:,}" for name, count in networks.parameters().items()))
        parts: dict[str, Callable[[int, int], dict[str, Contender]]] = {
            "core": lambda batch, length: cores(options, batch, length, device),
            "model": networks.contenders,
        }
        lengths = sorted({SHORT, *options.lengths})
        for part, contenders in parts.items():
            for batch in options.batches:
                times: dict[str, list[float]] = {}
                for length in run.progress(lengths, f"{part}, batch {batch}"):
                    made = contenders(batch, length)
                    timings = _time(made, options, device)
                    for name, contender in made.items():
                        times.setdefault(name, []).append(clock.seconds(timings[name], device) * contender.share)
                    if length in options.lengths:
                        _record_point(part, batch, length, made, timings, roof, run)
                _record_clips(part, batch, lengths, times, options, run)


def _time(made: Mapping[str, Contender], options: Decode, device: torch.device) -> dict[str, Timing]:
    calls = {name: _graphed(contender.call, device) for name, contender in made.items()}
    return interleave(calls, rounds=options.rounds, device=device, min_seconds=SAMPLE_SECONDS)


def _graphed(call: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """On CUDA the call as one graph launch; elsewhere the call itself."""
    if device.type != "cuda":
        return call
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def _record_point(
    part: str,
    batch: int,
    length: int,
    made: Mapping[str, Contender],
    timings: Mapping[str, Timing],
    roof: Any,
    run: Run,
) -> None:
    place: dict[str, Any] = {"part": part, "batch": batch, "length": length}
    ours, theirs = made[RETNET], clock.samples(timings[RETNET], run.device)
    for name, contender in made.items():
        samples = [sample * contender.share for sample in clock.samples(timings[name], run.device)]
        cell: dict[str, Any] = {**place, "provider": name}
        run.record("decode", cell, "token_seconds", float(np.median(samples)), samples=samples, evidence="measured")
        if part == "model":
            kept: dict[str, Any] = {"batch": batch, "length": length, "provider": name}
            run.record("memory", kept, "state_bytes", contender.state_bytes, evidence="measured")
        if name != RETNET:
            ratios = [mine / other for mine, other in zip(samples, theirs, strict=True)]
            cell = {**place, "baseline": name}
            run.record("speedup", cell, "speedup", float(np.median(ratios)), samples=ratios, evidence="measured")
            bound = roof(contender) * contender.share / roof(ours)
            run.record("speedup", cell, "at_roofs", bound, evidence="measured")


def _record_clips(
    part: str, batch: int, lengths: list[int], times: dict[str, list[float]], options: Decode, run: Run
) -> None:
    """Whole clips, from the times of single tokens; where a clip takes 9.17 times as long without retention."""
    tokens = np.arange(1, max(lengths) + 1)
    clips: dict[str, np.ndarray] = {}
    for name, seconds in times.items():
        each = np.interp(tokens, lengths, seconds)
        # Left to right each token comes at its own length; masked, all tokens are made at the clip's full length.
        clips[name] = each * tokens if name == MASKED else np.cumsum(each)
        for length in options.lengths:
            place: dict[str, Any] = {"part": part, "batch": batch, "length": length, "provider": name}
            run.record("clip", place, "clip_seconds", float(clips[name][length - 1]), evidence="measured")
    first, last = lengths.index(min(options.lengths)), lengths.index(max(options.lengths))
    for name in (RETNET, *BASELINES):
        cell: dict[str, Any] = {"baseline": name, "part": part, "batch": batch}
        ratio = clips[name] / clips[RETNET]
        if name != RETNET:
            run.record("headline", cell, "speedup", float(ratio[-1]), evidence="measured")
            over = np.nonzero(ratio >= PAPER)[0]
            note = None if len(over) else f"below {PAPER} up to {max(lengths)} tokens"
            value = int(tokens[over[0]]) if len(over) else None
            run.record("headline", cell, "crossing", value, evidence="measured", note=note)
        run.record("headline", cell, "growth", times[name][last] / times[name][first], evidence="measured")


def _roof(options: Decode, device: torch.device) -> Callable[[Contender], float]:
    """Least seconds of a call at this run's measured arithmetic and memory rates."""
    dtype = DTYPES[options.dtype]
    n = 1024 if device.type == "cpu" else 8192
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    timing = interleave({"product": lambda: a @ b}, rounds=5, device=device)["product"]
    flops = 2.0 * n**3 / min(clock.samples(timing, device))
    bandwidth = copy_bandwidth(device)
    return lambda contender: max(contender.flops / flops, contender.nbytes / bandwidth)


def _check_memory(options: Decode, device: torch.device) -> None:
    length, batch, size = max(options.lengths), max(options.batches), DTYPES[options.dtype].itemsize
    cache = 2 * size * batch * length * options.width * options.layers
    activations = batch * length * (24 * options.width * size + 8 * 1024)
    memory.require(
        cache + activations, device, f"decode.lengths of {length:,} at decode.batches of {batch:,} for the transformer",
        "ask for shorter lengths or smaller batches (RetNet alone would go on: its state does not grow)",
    )  # fmt: skip
