"""Runs as jobs of a Slurm cluster, through submitit; its local executor stands in where there is no cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import Any

from effml.errors import MissingRequirement, UserError
from effml.experiments.core.engines import Task


class Slurm:
    """One Slurm job per run.

    Args:
        cluster: "slurm", or "local" for submitit's own executor on this machine.
        minutes: time limit of a job.
        parameters: further submitit parameters (`slurm_partition`, `gpus_per_node`, `mem_gb` ...).
    """

    def __init__(self, cluster: str = "slurm", minutes: int = 24 * 60, **parameters: Any) -> None:
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise MissingRequirement("the slurm engine needs submitit; pip install 'effml[slurm]'") from None
        self._cluster, self._parameters = cluster, {"timeout_min": minutes, **parameters}

    def submit(self, task: Task) -> Any:
        import submitit

        try:
            executor = submitit.AutoExecutor(folder=task.folder / "slurm", cluster=self._cluster)
            executor.update_parameters(name=f"effml-{task.folder.name[-12:]}", **self._parameters)
            return executor.submit(launch, task.command(), str(task.folder / "stderr.txt"), task.environment)
        except (RuntimeError, FileNotFoundError) as error:
            raise MissingRequirement(f"no Slurm here ({error}); use --engine local, or run on a login node") from None
        except (TypeError, NameError) as error:
            raise UserError(f"the slurm engine does not take these options: {error}") from None

    def poll(self, handle: Any) -> int | None:
        if not handle.done():
            return None
        failure = handle.exception()
        return int(handle.result()) if failure is None else -signal.SIGKILL

    def cancel(self, handle: Any, *, force: bool = False) -> None:
        handle.cancel(check=False)


def launch(command: list[str], log: str, environment: dict[str, str]) -> int:
    """Run the command in the job; its exit code, negative for a signal."""
    with open(log, "wb") as errors:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                                 env={**os.environ, **environment})  # fmt: skip
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda signum, frame: child.terminate())
        return child.wait()
