"""`effml sweep`: a grid of runs, resumed by itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from effml.cli.words import Dataset, Device, Experiment, Overrides, Preset, Results

if TYPE_CHECKING:
    from effml.experiments.core.plan import Job, Plan


def sweep(
    experiment: Experiment,
    overrides: Overrides = None,
    grid: Annotated[str | None, typer.Option(help="A named sweep; `effml describe EXP` lists them.")] = None,
    dataset: Dataset = None,
    preset: Preset = None,
    seeds: Annotated[str | None, typer.Option(help="0:5 for 0 to 4, or 0,2,4.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once; runs that measure time are always alone.")] = 1,
    engine: Annotated[str, typer.Option(help="local, slurm or ray.")] = "local",
    engine_option: Annotated[
        list[str] | None, typer.Option("--engine-option", help="key=value for the engine, such as slurm_partition=gpu.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again just what failed before.")] = False,
    max_runs: Annotated[int | None, typer.Option(min=1, help="Start at most so many runs.")] = None,
    timeout: Annotated[float | None, typer.Option(min=1, help="Seconds after which a run is killed.")] = None,
    device: Device = "auto",
    results: Results = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, run nothing.")] = False,
) -> None:
    """Run a grid: `effml sweep maxk model.k=8,16,32 dataset=cora,citeseer --seeds 0:3`. The same command again goes on."""
    from effml.errors import RunInterrupted, SweepFailed, UserError
    from effml.experiments.core import devices, engines, plan, registry
    from effml.experiments.core.places import results_root
    from effml.experiments.core.progress import sweep_display
    from effml.experiments.core.sweep import Sweep, visible_gpus

    chosen = registry.get(experiment)
    devices.check_name(device, takes_plugins=chosen.plugins)
    words = list(overrides or []) + ([f"dataset={dataset}"] if dataset else [])
    named = plan.grid(grid, chosen) if grid else {"blocks": [[]]}
    if engine not in engines.NAMES:
        raise UserError(f"unknown engine '{engine}'; there is {', '.join(engines.NAMES)}")
    root = results_root(results)
    points = plan.expand(
        chosen,
        [[*block, *words] for block in named["blocks"]],
        plan.seeds_of(seeds or str(named.get("seeds", "0"))),
        preset or named.get("preset"),
    )
    made = plan.make(root, chosen, points, device, retry_failed)
    todo = made.todo[:max_runs]
    _say(
        f"{len(points)} runs: {len(todo)} to do, {len(made.done)} done, {len(made.failed)} failed before{_time(made, todo)}"
    )
    if made.failed:
        _say("failed runs are tried again with --retry-failed")
    if dry_run:
        for job in todo:
            print(job.name)
        return
    gpus = visible_gpus() if device in ("auto", "cuda") else []
    where = engines.create(engine, engines.options(engine_option or []))
    with sweep_display(len(todo)) as watcher:
        carried = Sweep(root, todo, where, watcher, jobs, device, timeout, gpus)
        counts = carried.run()
    _say(f"{counts['ok']} ok, {counts['failed']} failed, {counts['interrupted']} interrupted")
    if carried.stopped:
        raise RunInterrupted("sweep interrupted; the same command goes on where it stopped", {}, root)
    if counts["failed"]:
        raise SweepFailed(f"{counts['failed']} of {len(todo)} runs failed; their rows name error and log")
    if made.failed:
        raise SweepFailed(f"{len(made.failed)} runs had failed before and were not tried again (--retry-failed)")


def _time(made: Plan, todo: list[Job]) -> str:
    seconds = made.seconds
    if seconds is None or not todo:
        return ""
    return f", about {seconds / 60:.0f} min one after the other" if seconds >= 90 else f", about {seconds:.0f} s"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
