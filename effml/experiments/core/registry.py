"""The experiments there are, found by folder: a package with a `config.py` that defines EXPERIMENT. Imports no torch."""

from __future__ import annotations

import importlib

from effml.errors import UserError
from effml.experiments.core.options import unknown
from effml.experiments.core.places import conf_roots, experiment_roots
from effml.experiments.core.spec import Experiment

NOT_EXPERIMENTS = {"core", "data"}


def names() -> list[str]:
    """Ids of all experiments, sorted."""
    found = set()
    for root in experiment_roots():
        for config in root.glob("*/config.py"):
            if config.parent.name not in NOT_EXPERIMENTS:
                found.add(config.parent.name)
    return sorted(found)


def get(name: str) -> Experiment:
    """The experiment called `name`; UserError with the nearest names otherwise."""
    known = names()
    if name not in known:
        raise unknown("experiment", name, known)
    module = importlib.import_module(f"effml.experiments.{name}.config")
    experiment = getattr(module, "EXPERIMENT", None)
    if not isinstance(experiment, Experiment) or experiment.name != name:
        raise UserError(f"experiments/{name}/config.py must define EXPERIMENT = Experiment(name={name!r}, ...)")
    return experiment


def everything() -> list[Experiment]:
    return [get(name) for name in names()]


def presets(name: str) -> list[str]:
    """Names of the YAML presets of an experiment."""
    return _yaml_names(f"experiment/{name}")


def dataset_settings(name: str) -> list[str]:
    """Data sets for which the experiment has settings of its own."""
    return _yaml_names(f"experiment/{name}/dataset")


def grids(name: str) -> list[str]:
    """Named sweeps of an experiment."""
    return _yaml_names(f"sweep/{name}")


def _yaml_names(folder: str) -> list[str]:
    found: set[str] = set()
    for root in conf_roots():
        found.update(path.stem for path in (root / folder).glob("*.yaml"))
    return sorted(found)
