"""How a run shows itself on stderr: a live bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from effml.experiments.core.plan import Job
from effml.experiments.core.run import Display, Silent

COLUMNS = (
    TextColumn("{task.description}", markup=False),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TextColumn("left"),
    TimeRemainingColumn(),
)
PLAIN_EVERY = 30.0  # seconds between plain progress lines


class Live:
    """A rich progress bar per label."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def log(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)

    def progress(self, label: str, done: int, total: int | None) -> None:
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=total)
        self._bars.update(self._tasks[label], completed=done, total=total)
        if total is not None and done >= total:
            self._bars.remove_task(self._tasks.pop(label))


class Plain:
    """One line per message, and one now and then for slow progress."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def log(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def progress(self, label: str, done: int, total: int | None) -> None:
        if time.monotonic() - self._last >= PLAIN_EVERY:
            self._last = time.monotonic()
            self.log(f"{label}: {done}" + (f" of {total}" if total else ""))


@contextmanager
def display(quiet: bool = False) -> Iterator[Display]:
    """The display that fits: nothing when quiet, live on a terminal, plain lines otherwise."""
    if quiet:
        yield Silent()
        return
    if not sys.stderr.isatty():
        yield Plain()
        return
    with Progress(*COLUMNS, console=Console(stderr=True), transient=True) as bars:
        yield Live(bars)


class SweepLines:
    """One line per finished run; on a terminal below it a bar over the sweep and the runs under way."""

    def __init__(self, bars: Progress | None, total: int) -> None:
        self._bars = bars
        self._running: dict[tuple[str, int], TaskID] = {}
        self._all = bars.add_task("sweep", total=total) if bars else None

    def started(self, job: Job) -> None:
        if self._bars is not None:
            self._running[job.key] = self._bars.add_task(job.name[:60], total=None)

    def finished(self, job: Job, status: str, seconds: float, message: str) -> None:
        line = f"{status:>11}  {seconds:6.1f} s  {job.name}" + (f"  ({message})" if message else "")
        if self._bars is None:
            print(line, file=sys.stderr, flush=True)
            return
        self._bars.console.print(line, highlight=False, markup=False)
        if job.key in self._running:
            self._bars.remove_task(self._running.pop(job.key))
        self._bars.advance(TaskID(0) if self._all is None else self._all)


@contextmanager
def sweep_display(total: int) -> Iterator[SweepLines]:
    """What a sweep shows: bars on a terminal, plain lines otherwise."""
    if not sys.stderr.isatty():
        yield SweepLines(None, total)
        return
    with Progress(*COLUMNS, console=Console(stderr=True), transient=True) as bars:
        yield SweepLines(bars, total)
