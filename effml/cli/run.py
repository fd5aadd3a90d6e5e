"""`effml run`: one run of one experiment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from effml.cli.words import Dataset, Device, Experiment, Json, Overrides, Preset, Results

LONG_SECONDS = 30  # a cost above this is announced before the run


def run(
    experiment: Experiment,
    overrides: Overrides = None,
    dataset: Dataset = None,
    preset: Preset = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    device: Device = "auto",
    results: Results = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved config and the cost, run nothing.")
    ] = False,
    json: Json = False,
    resume: Annotated[str | None, typer.Option(help="Go on from the finished stages of that run.")] = None,
    folder: Annotated[Path | None, typer.Option(hidden=True, help="A run folder made by a sweep.")] = None,
) -> None:
    """Run one experiment: `effml run maxk --dataset cora model.k=16`."""
    from effml.experiments.core import devices, registry
    from effml.experiments.core.config import compose
    from effml.experiments.core.places import results_root

    chosen = registry.get(experiment)
    resolved = compose(chosen, overrides or [], dataset, preset)
    devices.check_name(device, takes_plugins=chosen.plugins)
    cost = chosen.cost(resolved.config)
    if dry_run:
        _print_plan(resolved, cost, json)
        return
    root = results_root(results)
    _writable(root)
    check_given(chosen, resolved.config, root, resume)
    if cost is not None and cost.seconds >= LONG_SECONDS:
        print(f"expected on two cores: {_cost_line(cost)}", file=sys.stderr)

    from effml.experiments.core.execute import Request, execute
    from effml.experiments.core.progress import display
    from effml.experiments.core.report import print_run

    with display(quiet=json) as shown:
        row, folder = execute(Request(resolved, seed, device, root, resume, folder), shown)
    if json:
        from effml.experiments.core.store import encode

        print(encode(row))
    else:
        print_run(chosen, row, folder)


def _print_plan(resolved: Any, cost: Any, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps({"experiment": resolved.experiment.name, "hash": resolved.hash, "config": resolved.values}))
        return
    import yaml

    print(yaml.safe_dump(resolved.values, sort_keys=False), end="")
    print(f"# experiment {resolved.experiment.name}, preset {resolved.preset}, config {resolved.hash[:8]}")
    if cost is not None:
        print(f"# expected on two cores: {_cost_line(cost)}")


def _cost_line(cost: Any) -> str:
    minutes = f"{cost.seconds / 60:.0f} min" if cost.seconds >= 90 else f"{cost.seconds:.0f} s"
    memory = f", {cost.memory_bytes / 1e9:.1f} GB of memory" if cost.memory_bytes >= 1e9 else ""
    return f"about {minutes}{memory}" + (f" ({cost.why})" if cost.why else "")


def check_given(experiment: Any, config: Any, root: Path, resume: str | None = None) -> None:
    """Refuse an absent file or run before anything heavy is imported."""
    from effml.experiments.core import store

    if resume is not None:
        store.find(root, resume)
    from effml.experiments.data import registry

    dataset = config.dataset
    known = set(registry.names())  # an experiment may also have data of its own making, and `file` of its own kind
    if dataset.name in known or (dataset.name == registry.OWN and known & set(experiment.datasets)):
        registry.check_path(dataset.name, dataset.path, experiment.datasets)


def _writable(root: Any) -> None:
    """Refuse a results folder that cannot be written before anything heavy is imported."""
    from effml.experiments.core.store import writing

    with writing(root):
        (root / "runs").mkdir(parents=True, exist_ok=True)
        probe = root / "runs" / ".probe"
        probe.write_text("")
        probe.unlink(missing_ok=True)
