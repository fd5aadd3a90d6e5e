"""Suite `calibration`: the error of every layer at every time, and what the uncertainty heads know of it."""

from __future__ import annotations

import statistics

import torch
from torch import Tensor

from effml.experiments.core.run import Run
from effml.experiments.deediff import pictures
from effml.experiments.deediff import train as training
from effml.models.uvit import UViT

TIMES = (10, 50, 100, 200, 400, 600, 800, 990)


def calibration(run: Run, net: UViT, task: training.Task) -> None:
    found = training.layer_errors(net, task, list(TIMES), 256, run.generator("calibration"))
    bounds = training.gaussian_bound(task.images, list(TIMES))
    for i, t in enumerate(TIMES):
        for layer in range(net.num_exits):
            labels = {"dataset": task.name, "timestep": t, "layer": layer}
            run.record("layers", labels, "error", float(found["error"][i, layer].mean()))
            run.record("layers", labels, "uncertainty", float(found["predicted"][i, layer].mean()))
            run.record("layers", labels, "pseudo_uncertainty", float(found["pseudo"][i, layer].mean()))
        labels = {"dataset": task.name, "timestep": t, "layer": net.num_exits - 1}
        run.record("layers", labels, "gaussian_bound", bounds[i])
    predicted, pseudo = found["predicted"], found["pseudo"]
    within = [r_squared(predicted[i, j], pseudo[i, j]) for i in range(len(TIMES)) for j in range(net.num_exits)]
    labels = {"dataset": task.name, "part": "all times and layers"}
    run.record("calibration", labels, "slope", slope(predicted.flatten(), pseudo.flatten()))
    run.record("calibration", labels, "r2_pooled", r_squared(predicted.flatten(), pseudo.flatten()))
    run.record("calibration", labels, "r2_within", statistics.median(within))
    pictures.maps(run.artifact("uncertainty-maps.png"), net, task, run.generator("maps"))


def slope(x: Tensor, y: Tensor) -> float:
    """Least-squares slope of y on x."""
    centred = x - x.mean()
    return float((centred * (y - y.mean())).sum() / centred.square().sum().clamp_min(1e-12))


def r_squared(x: Tensor, y: Tensor) -> float:
    """Squared correlation."""
    if x.std() < 1e-9 or y.std() < 1e-9:
        return 0.0
    return float(torch.corrcoef(torch.stack([x, y]))[0, 1] ** 2)
