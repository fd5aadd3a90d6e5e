"""`effml plot` and `effml report`: figures from stored rows, and everything on one page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from effml.cli.words import Results


def plot(
    what: Annotated[str, typer.Argument(help="EXPERIMENT.PLOT, EXPERIMENT or all.")] = "all",
    smoke: Annotated[bool, typer.Option("--smoke", help="Draw runs of the smoke preset, too.")] = False,
    results: Results = None,
) -> None:
    """Figures as SVG and PNG, each with its points as CSV beside, in `figures/` of the results folder."""
    from effml.experiments.core import committed, store
    from effml.experiments.core.places import results_root
    from effml.experiments.core.plots import draw

    root = results_root(results)
    drawn = 0
    for experiment, chosen in committed.select_plots(what):
        for path in draw(root, experiment, chosen, store.all_rows(root, experiment.name), smoke=smoke):
            drawn += 1
            print(store.shown(path))
    if not drawn:
        hint = "" if smoke else " (--smoke draws those of the smoke preset, too)"
        print(f"no measurements to draw yet; `effml run EXP` makes some{hint}", file=sys.stderr)


def report(
    output: Annotated[Path | None, typer.Option("--output", help="Default: report.html of the results folder.")] = None,
    results: Results = None,
) -> None:
    """One self-contained HTML page of all tables, figures and sample artifacts, with where each number comes from."""
    from effml.experiments.core import store
    from effml.experiments.core.page import write
    from effml.experiments.core.places import results_root

    root = results_root(results)
    path = output or root / "report.html"
    size = write(root, path)
    print(f"{store.shown(path)} ({size / 1e6:.1f} MB, opens without network)")
