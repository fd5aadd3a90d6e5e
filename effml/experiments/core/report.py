"""What a user sees on the terminal: the menu, an experiment's description, a run's tables. The only printing with rich."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from effml.errors import UserError
from effml.experiments.core import registry, store
from effml.experiments.core.options import Option, nearest
from effml.experiments.core.render import (
    EMPTY,
    cell_text,
    digits_of,
    footnotes,
    header,
    markdown,
    paper_text,
    shown_columns,
)
from effml.experiments.core.spec import Experiment
from effml.experiments.core.tables import View, build


def print_table(heads: list[str], body: list[list[str]], title: str | None = None, right: int | None = None) -> None:
    """A table on stdout; columns from `right` on are right-aligned. Plain tab-separated lines when piped."""
    if not sys.stdout.isatty():
        for row in [heads, *body]:
            print("\t".join(row))
        return
    table = RichTable(title=title, title_justify="left", header_style="bold", show_edge=False, pad_edge=False)
    for index, head in enumerate(heads):
        table.add_column(head, justify="right" if right is not None and index >= right else "left", overflow="fold")
    for row in body:
        table.add_row(*row)
    Console().print(table)


def print_menu(experiments: list[Experiment]) -> None:
    """`effml list`."""
    print_table(
        ["experiment", "what it finds out", "paper", "suites"],
        [[e.name, e.title, e.paper, "|".join(e.suites)] for e in experiments],
    )
    if experiments:
        first = experiments[0].name
        name = "maxk" if any(e.name == "maxk" for e in experiments) else first
        print(f"\nstart with: effml run {name}    everything about one: effml describe {name}", file=sys.stderr)


def print_description(experiment: Experiment, options: list[Option]) -> None:
    """`effml describe EXP`."""
    print(f"{experiment.name}: {experiment.title}\n{experiment.paper}\n")
    print_table(
        ["option", "type", "default", "what"],
        [
            [o.key, o.expected(), "" if o.default is None else str(o.default), o.help]
            for o in options
            if o.key not in ("dataset.name",)
        ],
    )
    print(f"\ndata sets: {', '.join([*experiment.datasets, 'file'])}   (effml data list)")
    print(f"presets: {', '.join(registry.presets(experiment.name)) or 'default'}")
    grids = registry.grids(experiment.name)
    if grids:
        print(f"named sweeps: {', '.join(grids)}   (effml sweep {experiment.name} --grid NAME)")
    print(f"cost of the default run on two cores: {_default_cost(experiment)}")
    print("\nmetrics:")
    for metric in experiment.metrics:
        unit = f" [{metric.unit}]" if metric.unit not in ("", "1") else ""
        better = f", {metric.better} is better" if metric.better else ""
        print(f"  {metric.name}{unit}: {metric.help}{better}")
    print("\ntables:")
    for table in experiment.tables:
        print(f"  {experiment.name}.{table.id}: {table.title}")


def _default_cost(experiment: Experiment) -> str:
    from effml.experiments.core.config import compose

    cost = experiment.cost(compose(experiment, []).config)
    if cost is None:
        return "seconds"
    return f"about {cost.seconds / 60:.1f} min" + (f" ({cost.why})" if cost.why else "")


def print_run(experiment: Experiment, row: store.Row, folder: Path) -> None:
    """The tables of one run, and where it lies."""
    for table in experiment.tables:
        if any(table.holds(item["table"], item["metric"]) for item in row["measurements"]):
            print_view(build(experiment, table, [{**row, "status": "ok"}], smoke=True))
            print()
    artifacts = sorted(path for path in (folder / "artifacts").rglob("*") if path.is_file()) if folder.is_dir() else []
    seconds = row["time"]["wall_seconds"]
    print(
        f"{row['status']} in {seconds:.1f} s, seed {row['seed']}, {row['device']['name']}: {store.shown(folder)}",
        file=sys.stderr,
    )
    if artifacts:
        names = ", ".join(str(path.relative_to(folder)) for path in artifacts[:8])
        print(
            f"artifacts: {names}" + (f" and {len(artifacts) - 8} more" if len(artifacts) > 8 else ""), file=sys.stderr
        )


def print_view(view: View) -> None:
    """One table: rich on a terminal, Markdown when piped. What is missing is told by `effml table`, not after every run."""
    view.missing = list
    view.lines = [line for line in view.lines if line.cells]
    if not sys.stdout.isatty():
        print(markdown(view), end="")
        return
    columns = shown_columns(view)
    heads = [*view.labels, *(header(column, paper, view) for column, paper in columns)]
    body = []
    for line in view.lines:
        cells = [EMPTY if line.labels[name] is None else str(line.labels[name]) for name in view.labels]
        for column, paper in columns:
            digits = digits_of(view, column.metric)
            if paper:
                cells.append(paper_text(line.paper.get(column.name), digits))
            else:
                cells.append(cell_text(line.cells.get(column.name), digits))
        body.append(cells)
    print_table(heads, body, title=f"{view.id}: {view.title}", right=len(view.labels))
    for note in footnotes(view):
        print(f"  {note}")


def run_item(folder: Path, row: store.Row | None, item: str) -> str:
    """One part of a run as text: config, row, log, metrics, artifacts, or what the experiment's `show.py` offers."""
    files = {"config": "config.yaml", "row": "row.json", "log": "log.txt", "metrics": "metrics.jsonl"}
    if item in files:
        path = folder / files[item]
        if not path.is_file():
            raise UserError(f"{folder.name} has no {item} yet")
        return path.read_text(encoding="utf-8").rstrip("\n")
    if item == "artifacts":
        found = sorted(path for path in (folder / "artifacts").rglob("*") if path.is_file())
        return "\n".join(f"{path.stat().st_size:>12,}  {store.shown(path)}" for path in found) or "none"
    registry.names()
    module = f"effml.experiments.{folder.parent.name}.show"
    if importlib.util.find_spec(module) is not None:
        return importlib.import_module(module).show(folder, item)
    known = [*files, "artifacts"]
    close = nearest(item, known)
    raise UserError(f"{folder.parent.name} runs have no item '{item}'; there is {', '.join(close or known)}")
