"""Runs as tasks of a Ray cluster: one worker process each, which launches the same single-run command."""

from __future__ import annotations

import os
import signal
from typing import Any

from effml.errors import MissingRequirement
from effml.experiments.core.engines import Task
from effml.experiments.core.engines.slurm import launch


class Ray:
    """One Ray task per run.

    Args:
        address: of the cluster; default: `$RAY_ADDRESS`, else a cluster of this machine alone, started now.
        cpus, gpus: what one run takes of its node.
    """

    def __init__(self, address: str | None = None, cpus: float = 1, gpus: float = 0) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError:
            raise MissingRequirement("the ray engine needs ray; pip install 'effml[ray]'") from None
        if not ray.is_initialized():
            ray.init(address=address or os.environ.get("RAY_ADDRESS"), log_to_driver=False, include_dashboard=False)
        self._ray = ray
        self._launch = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(launch)

    def submit(self, task: Task) -> Any:
        return self._launch.remote(task.command(), str(task.folder / "stderr.txt"), task.environment)

    def poll(self, handle: Any) -> int | None:
        ready, _ = self._ray.wait([handle], timeout=0)
        if not ready:
            return None
        try:
            return int(self._ray.get(handle))
        except (self._ray.exceptions.RayError, OSError):
            return -signal.SIGKILL

    def cancel(self, handle: Any, *, force: bool = False) -> None:
        self._ray.cancel(handle, force=force, recursive=True)
