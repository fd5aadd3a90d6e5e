"""Joules of a stretch of work, where the machine has a meter that may be read: NVML on NVIDIA GPUs, RAPL on CPUs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

RAPL = Path("/sys/class/powercap")
STRETCH = 1.0  # seconds of repeated work; meters tick in milliseconds


def meter(device: torch.device) -> Callable[[], float] | None:
    """A function that reads joules used so far, or None where nothing can be read."""
    return _nvml(device) if device.type == "cuda" else _rapl() if device.type == "cpu" else None


def _rapl() -> Callable[[], float] | None:
    files = [path / "energy_uj" for path in RAPL.glob("intel-rapl:?") if path.is_dir()]
    try:
        for file in files:
            file.read_text()
    except OSError:
        return None
    return (lambda: sum(int(file.read_text()) for file in files) / 1e6) if files else None


def _nvml(device: torch.device) -> Callable[[], float] | None:
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(device.index or 0)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # the package is absent, or the driver does not count energy
        return None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3


def joules(call: Callable[[], Any], device: torch.device, seconds_each: float) -> float | None:
    """Joules per call over about a second of calls; None without a meter."""
    read = meter(device)
    if read is None:
        return None
    count = max(3, round(STRETCH / max(seconds_each, 1e-6)))
    before, began = read(), time.monotonic()
    for _ in range(count):
        call()
    if device.type != "cpu":
        torch.accelerator.synchronize()
    used = read() - before
    # A counter that wrapped or did not tick tells nothing.
    return used / count if used > 0 and time.monotonic() - began > STRETCH / 4 else None
