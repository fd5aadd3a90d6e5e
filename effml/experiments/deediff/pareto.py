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
from effml.experiments.deediff.quality import Judge, Quality, psnr
from effml.models.exits.sampling import FirstBlockCache, Full, Trajectory
from effml.models.uvit import UViT
from effml.models.uvit.cost import cost, until

RIVALS = ("full", "fewer steps")  # a setting slower than the full model has that to beat, too


def pareto(run: Run, config: Config, net: UViT, task: training.Task, judge: Judge, full: Trajectory) -> None:
    """Quality of each contender's first images, times interleaved; last the first-block cache, whose hooks slow others."""
    contenders = contenders_of(run, config, net, task)
    first: dict[str, Trajectory] = {}
    ticks = iter(run.progress(range((config.sample.rounds + 1) * len(contenders)), "sampling"))

    def once(contender: Contender) -> None:
        next(ticks, None)
        made = sampled(run, config, task, contender.network, contender.steps)
        first.setdefault(_key(contender), made)

    # The oracle looks at the last layer first: its time says nothing.
    timings = _timed(run, config, {_key(c): partial(once, c) for c in contenders if c.policy != "oracle"})
    for contender in contenders:
        if contender.policy == "oracle":
            once(contender)
    done = [(contender, first[_key(contender)]) for contender in contenders]
    seconds = {key: timing.median / config.sample.images for key, timing in timings.items()}
    images = config.sample.images
    distance: dict[str, float] = {}
    for contender, trajectory in done:
        labels = _labels(task, contender)
        distance[_key(contender)] = _record_point(run, net, labels, trajectory, judge(trajectory.images))
        if contender.policy != "full":
            run.record("pareto", labels, "psnr", psnr(trajectory.images, full.images))
        if _key(contender) in timings:
            _record_time(run, labels, timings[_key(contender)], timings["full -"], images)
    for threshold in config.policy.caches:
        with closing(FirstBlockCache(net, threshold)) as cache:
            contender = Contender("first-block cache", f"{threshold:g}", cache, config.sample.steps)
            trajectory = sampled(run, config, task, cache)
            timing = _timed(run, config, {"cache": partial(sampled, run, config, task, cache)})["cache"]
        alone = _timed(run, config, {"full": partial(sampled, run, config, task, Full(net))})["full"]
        labels = _labels(task, contender)
        distance[_key(contender)] = _record_point(run, net, labels, trajectory, judge(trajectory.images))
        run.record("pareto", labels, "psnr", psnr(trajectory.images, full.images))
        _record_time(run, labels, timing, alone, images, note="not interleaved: its hooks slow others")
        done.append((contender, trajectory))
        seconds[_key(contender)] = timing.median / images
    equal_time(run, task, [(c, seconds[_key(c)], distance[_key(c)]) for c, _ in done if _key(c) in seconds])
    _depths(run, net, task, [(c, t) for c, t in done if c.policy == "uem"])


def _key(contender: Contender) -> str:
    return f"{contender.policy} {contender.setting}"


def _labels(task: training.Task, contender: Contender) -> dict[str, str]:
    return {"dataset": task.name, "policy": contender.policy, "setting": contender.setting}


def _timed(run: Run, config: Config, calls: Mapping[str, Callable[[], object]]) -> dict[str, Timing]:
    return interleave(calls, rounds=config.sample.rounds, warmup=0, device=run.device, min_seconds=0.0)


def _record_time(
    run: Run, labels: dict[str, str], timing: Timing, full: Timing, images: int, note: str | None = None
) -> None:
    ratio = timing.speedup_over(full)
    run.record("pareto", labels, "seconds_per_image", timing.median / images, samples=timing.samples)
    run.record("pareto", labels, "speedup", ratio.median, samples=ratio.samples, note=note)


def _record_point(run: Run, net: UViT, labels: dict[str, str], trajectory: Trajectory, quality: Quality) -> float:
    """Everything about one setting but its time; returns its distance to the real images."""
    mean = float((trajectory.layers.float() + 1).mean())
    run.record("pareto", labels, "layers", mean)
    run.record("pareto", labels, "layer_ratio", mean / net.num_exits)
    run.record("pareto", labels, "gmac", gmac(net, trajectory, len(trajectory.images)))
    run.record("pareto", labels, "fd", quality.fd)
    run.record("pareto", labels, "kid", quality.kid)
    run.record("pareto", labels, "syncs", trajectory.syncs)
    return quality.fd


def _depths(run: Run, net: UViT, task: training.Task, exited: list[tuple[Contender, Trajectory]]) -> None:
    """At which layer samples left, by time."""
    for contender, trajectory in exited:
        pictures.grid(run.artifact(f"uem-{contender.setting}.png"), trajectory.images)
        for t, layers in zip(trajectory.timesteps, trajectory.layers.float(), strict=True):
            labels = {"dataset": task.name, "setting": contender.setting, "timestep": t}
            run.record("depth", labels, "exit_layer", float(layers.mean()))
            run.record("depth", labels, "exit_spread", float(layers.std()))
    pictures.depths(run.artifact("exit-depth.png"), [(c.setting, t) for c, t in exited], net.num_exits)


def gmac(net: UViT, trajectory: Trajectory, images: int) -> float:
    """10^9 multiply-accumulates per image: executed blocks and skips, heads and uncertainty maps, all rows and steps."""
    counts = torch.bincount(trajectory.layers.flatten(), minlength=net.num_exits).tolist()
    parts = cost(net)
    total = sum(n * until(net, layer, checks=0) for layer, n in enumerate(counts))
    rows = trajectory.layers.numel()
    total += (trajectory.heads - rows) * parts.head + trajectory.checks * parts.uem
    return total / images / 1e9


def equal_time(run: Run, task: training.Task, points: list[tuple[Contender, float, float]]) -> None:
    """For each exit policy and cache, the best that full steps, fewer or all, reach in the same time or less; and who wins.

    Args:
        points: contender, seconds an image, distance to the real images.
    """
    rivals = [(seconds, fd) for contender, seconds, fd in points if contender.policy in RIVALS]
    found: dict[str, list[float]] = {}
    for contender, seconds, fd in points:
        if contender.policy in RIVALS:
            continue
        labels = _labels(task, contender)
        within = [rival_fd for rival_seconds, rival_fd in rivals if rival_seconds <= seconds]
        run.record("equal_time", labels, "seconds_per_image", seconds)
        run.record("equal_time", labels, "fd", fd)
        advantages = found.setdefault(contender.policy, [])
        if not within:
            run.record("equal_time", labels, "rival_fd", None, note="no rival is as fast")
            continue
        run.record("equal_time", labels, "rival_fd", min(within))
        run.record("equal_time", labels, "advantage", min(within) - fd)
        advantages.append(min(within) - fd)
    for policy, advantages in found.items():
        labels = {"dataset": task.name, "policy": policy}
        run.record("winners", labels, "compared", len(advantages))
        run.record("winners", labels, "won", sum(advantage > 0 for advantage in advantages))
        run.record("winners", labels, "best", max(advantages, default=None))
    every = [advantage for advantages in found.values() for advantage in advantages]
    lost = sum(advantage <= 0 for advantage in every)
    alone = len(points) - len(rivals) - len(every)
    told = f"; {alone} more are faster than any" if alone else ""
    run.log(
        f"at equal time, full steps beat or equal {lost} of {len(every)} settings of the exit policies and caches{told}"
    )
