"""Client and server as two processes, step by step: what each of them does, how long it takes, what goes over."""

from __future__ import annotations

import numpy as np

from effml.experiments.core.run import Run
from effml.experiments.lingcn.config import Config
from effml.experiments.lingcn.data import Actions
from effml.experiments.lingcn.encrypt import choose_cases, labels_of, record_plan, sequences, smallest
from effml.experiments.lingcn.session import answer
from effml.experiments.lingcn.train import model_name


def measure_serving(config: Config, run: Run, data: Actions) -> None:
    """Table serve: one set of ciphertexts through the smallest of the networks."""
    case = smallest(config, choose_cases(config, run, data))
    where = {"dataset": data.name, "model": model_name(config)}
    record_plan(config, run, where, case)
    x, _ = sequences(config, data)
    found = answer(config, case, x, sets=1, say=run.log)
    for side, step, seconds, size in found.steps:
        mine = {**labels_of(where, case), "side": side, "step": step}
        run.record("serve", mine, "seconds", seconds)
        if size is not None:
            run.record("serve", mine, "bytes", size)
        run.log(f"{side}: {step}, {seconds:.2f} s" + (f", {size / 1e6:.1f} MB" if size is not None else ""))
    error = float(np.abs(found.logits - case.plain.forward(x[: len(found.logits)])).max())
    run.record("serve", {**labels_of(where, case), "side": "client", "step": "compare"}, "error_max", error)
    run.log(f"server, asked to decrypt: {found.refusal}; logits off by {error:.1e}")
