"""`effml table`: the papers' tables from stored rows."""

from __future__ import annotations

from typing import Annotated

import typer

from effml.cli import complete
from effml.cli.words import Results


def table(
    what: Annotated[
        str, typer.Argument(help="EXPERIMENT.TABLE, EXPERIMENT, all, or verdicts.", autocompletion=complete.tables)
    ] = "all",
    format: Annotated[
        str | None, typer.Option("--format", help="md, latex, csv or json; default md, on a terminal cut to its width.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Fail (exit 5) when a committed table differs from its rows.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Gather rows and rewrite the committed tables (`make tables`).")
    ] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Let runs of the smoke preset fill cells, too.")] = False,
    results: Results = None,
) -> None:
    """Tables beside the papers' numbers: mean ± standard deviation over seeds, marked by evidence and device."""
    from effml.errors import UserError
    from effml.experiments.core import committed, store, verdicts
    from effml.experiments.core.places import results_root
    from effml.experiments.core.render import FORMATS, render
    from effml.experiments.core.report import print_view
    from effml.experiments.core.tables import build

    if format is not None and format not in FORMATS:
        raise UserError(f"unknown format '{format}'; there is {', '.join(FORMATS)}")
    root = results_root(results)
    if what == "verdicts":
        print(verdicts.markdown(root), end="")
        return
    wanted = committed.select(what)
    if update:
        committed.update(root)
        return
    if check:
        committed.check(root, wanted)
        return
    several = len(wanted) > 1
    views = (build(e, chosen, store.all_rows(root, e.name), smoke=smoke) for e, chosen in wanted)
    if format == "json" and several:
        print("[" + ",\n".join(render(view, format).rstrip() for view in views) + "]")
        return
    for index, view in enumerate(views):
        if index and format in (None, "md"):
            print()
        if several and format == "csv":
            print(f"# {view.id}: {view.title}")
        if format is None:
            print_view(view)
        else:
            print(render(view, format), end="")
