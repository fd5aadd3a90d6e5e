"""Choices compared at one budget: the hysteresis threshold, the replacement, what shares a gate. All else stays equal."""

from __future__ import annotations

from typing import Any

from effml.experiments.autorep.config import Config
from effml.experiments.autorep.curves import Diverged, curve, settings_of
from effml.experiments.autorep.data import Data
from effml.experiments.autorep.networks import Method, model_name
from effml.experiments.core.run import Run
from effml.models.reduction.network import GatedNetwork


def measure_ablation(config: Config, run: Run, data: Data, teacher: GatedNetwork) -> None:
    """Train one point per choice and record the three tables. A point that two tables share is trained once."""
    chosen = config.ablation
    done: dict[tuple[str, float, str], dict[str, float | None]] = {}

    def point(
        replacement: str = chosen.replacement, threshold: float | None = None, gates: str | None = None
    ) -> dict[str, float | None]:
        threshold = config.gate.threshold if threshold is None else threshold
        gates = gates or config.gate.granularity
        key = (replacement, threshold, gates)
        if key not in done:
            method, settings = Method("autorep", replacement), settings_of(config, threshold=threshold)
            label = f"ablation-{chosen.steps}-{threshold:g}-{gates}"
            points = curve(config, run, data, teacher, method, [chosen.budget], chosen.steps, settings, label, gates)
            try:
                reached = next(reached for reached, _ in points)
                done[key] = {**reached.figures, "relus": reached.relus}
            except Diverged:
                done[key] = {}
        return done[key]

    where: dict[str, Any] = {"dataset": data.name, "model": model_name(config), "budget": chosen.budget}
    common = {**where, "replacement": chosen.replacement}
    for threshold in run.progress(chosen.thresholds, "thresholds"):
        figures = point(threshold=threshold)
        for metric in ("flips", "closed", "opened", "accuracy"):
            run.record("threshold", {**common, "threshold": threshold}, metric, figures.get(metric))
    for replacement in run.progress(chosen.replacements, "replacements"):
        figures = point(replacement)
        for metric in ("closed", "opened", "accuracy", "accuracy_last"):
            run.record("degree", {**where, "replacement": replacement}, metric, figures.get(metric))
    for gates in run.progress(chosen.granularities, "granularities"):
        figures = point(gates=gates)
        for metric in ("closed", "opened", "accuracy", "relus"):
            run.record("granularity", {**common, "gates": gates}, metric, figures.get(metric))
