"""What the curves of accuracy against budget put into tables: each point, how it was reached, what is left in each layer."""

from __future__ import annotations

from typing import Any

from effml.experiments.autorep.config import Config
from effml.experiments.autorep.curves import Curve, Reached, mask_path
from effml.experiments.autorep.data import Data
from effml.experiments.autorep.networks import build, model_name
from effml.experiments.core.run import Run
from effml.models.reduction.fit import accuracy
from effml.models.reduction.mask import ReluMask
from effml.models.reduction.network import GatedNetwork
from effml.models.reduction.point import degree_of


def record_curve(config: Config, run: Run, data: Data, teacher: GatedNetwork, curve: Curve) -> None:
    """The rows of one method's curve; one that diverged ends with a row that says so."""
    labels = {"dataset": data.name, "model": model_name(config), **vars(curve.method)}
    run.record("accuracy", {**labels, "budget": "100%"}, "accuracy", accuracy(teacher, *data.test))
    for reached in curve.points:
        _record_point(run, labels, reached)
    if curve.diverged is not None:
        where = {**labels, "budget": curve.diverged.budget}
        run.record("accuracy", where, "accuracy", None, note=f"diverged: {curve.diverged}")
    if curve.points:
        _record_layers(config, run, data, labels, curve.points[-1])


def _record_point(run: Run, labels: dict[str, Any], reached: Reached) -> None:
    """One point of the accuracy table, and how it was reached; the ReLUs are counted from the bits of its mask file."""
    where = {**labels, "budget": reached.budget}
    run.record("accuracy", where, "accuracy", reached.accuracy)
    run.record("points", where, "relus", ReluMask.load(mask_path(run, reached)).kept)
    run.record("points", where, "sites", reached.sites)
    for metric, value in reached.figures.items():
        run.record("points", where, metric, value)


def _record_layers(config: Config, run: Run, data: Data, labels: dict[str, Any], reached: Reached) -> None:
    """What is left in each layer at the smallest budget, and how large its pre-activations are."""
    network = build(config, data, degree_of(reached.method.replacement)).to(run.device)
    network.load_state_dict(reached.state)
    network.meter(data.batches.plain(config.train.probe_batches))
    for index, (name, site) in enumerate(network.sites.items(), 1):
        where = {**labels, "budget": reached.budget, "layer": f"{index:02d} {name}"}
        run.record("layers", where, "relus", site.kept)
        run.record("layers", where, "sites", site.size)
        run.record("layers", where, "share_kept", site.kept / site.size)
        run.record("layers", where, "largest", float(site.meter.largest.max()))
