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
    device = run.device
    task = training.Task(
        (data.train.unit() * 2 - 1).to(device), data.train.labels.to(device), len(data.classes), config.model.condition
    )
    judge, floor = judge_and_floor(run, task, (data.test.unit() * 2 - 1).to(device), data.test.labels.to(device))
    net = network(run, config, task, "main")
    labels = {"dataset": config.dataset.name, "model": model_name(config), "condition": config.model.condition}
    loss = training.simple_loss(net, task, run.generator("loss"))
    run.record("training", labels, "loss", loss)
    bounds = training.gaussian_bound(task.images, list(range(0, 1000, 25)))
    run.record("training", labels, "gaussian_bound", statistics.fmean(bounds))
    run.record("training", labels, "parameters", backbone(net))
    run.record("training", labels, "floor", floor)
    full = sampled(run, config, task, Full(net))
    quality = judge(full.images)
    run.record("training", labels, "fd", quality.fd)
    run.log(f"final-layer loss {loss:.4f}, distance of the full model {quality.fd:.2f} (real against real {floor:.2f})")
    pictures.grid(run.artifact("full.png"), full.images)

    if config.suite in ("calibration", "all"):
        calibration(run, config, net, task)
    if config.suite in ("pareto", "all"):
        pareto(run, config, net, task, judge, full)
    if config.suite in ("ablation", "all"):
        ablation(run, config, task, judge)
