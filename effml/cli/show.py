"""`effml show`: look into one run."""

from __future__ import annotations

from typing import Annotated

import typer

from effml.cli.words import Results


def show(
    run: Annotated[str, typer.Argument(help="A run id, the beginning of one, or `last`.")],
    item: Annotated[
        str | None, typer.Argument(help="config, row, log, metrics, artifacts, or an item of the experiment's own.")
    ] = None,
    results: Results = None,
) -> None:
    """A run's results, config, log or artifacts; or one item of it (a puzzle's graph, a design's history)."""
    from effml.experiments.core import store
    from effml.experiments.core.places import results_root
    from effml.experiments.core.report import print_run, run_item

    folder = store.find(results_root(results), run)
    row = store.read_row(folder)
    if item is not None:
        print(run_item(folder, row, item))
        return
    if row is None:
        print(f"{folder.name}: {store.state(folder)}, no row written yet")
        return
    from effml.experiments.core import registry

    print_run(registry.get(row["experiment"]), row, folder)
