"""Where the runs of a sweep are carried out. Every engine launches the same single-run command in a process of its own."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from effml.errors import UserError
from effml.experiments.core.options import unknown

NAMES = ("local", "slurm", "ray")


@dataclass(frozen=True)
class Task:
    """One run to launch: its words for `effml run`, its folder, the results root, and variables for its environment."""

    words: list[str]
    folder: Path
    results: Path
    environment: dict[str, str] = field(default_factory=dict)
    keep_open: tuple[int, ...] = ()
    """File descriptors (locks) that the child must hold as long as it lives; engines on other machines ignore them."""

    def command(self) -> list[str]:
        places = ["--results", str(self.results.absolute()), "--folder", str(self.folder.absolute())]
        return [sys.executable, "-m", "effml", "run", *self.words, *places, "--json"]


class Engine(Protocol):
    """The three things that an engine does."""

    def submit(self, task: Task) -> Any:
        """Start a run; returns a handle."""

    def poll(self, handle: Any) -> int | None:
        """Exit code of a finished run (negative: the signal that killed it), None while it goes on."""

    def cancel(self, handle: Any, *, force: bool = False) -> None:
        """Ask a run to stop and write what it has (SIGTERM); with `force`, kill it."""


def options(words: list[str]) -> dict[str, Any]:
    """`key=value` words as keyword arguments for an engine; numbers become numbers."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"--engine-option {word} is not key=value")
        try:
            found[key] = int(value)
        except ValueError:
            found[key] = value
    return found


def create(name: str, options: dict[str, Any] | None = None) -> Engine:
    """The engine of this name; MissingRequirement when its package is not installed."""
    if name == "local":
        from effml.experiments.core.engines.local import Local

        if options:
            raise UserError("the local engine takes no --engine-option; use --jobs and --timeout")
        return Local()
    if name == "slurm":
        from effml.experiments.core.engines.slurm import Slurm

        return Slurm(**(options or {}))
    if name == "ray":
        from effml.experiments.core.engines.ray import Ray

        return Ray(**(options or {}))
    raise unknown("engine", name, list(NAMES))
