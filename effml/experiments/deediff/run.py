"""DeeDiff as an experiment: train with exits, look at what the uncertainty knows, then let every policy and rival sample.

All policies share one checkpoint, one set of noises, one solver; times are interleaved round by round, and the full
model without uncertainty heads is what every speedup is measured against.
"""

from __future__ import annotations

import statistics

from effml.experiments.core.run import Run
from effml.experiments.deediff import pictures
from effml.experiments.deediff import train as training
from effml.experiments.deediff.ablation import ablation
from effml.experiments.deediff.calibration import calibration
from effml.experiments.deediff.config import Config
from effml.experiments.deediff.kernel import kernel
from effml.experiments.deediff.networks import backbone, judge_and_floor, model_name, network, sampled
from effml.experiments.deediff.pareto import pareto
from effml.models.exits.sampling import Full


def run(config: Config, run: Run) -> None:
    if config.suite == "kernel":
        kernel(run)
        return
    data = run.load(config.dataset)
    task, held = (
        training.Task(
            (part.unit() * 2 - 1).to(run.device), part.labels.to(run.device), len(data.classes), config.model.condition,
            data.name,
        )
        for part in (data.train, data.test)
    )  # fmt: skip
    judge, floor = judge_and_floor(run, config, task, held)
    net = network(run, config, task, "main")
    labels = {
        "dataset": task.name,
        "model": model_name(config),
        "condition": config.model.condition,
        "steps": config.train.steps,
    }
    loss = training.simple_loss(net, task, run.generator("loss"))
    run.record("training", labels, "loss", loss)
    run.record("training", labels, "held_out_loss", training.simple_loss(net, held, run.generator("held-out loss")))
    bounds = training.gaussian_bound(task.images, range(training.TRAIN_STEPS))
    run.record("training", labels, "gaussian_bound", statistics.fmean(bounds))
    run.record("training", labels, "parameters", backbone(net))
    run.record("training", labels, "floor", floor)
    full = sampled(run, config, task, Full(net))
    quality = judge(full.images)
    run.record("training", labels, "fd", quality.fd)
    run.log(
        f"final-layer loss {loss:.4f}, distance of the full model {quality.fd:.2f} (held-out real images {floor:.2f})"
    )
    pictures.grid(run.artifact("full.png"), full.images)

    if config.suite in ("calibration", "all"):
        calibration(run, net, task)
    if config.suite in ("pareto", "all"):
        pareto(run, config, net, task, judge, full)
    if config.suite in ("ablation", "all"):
        ablation(run, config, task, judge)
