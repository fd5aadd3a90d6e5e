"""Suite `pareto`: quality, work and measured time of every contender in one run, and who wins at equal time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial

import torch

from effml.experiments.core.measure import Timing, interleave
from effml.experiments.core.run import Run
from effml.experiments.deediff import pictures
from effml.experiments.deediff import train as training
from effml.experiments.deediff.config import Config
from effml.experiments.deediff.contenders import Contender, contenders_of
from effml.experiments.deediff.networks import sampled
from effml.experiments.deediff.quality import Judge, psnr
from effml.models.exits.sampling import FirstBlockCache, Trajectory
from effml.models.uvit import UViT
from effml.models.uvit.cost import cost, until


def pareto(run: Run, config: Config, net: UViT, task: training.Task, judge: Judge, full: Trajectory) -> None:
    """Quality once per contender, then times interleaved; last the first-block cache, whose hooks must come off again."""
    contenders = contenders_of(run, config, net, task)
    done: list[tuple[Contender, Trajectory]] = []
    for contender in run.progress(contenders, "quality"):
        done.append((contender, sampled(run, config, task, contender.network, contender.steps)))
    calls = {_key(c): partial(sampled, run, config, task, c.network, c.steps) for c in contenders}
    timings = _timed(run, config, calls)
    seconds: dict[str, float] = {}
    for contender, trajectory in done:
        timing = timings[_key(contender)]
        _record_point(run, config, net, contender, trajectory, judge, full)
        seconds[_key(contender)] = timing.median / config.sample.images
        if contender.policy != "oracle":  # it looks at the last layer first: its time says nothing
            _record_time(run, config, contender, timing, timings["full -"])
    for threshold in config.policy.caches:
        with closing(FirstBlockCache(net, threshold)) as cache:
            contender = Contender("first-block cache", f"{threshold:g}", cache, config.sample.steps)
            trajectory = sampled(run, config, task, cache)
            timing = _timed(run, config, {"cache": partial(sampled, run, config, task, cache)})["cache"]
        alone = _timed(run, config, {"full": calls["full -"]})["full"]
        _record_point(run, config, net, contender, trajectory, judge, full)
        _record_time(run, config, contender, timing, alone, note="not interleaved: its hooks slow others")
        done.append((contender, trajectory))
        seconds[_key(contender)] = timing.median / config.sample.images
    _equal_time(run, config, done, seconds, judge)
    _depths(run, config, net, [(c, t) for c, t in done if c.policy == "uem"])


def _key(contender: Contender) -> str:
    return f"{contender.policy} {contender.setting}"


def _labels(config: Config, contender: Contender) -> dict[str, str]:
    return {"dataset": config.dataset.name, "policy": contender.policy, "setting": contender.setting}


def _timed(run: Run, config: Config, calls: Mapping[str, Callable[[], Trajectory]]) -> dict[str, Timing]:
    return interleave(calls, rounds=config.sample.rounds, warmup=0, device=run.device, min_seconds=0.0)


def _record_time(
    run: Run, config: Config, contender: Contender, timing: Timing, full: Timing, note: str | None = None
) -> None:
    labels, ratio = _labels(config, contender), timing.speedup_over(full)
    each = timing.median / config.sample.images
    run.record("pareto", labels, "seconds_per_image", each, samples=timing.samples)
    run.record("pareto", labels, "speedup", ratio.median, samples=ratio.samples, note=note)


def _depths(run: Run, config: Config, net: UViT, exited: list[tuple[Contender, Trajectory]]) -> None:
    """At which layer samples left, by time."""
    for contender, trajectory in exited:
        pictures.grid(run.artifact(f"uem-{contender.setting}.png"), trajectory.images)
        for t, layers in zip(trajectory.timesteps, trajectory.layers.float(), strict=True):
            labels = {"dataset": config.dataset.name, "setting": contender.setting, "timestep": t}
            run.record("depth", labels, "exit_layer", float(layers.mean()))
            run.record("depth", labels, "exit_spread", float(layers.std()))
    pictures.depths(run.artifact("exit-depth.png"), [(c.setting, t) for c, t in exited], net.num_exits)


def _record_point(
    run: Run, config: Config, net: UViT, contender: Contender, trajectory: Trajectory, judge: Judge, full: Trajectory
) -> None:
    labels = _labels(config, contender)
    executed = trajectory.layers.float() + 1
    mean = float(executed.mean())
    run.record("pareto", labels, "layers", mean)
    run.record("pareto", labels, "layer_ratio", mean / net.num_exits)
    run.record("pareto", labels, "gmac", gmac(net, trajectory, config.sample.images))
    quality = judge(trajectory.images)
    run.record("pareto", labels, "fd", quality.fd)
    run.record("pareto", labels, "kid", quality.kid)
    run.record("pareto", labels, "psnr", psnr(trajectory.images, full.images) if contender.policy != "full" else None)
    run.record("pareto", labels, "syncs", trajectory.syncs)


def gmac(net: UViT, trajectory: Trajectory, images: int) -> float:
    """10^9 multiply-accumulates per image: executed blocks and skips, heads and uncertainty maps, all rows and steps."""
    counts = torch.bincount(trajectory.layers.flatten(), minlength=net.num_exits).tolist()
    parts = cost(net)
    total = sum(n * until(net, layer, checks=0) for layer, n in enumerate(counts))
    rows = trajectory.layers.numel()
    total += (trajectory.heads - rows) * parts.head + trajectory.checks * parts.uem
    return total / images / 1e9


def _equal_time(
    run: Run,
    config: Config,
    done: list[tuple[Contender, Trajectory]],
    seconds: dict[str, float],
    judge: Judge,
) -> None:
    """For each exit policy, the best that fewer full steps reach in the same time or less."""
    rivals = [(seconds[_key(c)], judge(t.images).fd) for c, t in done if c.policy == "fewer steps"]
    wins = losses = 0
    for contender, trajectory in done:
        if contender.policy in ("full", "fewer steps", "oracle"):
            continue
        labels = _labels(config, contender)
        mine, took = judge(trajectory.images).fd, seconds[_key(contender)]
        within = [fd for rival_seconds, fd in rivals if rival_seconds <= took]
        run.record("equal_time", labels, "seconds_per_image", took)
        run.record("equal_time", labels, "fd", mine)
        if not within:
            run.record("equal_time", labels, "rival_fd", None, note="no rival is as fast")
            continue
        run.record("equal_time", labels, "rival_fd", min(within))
        run.record("equal_time", labels, "advantage", min(within) - mine)
        wins, losses = wins + (min(within) > mine), losses + (min(within) <= mine)
    run.log(
        f"at equal time, fewer full steps beat {losses} of {wins + losses} settings of the exit policies and caches"
    )
