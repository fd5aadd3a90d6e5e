"""Two sweeps on one results folder: each run is claimed by one of them, and timed runs have the machine to themselves.

Claims are kernel file locks: they vanish with the process that held them, so nothing stale can block a later sweep.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from effml.experiments.core.store import writing


class Claim:
    """A lock on a small file. `fd` may be handed to a child, which then holds the lock as long as it lives."""

    def __init__(self, path: Path) -> None:
        self._path, self.fd = path, -1

    def take(self, *, shared: bool = False) -> bool:
        """Take the lock without waiting; False when another process has it."""
        with writing(self._path.parent):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        if not self._still_there(fd):  # removed as stale between opening and locking: a lock on it binds nobody
            os.close(fd)
            return self.take(shared=shared)
        self.fd = fd
        return True

    def _alone(self) -> bool:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _still_there(self, fd: int) -> bool:
        try:
            return os.fstat(fd).st_ino == os.stat(self._path).st_ino
        except FileNotFoundError:
            return False

    def drop(self) -> None:
        """Let go; the file goes, too, unless others share the lock (they would then hold one that binds nobody)."""
        if self.fd >= 0:
            if self._alone():
                self._path.unlink(missing_ok=True)
            os.close(self.fd)
            self.fd = -1


def of_run(root: Path, experiment: str, config_hash: str, seed: int) -> Claim:
    """The claim on one run: whoever has it may do it."""
    return Claim(root / "runs" / ".claims" / f"{experiment}-{config_hash[:16]}-s{seed}.lock")


def of_machine(root: Path) -> Claim:
    """Shared by runs that measure no time, exclusive to one that does."""
    return Claim(root / "runs" / ".claims" / "machine.lock")
