"""Carry out a plan: launch, watch, time out, stop, and write a row for a run that could not write its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from effml.experiments.core import claims, provenance, store
from effml.experiments.core.engines import Engine, Task
from effml.experiments.core.fingerprint import fingerprint
from effml.experiments.core.plan import Job, outcomes

POLL = 0.1  # seconds between looks at running children


class Watcher(Protocol):
    """Told how the sweep goes."""

    def started(self, job: Job) -> None: ...

    def finished(self, job: Job, status: str, seconds: float, message: str) -> None: ...


@dataclass
class Running:
    """A launched run."""

    job: Job
    handle: Any
    folder: Path
    began: float
    held: list[claims.Claim]
    timed_out: bool = False
    slot: int = 0


@dataclass
class Sweep:
    """A sweep in progress.

    Args:
        root: the results root.
        jobs: runs to be done, in order.
        engine: where they run.
        slots: how many at once (a timed run is always alone).
        device: the device name for every run.
        timeout: seconds after which a run is killed, or None.
        gpus: visible GPUs to give out, one per slot; empty on a CPU machine.
    """

    root: Path
    jobs: list[Job]
    engine: Engine
    watcher: Watcher
    slots: int = 1
    device: str = "auto"
    timeout: float | None = None
    gpus: list[str] = field(default_factory=list)
    results: dict[str, int] = field(default_factory=lambda: {"ok": 0, "failed": 0, "interrupted": 0})
    _stop: int = 0

    def run(self) -> dict[str, int]:
        """Until every job has an outcome, or Ctrl-C: the first stops and keeps, the second kills. Counts by outcome."""
        waiting = list(self.jobs)
        running: list[Running] = []
        with self._interruptible():
            while (waiting and not self._stop) or running:
                for item in list(running):
                    if self._settled(item):
                        running.remove(item)
                if self._stop:
                    for item in running:
                        self.engine.cancel(item.handle, force=self._stop > 1)
                elif len(running) < self.slots and (job := self._next(waiting, running)) is not None:
                    running.append(job)
                    continue
                time.sleep(POLL)
        return self.results

    @property
    def stopped(self) -> bool:
        return self._stop > 0

    def _next(self, waiting: list[Job], running: list[Running]) -> Running | None:
        """Launch the first waiting job that may start now."""
        for job in waiting:
            if running and (job.timed or running[0].job.timed):
                return None
            claim = claims.of_run(self.root, job.resolved.experiment.name, job.resolved.hash, job.seed)
            if not claim.take():
                continue
            if self._done_meanwhile(job):
                claim.drop()
                waiting.remove(job)
                self._count(job, "ok", 0.0, "done by another sweep")
                return self._next(waiting, running)
            machine = claims.of_machine(self.root)
            if not machine.take(shared=not job.timed):
                claim.drop()
                return None
            waiting.remove(job)
            return self._launch(job, [claim, machine], running)
        return None

    def _done_meanwhile(self, job: Job) -> bool:
        name = job.resolved.experiment.name
        folders = (self.root / "runs" / name).glob(f"*-{job.resolved.hash[:8]}-s{job.seed}*")
        rows = [row for row in (store.read_row(folder) for folder in folders) if row is not None]
        return outcomes(rows, fingerprint(name), self.device).get(job.key) == "ok"

    def _launch(self, job: Job, held: list[claims.Claim], running: list[Running]) -> Running:
        experiment = job.resolved.experiment.name
        folder = store.create_folder(self.root, experiment, job.resolved.hash, job.seed)
        taken = {item.slot for item in running}
        slot = next(index for index in range(self.slots) if index not in taken)
        words = [experiment, *job.words, "--seed", str(job.seed), "--device", self.device]
        dead = self._dead_with_work(job, folder)
        if dead is not None:
            words += ["--resume", dead.name]
        task = Task(words, folder, self.root, self._environment(job, slot), tuple(claim.fd for claim in held))
        self.watcher.started(job)
        return Running(job, self.engine.submit(task), folder, time.monotonic(), held, slot=slot)

    def _dead_with_work(self, job: Job, new: Path) -> Path | None:
        """An unfinished run of the same config and seed that left something to go on from, newest first."""
        same = f"*-{job.resolved.hash[:8]}-s{job.seed}*"
        for folder in sorted(new.parent.glob(same), reverse=True):
            unfinished = folder != new and store.state(folder) in ("dead", "interrupted")
            left = any((folder / kept).is_dir() for kept in ("stages", "artifacts"))
            if unfinished and left and (folder / "config.yaml").is_file():
                return folder
        return None

    def _environment(self, job: Job, slot: int) -> dict[str, str]:
        environment = {}
        if self.slots > 1 and not job.timed:
            threads = str(max(1, len(os.sched_getaffinity(0)) // self.slots))
            environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        return environment

    def _settled(self, item: Running) -> bool:
        """Whether a run has ended; then its row is read, or written for it."""
        code = self.engine.poll(item.handle)
        seconds = time.monotonic() - item.began
        if code is None:
            if self.timeout is not None and seconds > self.timeout:
                item.timed_out = True
                self.engine.cancel(item.handle, force=True)
            return False
        for claim in item.held:
            claim.drop()
        row = store.read_row(item.folder)
        if row is None:
            if self._stop:
                self._count(item.job, "interrupted", seconds, "killed before it wrote a row")
                return True
            row = self._row_for_the_dead(item, code)
            store.write_row(item.folder, row)
        message = "" if row["error"] is None else f"{row['error']['class']}: {row['error']['message']}"
        self._count(item.job, row["status"], seconds, message)
        return True

    def _count(self, job: Job, status: str, seconds: float, message: str) -> None:
        self.results[status] += 1
        self.watcher.finished(job, status, seconds, message)

    def _row_for_the_dead(self, item: Running, code: int) -> store.Row:
        resolved = item.job.resolved
        if item.timed_out:
            error = {"class": "TimedOut", "message": f"killed after the time limit of {self.timeout:g} s"}
        elif code < 0:
            name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
            hint = "; out of memory is the usual reason" if name == "SIGKILL" else ""
            error = {"class": "Killed", "message": f"the run's process was killed by {name}{hint}"}
        else:
            last = _last_line(item.folder / "stderr.txt")
            error = {
                "class": "Died",
                "message": f"the run ended with exit code {code} before it could write its row: {last}",
            }
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        from effml.experiments.core.shareable import without_paths

        return {
            "schema_version": store.SCHEMA_VERSION,
            "run_id": item.folder.name,
            "experiment": resolved.experiment.name,
            "config_hash": resolved.hash,
            "overrides": resolved.overrides,
            "config": without_paths(resolved.values, resolved.experiment.runtime),
            "preset": resolved.preset,
            "seed": item.job.seed,
            "timed": item.job.timed,
            "status": "failed",
            "error": {**error, "log": "stderr.txt"},
            "measurements": [],
            "data": [],
            "code": provenance.code(resolved.experiment.name),
            "versions": provenance.versions(),
            "device": {"kind": "unknown", "name": "unknown", "capability": None},
            "cpu": provenance.cpu(),
            "time": {"started": now, "ended": now, "wall_seconds": round(time.monotonic() - item.began, 3)},
            "memory": {"host_peak_bytes": None, "device_peak_bytes": None},
        }

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        def stop(signum: int, frame: Any) -> None:
            self._stop += 1

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _last_line(path: Path) -> str:
    try:
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "no output"
    return lines[-1][:200].removeprefix("effml: ") if lines else "no output"


def visible_gpus() -> list[str]:
    """Indices of the CUDA devices that this process may use, without importing torch."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [item for item in given.split(",") if item.strip() and item.strip() != "-1"]
    try:
        output = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(index) for index, _ in enumerate(output.strip().splitlines())]
