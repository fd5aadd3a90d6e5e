"""The clock of the timed suites: process time on a fixed number of CPU threads, elapsed time on an accelerator.

Process time is blind to neighbours that take the processor away, which elapsed time on a shared machine is not.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from effml.experiments.core.measure import Timing


def samples(timing: Timing, device: torch.device) -> list[float]:
    """Seconds per call, one sample a round."""
    return timing.cpu_samples if device.type == "cpu" else timing.samples


def seconds(timing: Timing, device: torch.device) -> float:
    """Their median."""
    return statistics.median(samples(timing, device))


def ratios(baseline: Timing, ours: Timing, device: torch.device) -> list[float]:
    """Baseline time over ours, round by round."""
    return [theirs / mine for theirs, mine in zip(samples(baseline, device), samples(ours, device), strict=True)]


@contextmanager
def threads(count: int, device: torch.device) -> Iterator[None]:
    """At most `count` threads on a CPU, and as before afterwards."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
