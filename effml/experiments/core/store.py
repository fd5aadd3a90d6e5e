"""Run folders and rows. A row is written whole or not at all; nothing is ever appended to a shared file.

`runs/<experiment>/<run_id>/row.json` is the only source of truth; `rows/<experiment>.jsonl` is the committed selection.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from effml.errors import MissingRequirement, UserError
from effml.experiments.core.options import nearest

SCHEMA_VERSION = 1
LOCK = "running.lock"
Row = dict[str, Any]


@contextmanager
def writing(where: Path) -> Iterator[None]:
    """Turn a failed write into a requirement that names what to mend."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MissingRequirement(
                f"the disk that holds {shown(where)} is full; free space or choose --results elsewhere"
            ) from None
        if error.errno in (
            errno.EACCES,
            errno.EROFS,
            errno.EPERM,
            errno.ENOTDIR,
            errno.EEXIST,
            errno.EISDIR,
            errno.ENOENT,
        ):
            reason = os.strerror(error.errno).lower()
            raise MissingRequirement(
                f"results cannot be written to {shown(where)} ({reason}); choose another with --results"
            ) from None
        raise


def shown(path: Path) -> str:
    """A path as a user would type it: relative to where they stand when it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def create_folder(root: Path, experiment: str, config_hash: str, seed: int) -> Path:
    """A new run folder, made exclusively; its name is the run id."""
    parent = root / "runs" / experiment
    with writing(root):
        parent.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        base = f"{stamp}-{config_hash[:8]}-s{seed}"
        for attempt in range(1, 1000):
            folder = parent / (base if attempt == 1 else f"{base}-{attempt}")
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                if not folder.is_dir():
                    raise
    raise MissingRequirement(f"no free run folder below {shown(parent)}")


def write_atomically(path: Path, text: str) -> None:
    """Write to a temporary name, fsync, rename, fsync the folder: a reader sees the old file, the new, or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path.parent):
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def encode(row: Row) -> str:
    """One line of strict JSON; a number that is not finite becomes null."""
    return json.dumps(_finite(row), sort_keys=True, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def write_row(folder: Path, row: Row) -> None:
    write_atomically(folder / "row.json", encode(row) + "\n")


def read_row(folder: Path) -> Row | None:
    """The row of a run folder, or None when the run has not written one."""
    path = folder / "row.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise MissingRequirement(
            f"{shown(path)} is not a row (damaged file); delete that run folder and run again"
        ) from None


def run_folders(root: Path, experiment: str | None = None) -> list[Path]:
    """All run folders, oldest first."""
    base = root / "runs"
    pattern = f"{experiment}/*" if experiment else "*/*"
    return sorted(
        (path for path in base.glob(pattern) if path.is_dir()), key=lambda path: (path.name, path.parent.name)
    )


def run_rows(root: Path, experiment: str | None = None) -> list[Row]:
    """Rows of the run folders, oldest first."""
    found = (read_row(folder) for folder in run_folders(root, experiment))
    return [row for row in found if row is not None]


def committed_rows(root: Path, experiment: str | None = None) -> list[Row]:
    """Rows of `rows/*.jsonl`, in file order."""
    rows: list[Row] = []
    for path in sorted((root / "rows").glob(f"{experiment or '*'}.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                raise MissingRequirement(
                    f"{shown(path)}, line {number}, is not a row; restore the file from git"
                ) from None
    return rows


def all_rows(root: Path, experiment: str | None = None) -> list[Row]:
    """Committed rows and those of run folders, each run once, oldest first."""
    rows = {row["run_id"]: row for row in [*committed_rows(root, experiment), *run_rows(root, experiment)]}
    return [rows[key] for key in sorted(rows)]


def newest(rows: list[Row]) -> list[Row]:
    """The newest ok row per (experiment, config hash, seed, device)."""
    kept: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=lambda row: row["run_id"]):
        if row["status"] == "ok":
            kept[row["experiment"], row["config_hash"], row["seed"], row["device"]["name"]] = row
    return sorted(kept.values(), key=lambda row: row["run_id"])


def gather(root: Path, wanted: Callable[[Row], bool]) -> dict[str, int]:
    """Rewrite `rows/<experiment>.jsonl` from the committed rows and the run folders; rows kept per experiment."""
    by_experiment: dict[str, list[Row]] = {}
    for row in newest([row for row in all_rows(root) if wanted(row)]):
        by_experiment.setdefault(row["experiment"], []).append(row)
    with writing(root):
        (root / "rows").mkdir(parents=True, exist_ok=True)
    for experiment, rows in by_experiment.items():
        write_atomically(root / "rows" / f"{experiment}.jsonl", "".join(encode(row) + "\n" for row in rows))
    return {experiment: len(rows) for experiment, rows in sorted(by_experiment.items())}


def find(root: Path, name: str) -> Path:
    """The run folder that `name` means: a run id, a unique prefix of one, a folder, or `last`."""
    folders = run_folders(root)
    if name == "last" and folders:
        return folders[-1]
    given = Path(name)
    if given.is_dir() and (given / "config.yaml").is_file():
        return given
    tail = name.rstrip("/").rsplit("/", 1)[-1]
    matches = [folder for folder in folders if folder.name == tail] or [f for f in folders if f.name.startswith(tail)]
    if len(matches) == 1:
        return matches[0]
    if len(matches) > 1:
        raise UserError(
            f"'{name}' means {len(matches)} runs: {', '.join(f.name for f in matches[:4])}; type more of it"
        )
    close = nearest(tail, [folder.name for folder in folders])
    hint = f"; did you mean {', '.join(close)}?" if close else f"; there are {len(folders)} runs below {shown(root)}"
    raise UserError(f"no run '{name}'{hint}")


def find_row(root: Path, name: str) -> Row:
    """The row that `name` means, of a run folder or a committed one."""
    tail = name.rstrip("/").rsplit("/", 1)[-1]
    kept = [
        row
        for row in committed_rows(root)
        if row["run_id"] == tail or (len(tail) > 8 and row["run_id"].startswith(tail))
    ]
    if len(kept) == 1:
        return kept[0]
    folder = find(root, name)
    row = read_row(folder)
    if row is None:
        raise UserError(f"{folder.name} has no row ({state(folder)})")
    return row


def hold(folder: Path) -> FileLock:
    """The lock that tells a running run from a dead one: the kernel drops it with the process."""
    lock = FileLock(folder / LOCK)
    with writing(folder):
        lock.acquire(timeout=0)
    return lock


def let_go(folder: Path, lock: FileLock) -> None:
    """Release a run's lock and remove its file: the row tells the rest."""
    (folder / LOCK).unlink(missing_ok=True)
    lock.release()


def is_running(folder: Path) -> bool:
    """Whether a live process holds the run folder."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def state(folder: Path) -> str:
    """ok, failed, interrupted, running, or dead (no row and no live process)."""
    row = read_row(folder)
    if row is not None:
        return str(row["status"])
    return "running" if is_running(folder) else "dead"


def seed_of(folder: Path) -> int:
    """The seed in a run folder's name."""
    match = re.search(r"-s(\d+)", folder.name)
    return int(match.group(1)) if match else 0
