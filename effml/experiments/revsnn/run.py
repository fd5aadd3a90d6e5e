"""The reversible spiking neuron, read top to bottom: what it keeps and what a step takes at most, what a step's backward
costs, how far back its inverse holds, and whether networks of it learn what ordinary ones learn.
"""

from __future__ import annotations

from effml.experiments.core.run import Run
from effml.experiments.revsnn import drift, memory, timing, training
from effml.experiments.revsnn.config import SUITES, Config


def run(config: Config, run: Run) -> None:
    measures = {"memory": memory.measure, "time": timing.measure, "drift": drift.measure, "train": training.measure}
    for suite in SUITES[:-1] if config.suite == "all" else (config.suite,):
        measures[suite](config, run)
