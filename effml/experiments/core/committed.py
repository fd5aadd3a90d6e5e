"""The committed evidence: `results/rows/*.jsonl` and the tables in `results/tables/` that follow from them."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

from effml.errors import Differs
from effml.experiments.core import registry, store, verdicts
from effml.experiments.core.options import unknown
from effml.experiments.core.render import markdown
from effml.experiments.core.spec import Experiment, Plot, Table
from effml.experiments.core.tables import build

Selection = list[tuple[Experiment, Table]]


def select(what: str) -> Selection:
    """The tables that `all`, EXPERIMENT or EXPERIMENT.TABLE means."""
    if what == "all":
        return [(experiment, table) for experiment in registry.everything() for table in experiment.tables]
    name, _, table_id = what.partition(".")
    experiment = registry.get(name)
    if not table_id:
        return [(experiment, table) for table in experiment.tables]
    table = experiment.table(table_id)
    if table is None:
        raise unknown("table", what, [f"{name}.{known.id}" for known in experiment.tables])
    return [(experiment, table)]


def select_plots(what: str) -> list[tuple[Experiment, Plot]]:
    """The plots that `all`, EXPERIMENT or EXPERIMENT.PLOT means."""
    if what == "all":
        return [(experiment, plot) for experiment in registry.everything() for plot in experiment.plots]
    name, _, plot_id = what.partition(".")
    experiment = registry.get(name)
    plots = [plot for plot in experiment.plots if not plot_id or plot.id == plot_id]
    if plot_id and not plots:
        raise unknown("plot", what, [f"{name}.{known.id}" for known in experiment.plots])
    return [(experiment, plot) for plot in plots]


def path_of(root: Path, experiment: Experiment, table: Table) -> Path:
    return root / "tables" / f"{experiment.name}.{table.id}.md"


def expected(root: Path, experiment: Experiment, table: Table) -> str:
    """The committed table as its committed rows give it; empty where there is nothing to tell."""
    view = build(experiment, table, store.committed_rows(root, experiment.name))
    return markdown(view) if view.told else ""


def _worth_committing(row: store.Row) -> bool:
    """Not a smoke run, and not of a device that only stands in for one (virtual clock, published rows)."""
    stands_in = row["device"]["kind"] == "plugin" and all(
        m["evidence"] in ("simulated", "paper") for m in row["measurements"]
    )
    return row.get("preset") != "smoke" and not stands_in


def update(root: Path) -> None:
    """Gather rows of finished, clean runs and rewrite every table that has measurements."""
    counts = store.gather(root, _worth_committing)
    with store.writing(root):
        (root / "tables").mkdir(parents=True, exist_ok=True)
    for experiment, table in select("all"):
        _keep(path_of(root, experiment, table), expected(root, experiment, table))
    _keep(root / "tables" / "verdicts.md", verdicts.markdown(root))
    for name, count in counts.items():
        print(f"{name}: {count} rows", file=sys.stderr)


def _keep(path: Path, text: str) -> None:
    if text:
        store.write_atomically(path, text)
    else:
        path.unlink(missing_ok=True)


def check(root: Path, wanted: Selection) -> None:
    """Raise Differs when a committed table is not what its committed rows give."""
    different = []
    pages = {}
    for experiment, table in wanted:
        pages[f"{experiment.name}.{table.id}"] = path_of(root, experiment, table), expected(root, experiment, table)
    if len(wanted) == len(select("all")):
        pages["verdicts"] = root / "tables" / "verdicts.md", verdicts.markdown(root)
    for name, (path, want) in pages.items():
        have = path.read_text(encoding="utf-8") if path.is_file() else ""
        if have != want:
            different.append(name)
            diff = difflib.unified_diff(
                have.splitlines(), want.splitlines(), "committed", "from rows", lineterm="", n=0
            )
            print("\n".join([f"--- {name}", *list(diff)[2:14]]), file=sys.stderr)
    if different:
        raise Differs(
            f"{len(different)} committed tables differ from their rows: {', '.join(different)}; run `make tables`"
        )
    print(f"{len(pages)} tables agree with their rows", file=sys.stderr)
