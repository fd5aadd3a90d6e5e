"""The graphs of a run: loaded by name, scaled where the config says so. Knows nothing of timing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from effml.experiments.accel_gcn.config import ALL, TWINS, Config
from effml.experiments.core.run import Run
from effml.kernels import Csr


@dataclass(frozen=True)
class Case:
    """A graph under the name that the tables give it; `scale` is the share of it that was generated."""

    name: str
    scale: float
    adj: Csr

    @property
    def labels(self) -> dict[str, Any]:
        return {"graph": self.name, "scale": self.scale}


def load(run: Run, config: Config, name: str) -> Case:
    """The pattern of graph `name` on the device of the run."""
    scale = config.scale(name)
    options = {"scale": scale} if scale < 1 else {}
    if config.dataset.name != ALL and name not in TWINS:
        graph = run.load(config.dataset, **options)
    else:
        graph = run.load(f"twin-{name}" if name in TWINS else name, **options)
    return Case(graph.name if name == "file" else name, scale, graph.adjacency.with_values(None).to(run.device))
