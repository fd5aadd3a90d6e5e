"""The most memory that one training step takes over what stood before it.

On a CPU a fresh process measures it: an allocator that has worked before hands out memory which it never gave back, and
then shows nothing. The kernel is asked for the high-water mark of the resident set, reset just before the step
(`/proc/self/clear_refs`, Linux). On CUDA the caching allocator counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from effml.experiments.core.run import Run
from effml.experiments.revsnn.config import Config, Memory, Neuron

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
LIMIT = 600  # seconds


def peak_bytes(case: dict[str, Any], config: Config, run: Run) -> float | None:
    """Bytes of the step that `case` names ("what" is network or long), or None, with the reason in the log."""
    if run.device.type == "cuda":
        return _on_cuda(*step_of(case, config, run.device), run.device)
    if run.device.type != "cpu" or not CLEAR.exists():
        run.log(f"the peak is measured on Linux and on CUDA, not on {run.device.type} here")
        return None
    told = {"case": case, "neuron": asdict(config.neuron), "memory": asdict(config.memory), "seed": run.seed}
    # Blocks above 64 KiB go straight to and from the kernel, so that what is freed leaves the resident set.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    ended = subprocess.run(
        [sys.executable, "-m", "effml.experiments.revsnn.peak"], input=json.dumps(told), env=environment,
        capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        run.log(f"the peak of {case['kept']} could not be measured: {last}")
        return None
    return float(ended.stdout.split()[-1])


def step_of(case: dict[str, Any], config: Config, device: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A small step, which loads what is loaded once, and the step itself."""
    from effml.experiments.revsnn import memory, sequences
    from effml.experiments.revsnn.contenders import quietly

    if case["what"] == "long":
        return tuple(sequences.step_of(case["kept"], steps, config, device) for steps in (4, case["steps"]))  # type: ignore[return-value]

    def step(steps: int) -> Callable[[], None]:
        net, x = memory.made(case["kept"], steps, config, config.memory.peak_batch, device)
        return lambda: quietly(net, x).square().sum().backward()

    return step(2), step(case["steps"])


def _on_cuda(small: Callable[[], Any], step: Callable[[], Any], device: Any) -> float:
    import torch

    small()
    step()  # gradients of parameters stand from here on
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return float(torch.cuda.max_memory_allocated(device) - before)


def main() -> None:
    """Measure one case told on standard input, and print the bytes."""
    import torch

    told = json.loads(sys.stdin.read())
    config = Config(neuron=Neuron(**told["neuron"]), memory=Memory(**told["memory"]))
    torch.manual_seed(told["seed"])
    small, step = step_of(told["case"], config, torch.device("cpu"))
    small()
    CLEAR.write_text("5")
    before = _status("VmRSS")
    step()
    print(_status("VmHWM") - before)


def _status(field: str) -> int:
    """A field of the process's status, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main()
