"""LinGCN, read top to bottom: data, the all-ReLU teacher, linearized networks with polynomials, then the same networks on
encrypted skeletons, the time of each operation on ciphertexts, and a client and a server in processes of their own.

Only what a suite needs is imported: training needs no encryption library.
"""

from __future__ import annotations

from effml.experiments.core.run import Run
from effml.experiments.lingcn.config import SUITES, Config


def run(config: Config, run: Run) -> None:
    suites = [suite for suite in SUITES if suite != "all"] if config.suite == "all" else [config.suite]
    if "micro" in suites:
        from effml.experiments.lingcn.micro import measure_micro

        measure_micro(config, run)
    if suites == ["micro"]:
        return

    from effml.experiments.lingcn.data import prepare
    from effml.experiments.lingcn.train import measure_training

    data = prepare(config, run)
    run.log(data.told)
    if "train" in suites:
        measure_training(config, run, data)
    if "encrypt" in suites:
        from effml.experiments.lingcn.encrypt import measure_encrypted

        measure_encrypted(config, run, data)
    if "serve" in suites:
        from effml.experiments.lingcn.serve import measure_serving

        measure_serving(config, run, data)
