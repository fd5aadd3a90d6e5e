"""Run one external tool in its own folder: limits, a time-out that ends the whole process group, capped output.

Knows nothing of Verilog. What holds the tool back is `confine.py`; what a run may not do is also refused beforehand, in
the text (`source.py`), for machines whose kernel cannot.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

CONFINE = Path(__file__).with_name("confine.py")
KEPT_CHARACTERS = 200_000


@dataclass(frozen=True)
class Limits:
    """What one start of a tool may use.

    Args:
        seconds: wall clock; the CPU limit is the same, rounded up.
        memory_bytes: address space.
        file_bytes: any file it writes, its standard output included.
    """

    seconds: float = 10.0
    memory_bytes: int = 2 << 30
    file_bytes: int = 32 << 20


@dataclass(frozen=True)
class Finished:
    """How a tool ended.

    `returncode` is negative for a signal. `timed_out` covers the wall clock and the CPU limit; `overflowed` an output or
    file beyond the limit.
    """

    returncode: int
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool = False
    overflowed: bool = False

    @property
    def ok(self) -> bool:
        return self.returncode == 0 and not self.timed_out and not self.overflowed

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


@contextlib.contextmanager
def workspace(files: Mapping[str, str | bytes] | None = None) -> Iterator[Path]:
    """A fresh folder with these files, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="effml-rtl-"))
    try:
        place(folder, files or {})
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def place(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files, given by plain name, into a folder.

    Raises:
        ValueError: a name with a folder in it.
    """
    for name, content in files.items():
        if Path(name).name != name or name in ("", ".", ".."):
            raise ValueError(f"'{name}' is not a plain file name")
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def run_tool(
    command: Sequence[str | Path],
    folder: Path,
    limits: Limits | None = None,
    readable: Sequence[Path] = (),
    kept: int = KEPT_CHARACTERS,
) -> Finished:
    """Run `command` in `folder` and wait for it.

    Args:
        command: the tool's absolute path and its arguments; paths inside `folder` should be relative.
        folder: where it runs, the only place it may write to.
        limits: default `Limits()`.
        readable: further files or folders that it may read (a cell library, a Python environment).
        kept: characters of each output that come back; of a longer one, the first and the last half of that.
    """
    limits = limits or Limits()
    folder = folder.resolve()
    order = json.dumps(
        {
            "folder": str(folder),
            "readable": [str(Path(path).resolve()) for path in readable],
            "cpu_seconds": int(limits.seconds) + 1,
            "memory_bytes": limits.memory_bytes,
            "file_bytes": limits.file_bytes,
            "parent": os.getpid(),
        }
    )
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(CONFINE), order, "--", *map(str, command)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=_environment(folder),
            start_new_session=True,
        )
        late = False
        try:
            process.wait(timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            end_group(process)
        seconds = time.monotonic() - started
        code = process.returncode
        return Finished(
            returncode=code,
            stdout=_capped(out, kept),
            stderr=_capped(err, kept),
            seconds=seconds,
            timed_out=late or code == -signal.SIGXCPU or (code == -signal.SIGKILL and seconds >= limits.seconds),
            overflowed=code in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ),
        )


def end_group(process: subprocess.Popen) -> None:
    """Kill what is left of the group that `process` leads, and reap it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@cache
def confinement() -> Mapping[str, bool]:
    """Which of the guards of `confine.py` the kernel grants here: limits, files, network, dies_with_parent."""
    with workspace() as folder:
        order = {
            "folder": str(folder),
            "readable": [],
            "cpu_seconds": 5,
            "memory_bytes": 1 << 30,
            "file_bytes": 1 << 20,
        }
        asked = [sys.executable, "-I", "-S", str(CONFINE), json.dumps(order), "--probe"]
        return json.loads(subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout)


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the user's environment: no keys, no proxies, no library paths."""
    here = str(folder)
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": here,
        "TMPDIR": here,
        "TMP": here,
        "TEMP": here,
        "LC_ALL": "C",
        "TZ": "UTC",
    }


def _capped(stream: IO[bytes], kept: int) -> str:
    """The start and the end of what was written; verdicts need the end, messages the start."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size <= kept:
        return stream.read().decode(errors="replace")
    half = kept // 2
    start = stream.read(half)
    stream.seek(size - half)
    return (
        start.decode(errors="replace")
        + f"\n[{size - 2 * half} bytes left out]\n"
        + stream.read().decode(errors="replace")
    )
