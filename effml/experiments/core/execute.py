"""The life of one run: folder, provenance, seeds, the experiment, one atomic row, whatever happens.

A run that raises, is interrupted or lacks something still leaves a whole row that says so; a run that is killed leaves
its folder without a row.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from effml.errors import MissingRequirement, RunFailed, RunInterrupted, UserError
from effml.experiments.core import devices, provenance, shareable, store
from effml.experiments.core.config import Resolved
from effml.experiments.core.run import Display, Run
from effml.experiments.core.seeding import seed_everything

IMPATIENCE = 2.0
"""Seconds within which further presses of Ctrl-C belong to the first."""


@dataclass(frozen=True)
class Request:
    """One run to be done: a resolved config, a seed, a device name, the results root, perhaps a run to resume."""

    resolved: Resolved
    seed: int
    device: str
    results: Path
    resume: str | None = None
    folder: Path | None = None
    """A folder made beforehand by a sweep; otherwise one is made."""


def execute(request: Request, display: Display | None = None) -> tuple[store.Row, Path]:
    """Run and return the row with its folder.

    Raises:
        RunFailed, RunInterrupted: after the row was written.
        MissingRequirement, UserError: likewise when raised inside; before any folder is made for a bad device or folder.
    """
    resolved = request.resolved
    devices.check_name(request.device)
    if devices.needs_look(request.device):
        devices.resolve(request.device)
    old = _resumable(request) if request.resume else None
    folder = request.folder or store.create_folder(
        request.results, resolved.experiment.name, resolved.hash, request.seed
    )
    lock = store.hold(folder)
    try:
        with store.writing(folder):
            _write_config(folder, request)
            if old is not None:
                for kept in _kept(request, old):
                    shutil.copytree(old / kept, folder / kept)
        return _run(request, folder, display)
    finally:
        store.let_go(folder, lock)


def _run(request: Request, folder: Path, display: Display | None) -> tuple[store.Row, Path]:
    resolved = request.resolved
    with store.writing(folder):
        run = Run(resolved.experiment, folder, request.seed, request.device, display, resolved.preset)
    with _interruptible() as hold:
        row, failure = _measure(request, run, hold)
        store.write_row(folder, row)
    if isinstance(failure, KeyboardInterrupt):
        kept = f"{len(row['measurements'])} measurements kept in {store.shown(folder)}"
        again = f"the same command and --resume {folder.name}"
        raise RunInterrupted(f"interrupted; {kept}; go on with {again}", row, folder) from None
    if isinstance(failure, UserError | MissingRequirement):
        raise failure
    if failure is not None:
        what = f"{type(failure).__name__}: {_one_line(failure)}"
        log = store.shown(folder / "log.txt")
        raise RunFailed(f"{resolved.experiment.name} failed: {what} (log: {log})", row, folder) from failure
    return row, folder


def _measure(request: Request, run: Run, hold: Callable[[], None]) -> tuple[store.Row, BaseException | None]:
    """Run the experiment; returns its whole row and what ended it, if it did not end by itself."""
    resolved = request.resolved
    row = _header(request, run.folder)
    started = time.perf_counter()
    failure: BaseException | None = None
    status, error = "ok", None
    try:
        with _log_everything(run):
            module = importlib.import_module(f"effml.experiments.{resolved.experiment.name}.run")
            seed_everything(request.seed)
            module.run(resolved.config, run)
        hold()
    except KeyboardInterrupt as caught:
        hold()
        status, failure = "interrupted", caught
        error = {"class": "KeyboardInterrupt", "message": "stopped by the user", "log": "log.txt"}
    except Exception as caught:
        hold()
        status, failure = "failed", _named(caught, run.folder)
        error = {"class": type(failure).__name__, "message": _one_line(failure), "log": "log.txt"}
        _note_traceback(run)
    with suppress(OSError):  # a full disk shows itself again when the row is written
        run.close()
    row.update(status=status, error=error, measurements=list(run.measurements), data=list(run.data))
    row["time"].update(ended=_now(), wall_seconds=round(time.perf_counter() - started, 3))
    # What had to wait for torch: the experiment decides whether it is imported at all.
    device = run.device if "torch" in sys.modules else "cpu"
    row.update(device=devices.describe(device), versions=provenance.versions(), memory=_peak_memory(device))
    return row, failure


def _header(request: Request, folder: Path) -> store.Row:
    resolved = request.resolved
    return {
        "schema_version": store.SCHEMA_VERSION,
        "run_id": folder.name,
        "experiment": resolved.experiment.name,
        "config_hash": resolved.hash,
        "overrides": shareable.overrides(resolved.overrides),
        "config": shareable.without_paths(resolved.values, resolved.experiment.runtime),
        "preset": resolved.preset,
        "seed": request.seed,
        "timed": bool(resolved.experiment.timed(resolved.config)),
        "code": provenance.code(resolved.experiment.name),
        "cpu": provenance.cpu(),
        "time": {"started": _now(), "load_at_start": round(os.getloadavg()[0], 2)},
    }


def _write_config(folder: Path, request: Request) -> None:
    import yaml

    text = yaml.safe_dump(
        {
            "experiment": request.resolved.experiment.name,
            "preset": request.resolved.preset,
            "seed": request.seed,
            "overrides": shareable.overrides(request.resolved.overrides),
            "config": shareable.without_paths(request.resolved.values, ()),
        },
        sort_keys=False,
    )
    (folder / "config.yaml").write_text(text, encoding="utf-8")


def _resumable(request: Request) -> Path:
    """The run to go on from: the same seed, and the same config but for options that no stage depends on."""
    folder = store.find(request.results, str(request.resume))
    if store.is_running(folder):
        raise UserError(f"{folder.name} is still running; wait for it or stop it first")
    old, new = _config_of(folder), shareable.without_paths(request.resolved.values, ())
    later = request.resolved.experiment.after_stages
    differ = [key for key in sorted({*old["config"], *new}) if old["config"].get(key) != new.get(key)]
    if old["seed"] != request.seed or old["experiment"] != request.resolved.experiment.name or set(differ) - set(later):
        but = f" (only {', '.join(later)} may differ)" if later else ""
        raise UserError(f"{folder.name} has another config or seed; resume it with the same options{but}")
    return folder


def _kept(request: Request, old: Path) -> tuple[str, ...]:
    """What a finished stage left is not made again; artifacts, transcripts included, belong to one config alone."""
    same = _config_of(old)["config"] == shareable.without_paths(request.resolved.values, ())
    wanted = ("stages", "artifacts") if same else ("stages",)
    return tuple(kept for kept in wanted if (old / kept).is_dir())


def _config_of(folder: Path) -> dict[str, Any]:
    import yaml

    return yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))


@contextmanager
def _log_everything(run: Run) -> Iterator[None]:
    """Send warnings and library logs to the run's log instead of the user's terminal."""

    class ToLog(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            run.note(f"{record.levelname} {record.name}: {record.getMessage()}")

    handler = ToLog(level=logging.WARNING)
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers[:] = [handler]
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = before


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """Make Ctrl-C, and the SIGTERM of a scheduler's stop, an interruption that keeps what was measured.

    Yields a function that ends this: from its call on, while the row is written, further signals are held off, because
    a second Ctrl-C must not cost what the first one kept. While the experiment still unwinds, presses within
    `IMPATIENCE` seconds count as one; a later one cuts off a clean-up that hangs.
    """
    raised = [-math.inf]

    def stop(signum: int, frame: Any) -> None:
        now = time.monotonic()
        if now - raised[0] > IMPATIENCE:
            raised[0] = now
            raise KeyboardInterrupt

    def hold() -> None:
        raised[0] = math.inf

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread
        yield hold
        return
    try:
        yield hold
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _named(error: Exception, folder: Path) -> Exception:
    """A package that is not installed, or a write that failed for want of space, is a requirement, not a bug."""
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("effml"):
        package = error.name.partition(".")[0]
        return MissingRequirement(f"the package {package} is not installed; get it with: pip install 'effml[systems]'")
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        try:
            with store.writing(folder):
                raise error
        except MissingRequirement as named:
            return named
        except OSError:
            pass
    return error


def _note_traceback(run: Run) -> None:
    try:
        run.note(traceback.format_exc())
    except (OSError, ValueError):
        print("the run's log cannot be written", file=sys.stderr)


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    for private in (str(Path.home()), os.environ.get("USER", "")):
        if len(private) > 2:
            text = text.replace(private, "~")
    return text[:300]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _peak_memory(device: Any) -> dict[str, int | None]:
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    host *= 1 if sys.platform == "darwin" else 1024
    torch = sys.modules.get("torch")
    on_device = torch.cuda.max_memory_allocated(device) if torch and getattr(device, "type", "") == "cuda" else None
    return {"host_peak_bytes": host, "device_peak_bytes": on_device}
