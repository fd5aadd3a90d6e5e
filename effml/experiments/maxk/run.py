"""The MaxK-GNN experiment: does keeping k values a row cost accuracy, and does it pay in time?

train           accuracy of MaxK and ReLU networks, equal epochs, same initial weights
kernel          selection, products and a whole layer against every dense product, checked and interleaved
profile         an epoch's share of products, Amdahl's limit, the composed and the measured speedup
approximation   one hidden layer on three functions, error against width
"""

from __future__ import annotations

from effml.experiments.core.run import Run
from effml.experiments.maxk.approximation import approximation
from effml.experiments.maxk.config import Config
from effml.experiments.maxk.kernel import kernel
from effml.experiments.maxk.profile import profile
from effml.experiments.maxk.train import train

PARTS = {"train": train, "approximation": approximation, "profile": profile, "kernel": kernel}


def run(config: Config, run: Run) -> None:
    # What trains on real data comes first: a generated graph marks everything recorded after it as synthetic.
    for name, part in PARTS.items():
        if config.suite in (name, "all"):
            part(config, run)
