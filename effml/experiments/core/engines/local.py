"""One subprocess per run on this machine: a crash, an out-of-memory kill or a poisoned CUDA context costs one run."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

from effml.experiments.core.engines import Task

PR_SET_PDEATHSIG = 1


class Local:
    """Runs each task in a session of its own, so that a Ctrl-C reaches the sweep alone, which then stops its runs."""

    def submit(self, task: Task) -> subprocess.Popen[bytes]:
        with open(task.folder / "stderr.txt", "wb") as log:
            return subprocess.Popen(
                task.command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **task.environment},
                start_new_session=True,
                pass_fds=task.keep_open,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def poll(self, handle: subprocess.Popen[bytes]) -> int | None:
        return handle.poll()

    def cancel(self, handle: subprocess.Popen[bytes], *, force: bool = False) -> None:
        if handle.poll() is not None:
            return
        try:
            if force:
                os.killpg(handle.pid, signal.SIGKILL)
            else:
                handle.terminate()
        except ProcessLookupError:
            pass


def _die_with_parent() -> None:
    """A sweep that is killed takes its runs along: nobody would read them, and a repeated sweep would run them twice."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
