"""Timing and memory as the tables need them: method and baselines interleaved in one process, raw samples kept.

What is reported is the median of per-round ratios, because the machine's mood moves whole rounds and not their ratios.
Knows nothing of what it times. Check a result against its reference (`scaled_error`) before timing it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from effml.kernels import pages

LONG = 0.02  # seconds of a call to which caches and sleeping threads make no difference; memory that lay idle does
_TOUCHED = 512 * 1024**2
NOISY = 0.15  # relative interquartile range above which a timing is called noisy


@dataclass(frozen=True)
class Ratio:
    """Median of per-round ratios with its quartiles."""

    median: float
    low: float
    high: float
    samples: list[float]


@dataclass
class Timing:
    """Seconds per call of one provider, one sample per round; `cpu_samples` is process time (all threads) per call."""

    samples: list[float] = field(default_factory=list)
    cpu_samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def noisy(self) -> bool:
        """Whether the spread of the rounds is too wide to trust a difference of a few per cent."""
        if len(self.samples) < 4:
            return True
        low, _, high = statistics.quantiles(self.samples, n=4)
        return (high - low) / self.median > NOISY

    def ratio(self, other: Timing) -> Ratio:
        """This time over the other's, round by round."""
        ratios = [mine / theirs for mine, theirs in zip(self.samples, other.samples, strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
        return Ratio(statistics.median(ratios) if len(ratios) > 1 else median, low, high, ratios)

    def speedup_over(self, baseline: Timing) -> Ratio:
        """Baseline time over this time: above 1 means that this one is faster."""
        return baseline.ratio(self)


def interleave(
    providers: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = 9,
    warmup: int = 2,
    device: torch.device | str = "cpu",
    cold: bool = False,
    min_seconds: float = 2e-3,
) -> dict[str, Timing]:
    """Time every provider once per round, in rotating order.

    Args:
        providers: name -> a call without arguments; its result is dropped.
        rounds: samples per provider.
        warmup: untimed calls of each provider (compilation, allocator, caches).
        device: where the work runs; CUDA is timed by events, with the L2 cache flushed before every call.
        cold: on CPU, sweep the last-level cache before each sample (one call a sample then).
        min_seconds: short calls are repeated within a sample to last at least this long.

    Returns:
        One `Timing` per provider; sample i of each was taken in round i.
    """
    device = torch.device(device)
    for call in providers.values():
        for _ in range(warmup):
            call()
    synchronize(device)
    timer = _cuda_sample if device.type == "cuda" else _cold_sample if cold else _host_sample
    seconds = {name: _once(call, device) for name, call in providers.items()}
    repeats = {name: 1 if cold else _repeats(took, min_seconds) for name, took in seconds.items()}
    timings = {name: Timing() for name in providers}
    order = list(providers)
    for index in range(rounds):
        turn = index % len(order)
        for name in order[turn:] + order[:turn]:
            if device.type == "cpu" and not cold:
                _settle(providers[name], seconds[name])
            wall, cpu = timer(providers[name], repeats[name], device)
            timings[name].samples.append(wall)
            timings[name].cpu_samples.append(cpu)
    return timings


def synchronize(device: torch.device) -> None:
    """Wait for all work queued on an accelerator; nothing on CPU."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def _once(call: Callable[[], Any], device: torch.device) -> float:
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


def _repeats(seconds: float, min_seconds: float) -> int:
    return max(1, min(1000, round(min_seconds / max(seconds, 1e-7))))


def _settle(call: Callable[[], Any], seconds: float) -> None:
    """Make the next sample one of a call among its like, whatever ran before it.

    A short call runs once untimed. torch's threads fall asleep some milliseconds after their last work, and a virtual
    machine may take 7 ms to wake them: whoever came after a provider of one thread paid for it.
    """
    if seconds > LONG:
        _touch_free_pages()
    else:
        call()


def _touch_free_pages() -> None:
    """Fault in and free half a gigabyte, so that no provider is charged for memory that lay idle.

    The host of a virtual machine takes back pages that were free for two seconds; faulting them in again costs several
    times what an ordinary fault does, and whoever ran after a slow provider paid for it: up to 0.25 s for 200 MB.
    """
    pages.empty(_TOUCHED, dtype=torch.int8).zero_()


def _host_sample(call: Callable[[], Any], repeats: int, device: torch.device) -> tuple[float, float]:
    synchronize(device)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        call()
    synchronize(device)
    return (time.perf_counter() - wall) / repeats, (time.process_time() - cpu) / repeats


def _cold_sample(call: Callable[[], Any], repeats: int, device: torch.device) -> tuple[float, float]:
    _cache_sweeper().add_(1.0)
    return _host_sample(call, repeats, device)


@cache
def _cache_sweeper() -> Tensor:
    """A buffer four times the last-level cache: touching it leaves nothing of the operands behind.

    A cache of hundreds of megabytes, of which a virtual machine sees the whole, is swept a little more than once.
    """
    sizes = [0]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text[:-1]) * {"K": 1024, "M": 1024**2}.get(text[-1], 1))
    last = max(sizes) or 32 * 1024**2
    return torch.zeros(min(4 * last, max(5 * last // 4, 256 * 1024**2)) // 4)


def _cuda_sample(call: Callable[[], Any], repeats: int, device: torch.device) -> tuple[float, float]:
    flusher = _l2_flusher(device)
    begin = [torch.cuda.Event(enable_timing=True) for _ in range(repeats)]
    end = [torch.cuda.Event(enable_timing=True) for _ in range(repeats)]
    for index in range(repeats):
        flusher.zero_()
        begin[index].record()
        call()
        end[index].record()
    torch.cuda.synchronize(device)
    wall = statistics.median(start.elapsed_time(stop) for start, stop in zip(begin, end, strict=True)) / 1e3
    return wall, wall


@cache
def _l2_flusher(device: torch.device) -> Tensor:
    size = 2 * torch.cuda.get_device_properties(device).L2_cache_size
    return torch.empty(size, dtype=torch.int8, device=device)


def scaled_error(actual: Tensor, reference: Tensor, scale: Tensor | float | None = None) -> float:
    """Largest |actual - reference| over `scale` (default: the largest |reference|); inf when NaN or shapes differ.

    For sums of products the honest scale is the same sum over absolute values.
    """
    if actual.shape != reference.shape:
        return float("inf")
    if actual.numel() == 0:
        return 0.0
    difference = (actual.double() - reference.double()).abs()
    if scale is None:
        scale = reference.double().abs().max().clamp_min(1e-300)
    error = (difference / scale).max().item()
    return error if error == error else float("inf")


class SavedTensors:
    """Bytes that autograd keeps for backward: distinct storages, parameters and given tensors not counted."""

    def __init__(self) -> None:
        self._bytes: dict[int, int] = {}
        self._kept: list[Tensor] = []

    @property
    def bytes(self) -> int:
        return sum(self._bytes.values())

    def without(self, *tensors: Tensor) -> int:
        """The bytes less those of these tensors, which must still be alive: what is kept besides an output, say."""
        given = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        return sum(nbytes for pointer, nbytes in self._bytes.items() if pointer not in given)


@contextmanager
def saved_tensors(*exclude: Tensor) -> Iterator[SavedTensors]:
    """Count what autograd saves inside the block: `with saved_tensors(*module.parameters()) as saved: loss = f(x)`."""
    saved = SavedTensors()
    outside = {tensor.untyped_storage().data_ptr() for tensor in exclude}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in outside and storage.nbytes():
            saved._bytes[storage.data_ptr()] = storage.nbytes()
            saved._kept.append(tensor.detach())  # alive until the end, so that no address is counted for two tensors
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved
    saved._kept.clear()


def copy_bandwidth(device: torch.device | str = "cpu", nbytes: int = 256 * 1024**2, rounds: int = 7) -> float:
    """Measured bytes per second of a large copy (read plus write counted): the memory roof of this run."""
    device = torch.device(device)
    source = torch.rand(nbytes // 4, device=device)
    target = torch.empty_like(source)
    timing = interleave({"copy": lambda: target.copy_(source)}, rounds=rounds, device=device)["copy"]
    return 2 * nbytes / min(timing.samples)


def read_bandwidth(device: torch.device | str = "cpu", nbytes: int = 256 * 1024**2, rounds: int = 7) -> float:
    """Measured bytes per second of a large sum (reads only): the roof of a kernel that mostly gathers."""
    device = torch.device(device)
    source = torch.rand(nbytes // 4, device=device)
    timing = interleave({"sum": lambda: source.sum()}, rounds=rounds, device=device)["sum"]
    return nbytes / min(timing.samples)


def roof_share(nbytes: float, bandwidth: float, timing: Timing) -> float:
    """Share of the memory roofline: the time in which `nbytes` cross at `bandwidth` (bytes per second), over the median.

    Count each operand once, for that is the least that any method moves. Above 1 the caches held the operands.
    """
    return nbytes / bandwidth / timing.median
