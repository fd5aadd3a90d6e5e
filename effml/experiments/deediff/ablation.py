"""Suite `ablation`: what each part of the method does to the full model at equal steps."""

from __future__ import annotations

from typing import Any

from effml.experiments.core.run import Run
from effml.experiments.deediff import train as training
from effml.experiments.deediff.config import Config
from effml.experiments.deediff.networks import backbone, network, sampled
from effml.experiments.deediff.quality import Judge
from effml.models.exits.sampling import Full


def ablation(run: Run, config: Config, task: training.Task, judge: Judge) -> None:
    """Full models at equal steps: with and without the layer-wise loss, other uncertainty inputs, and a smaller net."""
    other = "tokens" if config.model.uem == "concat" else "concat"
    variants: dict[str, dict[str, Any]] = {
        "all losses": {},
        "no layer-wise loss": {"layerwise": False},
        f"uncertainty from {other}": {"uem": other},
        "head per layer": {"head": "per_layer"},
        "smaller net, 3 blocks": {"depth": 2, "layerwise": False},
    }
    for variant, change in variants.items():
        name = "main" if not change else variant.replace(",", "").replace(" ", "-")
        net = network(run, config, task, name, **change)
        labels = {"dataset": task.name, "variant": variant}
        quality = judge(sampled(run, config, task, Full(net)).images)
        run.record("ablation", labels, "loss", training.simple_loss(net, task, run.generator("loss")))
        run.record("ablation", labels, "fd", quality.fd)
        run.record("ablation", labels, "kid", quality.kid)
        run.record("ablation", labels, "parameters", backbone(net))
