"""Who carries a case out and keeps the time: torch on a real device, a virtual clock for tests, or published rows.

A backend that runs nothing real says so in `evidence`, and every one of its numbers carries that mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch

from effml.errors import MissingRequirement
from effml.experiments.accelerators.cases import Case
from effml.experiments.core import measure
from effml.experiments.core.measure import Timing

WARM_TOO = {"gemm", "bmm", "conv2d"}
"""Operators that are bound by compute once their operands lie in a cache: timed there as well."""


@dataclass(frozen=True)
class Outcome:
    """One provider on one case: a time, or the reason why there is none; `warm` beside it where caches were swept."""

    provider: str
    timing: Timing | None
    error: str = ""
    scaled_error: float | None = None
    warm: Timing | None = None


class Backend(Protocol):
    """What the experiment needs of a device."""

    name: str
    evidence: str

    def dtypes(self) -> list[str]:
        """The dtypes that this device computes in."""

    def run(self, case: Case, generator: torch.Generator, rounds: int, *, cold: bool) -> list[Outcome]:
        """Check every provider of a case against its oracle, then time the right ones, interleaved."""


class Torch:
    """A device that torch knows: CPU, CUDA, ROCm, XPU, MPS."""

    evidence = "measured"

    def __init__(self, device: torch.device, name: str) -> None:
        self.device, self.name = device, name

    def dtypes(self) -> list[str]:
        found = ["fp32", "bf16"]
        if self.device.type != "cpu":
            found += ["fp16"]
        if self.device.type == "cuda":
            found += ["tf32"]
        if self.device.type != "mps":
            found += ["fp64"]
        return found

    def run(self, case: Case, generator: torch.Generator, rounds: int, *, cold: bool) -> list[Outcome]:
        if self.device.type == "cuda":
            # Explicit on both sides: a baseline in TF32 against a method in fp32 is no comparison.
            torch.backends.cuda.matmul.allow_tf32 = case.dtype == "tf32"
            torch.backends.cudnn.allow_tf32 = case.dtype == "tf32"
        try:
            inputs = case.build(self.device, generator)
            reference = self._oracle(case, inputs)
        except (RuntimeError, NotImplementedError) as error:
            return [Outcome(provider, None, _reason(error)) for provider in case.providers]
        outcomes, right = [], {}
        for provider, call in case.providers.items():
            try:
                off = measure.scaled_error(call(*inputs).detach().cpu(), reference)
            except (RuntimeError, NotImplementedError, MissingRequirement) as failure:
                outcomes.append(Outcome(provider, None, _reason(failure)))
                continue
            if off > case.tolerance:
                why = f"wrong result: scaled error {off:.2g} above {case.tolerance:.2g}"
                outcomes.append(Outcome(provider, None, why, off))
                continue
            right[provider] = lambda call=call: call(*inputs)
            outcomes.append(Outcome(provider, None, "", off))
        if not right:
            return outcomes
        again = cold and self.device.type == "cpu" and case.op in WARM_TOO
        with _no_deterministic_penalty():
            timings = measure.interleave(right, rounds=rounds, device=self.device, cold=cold)
            warm = measure.interleave(right, rounds=rounds, device=self.device) if again else {}
        return [replace(o, timing=timings.get(o.provider), warm=warm.get(o.provider)) for o in outcomes]

    def _oracle(self, case: Case, inputs: tuple[Any, ...]) -> torch.Tensor:
        """The right result in float64 on the CPU (or by the first provider where an operator has no such form)."""
        if case.oracle is None:
            return next(iter(case.providers.values()))(*inputs).detach().cpu()
        return case.oracle(*(_double(item) for item in inputs)).detach()


@dataclass
class Fake:
    """A device with a virtual clock: a case takes exactly as long as the roofline of its planted peaks says."""

    peak: dict[str, float] = field(default_factory=lambda: {"fp32": 1e12, "bf16": 4e12, "fp64": 0.5e12})
    bandwidth: float = 1e11
    faulty: tuple[str, ...] = ()
    """Operators whose result is planted wrong."""
    name: str = "fake (virtual clock)"
    evidence: str = "simulated"

    def dtypes(self) -> list[str]:
        return list(self.peak)

    def run(self, case: Case, generator: torch.Generator, rounds: int, *, cold: bool) -> list[Outcome]:
        provider = next(iter(case.providers))
        if case.op in self.faulty:
            return [Outcome(provider, None, "wrong result: planted", 1.0)]
        seconds = max(case.flops / self.peak[case.dtype], case.nbytes / self.bandwidth)
        return [Outcome(provider, Timing([seconds] * rounds, [seconds] * rounds), "", 0.0)]


class Replay:
    """Serves published measurements instead of running anything; every row is marked as published."""

    name, evidence = "replay (published rows)", "paper"

    def dtypes(self) -> list[str]:
        return ["fp32"]

    def run(self, case: Case, generator: torch.Generator, rounds: int, *, cold: bool) -> list[Outcome]:
        return []


def choose(device: Any, description: Mapping[str, Any]) -> Backend:
    """The backend for a run's device: a plug-in's object is one already."""
    if isinstance(device, torch.device):
        return Torch(device, str(description["name"]))
    return device


def fake() -> Fake:
    """Device plug-in `fake`."""
    return Fake()


def replay() -> Replay:
    """Device plug-in `replay`."""
    return Replay()


def ipu() -> Backend:
    """Device plug-in `ipu`: Graphcore's toolchain compiles whole modules and is tied to old torch releases."""
    raise MissingRequirement(
        "the device plug-in 'ipu' needs Graphcore's Poplar SDK 3.3 with poptorch, which is tied to torch 2.0, and an IPU; "
        "run effml in that environment with a plug-in registered under the entry point group effml.devices"
    )


def rdu() -> Backend:
    """Device plug-in `rdu`: SambaNova's compiler is not public."""
    raise MissingRequirement(
        "the device plug-in 'rdu' needs SambaNova's SambaFlow, which is not public, and an RDU; register a plug-in of that "
        "environment under the entry point group effml.devices, or see published rows with --device replay"
    )


def _double(item: Any) -> Any:
    """The same input in float64 on the CPU."""
    if isinstance(item, torch.Tensor):
        return item.detach().cpu().double()
    if isinstance(item, torch.nn.Module):
        import copy

        return copy.deepcopy(item).cpu().double()
    return item


def _reason(error: BaseException) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"{type(error).__name__}: {first}"[:160]


class _no_deterministic_penalty:
    """Deterministic mode may swap kernels and fill memory; speed is measured as a user would run it."""

    def __enter__(self) -> None:
        self._before = (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )
        torch.use_deterministic_algorithms(False)

    def __exit__(self, *exc: object) -> None:
        torch.use_deterministic_algorithms(self._before[0], warn_only=self._before[1])
