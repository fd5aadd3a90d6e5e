"""What a user sees on the terminal: the menu, an experiment's description, a run's tables. The only printing with rich."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from effml.errors import UserError
from effml.experiments.core import registry, store
from effml.experiments.core.options import Option, nearest
from effml.experiments.core.render import footnotes, grid, markdown
from effml.experiments.core.spec import Experiment
from effml.experiments.core.tables import View, build


def print_table(heads: list[str], body: list[list[str]], title: str | None = None, right: int | None = None) -> None:
    """A table on stdout; columns from `right` on are right-aligned. Plain tab-separated lines when piped."""
    if not sys.stdout.isatty():
        for row in [heads, *body]:
            print("\t".join(row))
        return
    console = Console()
    need = [max(0, *map(len, h.split()), *(len(row[i]) for row in body)) for i, h in enumerate(heads)]
    parts = _parts(need, right, console.width)
    for number, part in enumerate(parts):
        table = RichTable(title_justify="left", header_style="bold", show_edge=False, pad_edge=False)
        table.title = Text(title) if title and not number else None
        for index in part:
            side: Literal["left", "right"] = "left" if right is None or index < right else "right"
            width = need[index] if len(parts) > 1 and len(part) > (right or 0) + 1 else None
            table.add_column(Text(heads[index]), justify=side, overflow="fold", width=width)
        for row in body:
            table.add_row(*(Text(row[index]) for index in part))  # never markup: `seconds [s]` is not struck out
        if number:
            console.print()
        console.print(table)


def _parts(need: list[int], right: int | None, width: int) -> list[list[int]]:
    """Columns that fit `width` side by side, those left of `right` in each part: no number is broken in two.

    `need` is the least characters of each column; one that does not fit beside the labels is a part of its own.
    """
    if right is None:
        return [list(range(len(need)))]
    rule = 3  # characters between two columns
    labels, parts = list(range(right)), [list[int]()]
    room = left = width + rule - sum(least + rule for least in need[:right])
    for index in range(right, len(need)):
        if parts[-1] and need[index] + rule > left:
            parts.append([])
            left = room
        parts[-1].append(index)
        left -= need[index] + rule
    return [labels + part for part in parts]


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
            view = build(experiment, table, [{**row, "status": "ok"}], smoke=True)
            view.missing = list  # told by `effml table`, not after every run
            view.lines = [line for line in view.lines if line.cells]
            print_view(view)
            print()
    artifacts = sorted(path for path in (folder / "artifacts").rglob("*") if path.is_file()) if folder.is_dir() else []
    seconds = row["time"]["wall_seconds"]
    print(
        f"{row['status']} in {seconds:.1f} s, seed {row['seed']}, {row['device']['name']}: {store.shown(folder)}",
        file=sys.stderr,
    )
    if row["error"]:
        print(f"{row['error']['class']}: {row['error']['message']}", file=sys.stderr)
    if artifacts:
        names = ", ".join(str(path.relative_to(folder)) for path in artifacts[:8])
        print(
            f"artifacts: {names}" + (f" and {len(artifacts) - 8} more" if len(artifacts) > 8 else ""), file=sys.stderr
        )


def print_view(view: View) -> None:
    """One table: cut to the width of a terminal, Markdown when piped."""
    if not sys.stdout.isatty() or not view.lines:
        print(markdown(view), end="")
        return
    heads, body = grid(view)
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
    known = [*files, "artifacts"]
    registry.names()
    module = f"effml.experiments.{folder.parent.name}.show"
    if importlib.util.find_spec(module) is not None:
        try:
            return importlib.import_module(module).show(folder, item)
        except UserError as error:
            raise UserError(f"{error}; or of every run {', '.join(known)}") from None
    close = nearest(item, known)
    raise UserError(f"{folder.parent.name} runs have no item '{item}'; there is {', '.join(close or known)}")
