"""Shell completion; reads folders and `config.py` files only, so that a TAB never waits for torch."""

from __future__ import annotations

import typer

from effml.errors import Outcome
from effml.experiments.core import registry
from effml.experiments.core.options import options_of


def experiments(incomplete: str) -> list[tuple[str, str]]:
    found = [(name, registry.get(name).title) for name in registry.names() if name.startswith(incomplete)]
    return found


def presets(context: typer.Context) -> list[str]:
    return registry.presets(context.params.get("experiment") or "")


def datasets(context: typer.Context) -> list[str]:
    name = context.params.get("experiment")
    if not name:
        return []
    return list(dict.fromkeys([*registry.get(name).datasets, *registry.dataset_settings(name), "file"]))


def overrides(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Keys (`model.<TAB>`), and values where an option has choices."""
    name = context.params.get("experiment")
    if not name:
        return []
    try:
        experiment = registry.get(name)
    except Outcome:
        return []
    known = options_of(experiment.config)
    if "=" in incomplete:
        key = incomplete.split("=", 1)[0]
        values = {"dataset": datasets(context), "preset": registry.presets(name)}.get(key, [])
        for option in known:
            if option.key == key:
                values = [
                    str(choice) for choice in option.choices or (["true", "false"] if option.type is bool else [])
                ]
        return [(f"{key}={value}", "") for value in values if f"{key}={value}".startswith(incomplete)]
    keys = [("dataset=", "a data set"), ("preset=", "smoke, default or paper")]
    keys += [(f"{option.key}=", option.help) for option in known]
    return [(key, text) for key, text in keys if key.startswith(incomplete)]


def tables(incomplete: str) -> list[str]:
    names = ["all", "verdicts"]
    for experiment in registry.everything():
        names += [experiment.name, *(f"{experiment.name}.{table.id}" for table in experiment.tables)]
    return [name for name in names if name.startswith(incomplete)]
