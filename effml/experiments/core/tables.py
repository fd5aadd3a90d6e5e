"""Tables as pure functions of stored rows: which cell is filled by which measurements, and what the paper says there.

Per cell: among the ok rows that measured it on one device, the config of the newest one wins, and its seeds are averaged.
Runs of the `smoke` preset feed no table unless it is asked for them.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from effml.experiments.core.paper import Published, published
from effml.experiments.core.spec import Experiment, Table
from effml.experiments.core.store import Row, newest

Labels = tuple[tuple[str, Any], ...]

SHOWN = 6  # commands that fill empty cells, at most


@dataclass
class Cell:
    """A measured cell: mean over seeds, standard deviation (None for one seed), and where it comes from."""

    value: float | None
    sd: float | None
    n: int
    unit: str
    evidence: str
    device: str
    runs: list[str] = field(default_factory=list)
    note: str = ""
    samples: list[float] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    """What older configs that gave another value had set otherwise: `train.epochs=2`."""


@dataclass(frozen=True)
class Column:
    """One column: a metric, the value of the column label if the table has one, and a device."""

    metric: str
    unit: str
    label: Any = None
    device: str = ""
    name: str = ""


@dataclass
class Line:
    """One row of a table: its labels, measured cells and published numbers by column name."""

    labels: dict[str, Any]
    cells: dict[str, Cell]
    paper: dict[str, Published]


@dataclass
class View:
    """A table ready to be rendered."""

    id: str
    title: str
    labels: tuple[str, ...]
    columns: list[Column]
    lines: list[Line]
    devices: list[str]
    missing: Callable[[], list[str]]
    """Commands that would fill empty cells; asked for only where they are shown, as each is tried."""
    note: str
    digits: Any
    told: bool
    """Whether it says something: a cell was measured, or it holds published numbers beside which no command could put any."""


def build(experiment: Experiment, table: Table, rows: list[Row], *, smoke: bool = False, paper: bool = True) -> View:
    """Fill `table` from rows of its experiment (others are ignored)."""
    mine = [row for row in rows if row["experiment"] == experiment.name and (smoke or row.get("preset") != "smoke")]
    measured = _measured(table, newest(mine))
    numbers = [entry for entry in published(experiment.name) if table.holds(entry.table, entry.metric)] if paper else []
    numbers = [entry for entry in numbers if _matches(entry.labels, table.where)]
    devices = sorted({cell.device for cell in measured.values()})
    columns = _columns(table, experiment, measured, numbers, devices if _by_device(table) else [])
    keys = {key for key, _, _, _ in measured} | {
        _key(entry.labels, table.rows) for entry in numbers if entry.value is not None
    }
    lines = []
    for key in sorted(keys, key=lambda key: _order(key, table)):
        cells = {
            column.name: cell
            for column in columns
            if (cell := measured.get((key, column.metric, _hashable(column.label), column.device))) is not None
        }
        said = {column.name: entry for column in columns for entry in numbers if _same_cell(entry, key, column, table)}
        lines.append(Line(dict(key), cells, said))
    return View(
        id=f"{experiment.name}.{table.id}",
        title=table.title,
        labels=table.rows,
        columns=columns,
        lines=lines,
        devices=devices,
        missing=partial(_missing, table, lines, columns, experiment),
        note=table.note,
        digits=table.digits,
        told=any(line.cells or (line.paper and not table.fill) for line in lines),
    )


def cells_of(
    experiment: Experiment, table_id: str, rows: list[Row], *, where: dict[str, Any], smoke: bool = False
) -> Iterator[tuple[dict[str, Any], str, Cell]]:
    """Every cell measured under a table's name, by its full labels: (labels, metric, cell), for plots."""
    mine = [row for row in rows if row["experiment"] == experiment.name and (smoke or row.get("preset") != "smoke")]
    found: dict[tuple[Labels, str, str], list[tuple[Row, dict[str, Any]]]] = {}
    for row in newest(mine):
        last = {
            (tuple(sorted(item["labels"].items(), key=str)), item["metric"]): item
            for item in row["measurements"]
            if item["table"] == table_id and _matches(item["labels"], where)
        }
        for (labels, metric), item in last.items():
            found.setdefault((labels, metric, row["device"]["name"]), []).append((row, item))
    for (labels, metric, _), entries in found.items():
        yield dict(labels), metric, _cell(entries)


def _measured(table: Table, rows: list[Row]) -> dict[tuple[Labels, str, Any, str], Cell]:
    """(row key, metric, column label, device) -> cell."""
    found: dict[tuple[Labels, str, Any, str], list[tuple[Row, dict[str, Any]]]] = {}
    for row in rows:
        last: dict[tuple[Labels, str, Any, str], dict[str, Any]] = {}
        for item in row["measurements"]:
            if not table.holds(item["table"], item["metric"]) or not _matches(item["labels"], table.where):
                continue
            label = None if table.columns == "metric" else _hashable(item["labels"].get(table.columns))
            device = row["device"]["name"] if _by_device(table) else ""
            last[_key(item["labels"], table.rows), item["metric"], label, device] = item
        for place, item in last.items():
            found.setdefault(place, []).append((row, item))
    return {place: _cell(entries) for place, entries in found.items()}


def _by_device(table: Table) -> bool:
    """Whether devices get columns of their own; not where a label names the device already."""
    return "device" not in (*table.rows, table.columns)


def _cell(entries: list[tuple[Row, dict[str, Any]]]) -> Cell:
    newest_row = max(entries, key=lambda entry: entry[0]["run_id"])[0]
    winner = newest_row["config_hash"]
    kept = [(row, item) for row, item in entries if row["config_hash"] == winner]
    kept.sort(key=lambda entry: entry[0]["seed"])
    values = [item["value"] for _, item in kept if item["value"] is not None]
    ranks = ["measured", "recorded", "synthetic-data", "simulated", "paper"]
    evidence = max((item["evidence"] for _, item in kept), key=ranks.index)
    samples = [sample for _, item in kept for sample in item.get("samples", [])]
    return Cell(
        value=statistics.fmean(values) if values else None,
        sd=statistics.stdev(values) if len(values) > 1 else None,
        n=len(values),
        unit=kept[-1][1]["unit"],
        evidence=evidence,
        device=kept[-1][0]["device"]["name"],
        runs=[row["run_id"] for row, _ in kept],
        note=next((item["note"] for _, item in kept if item.get("note")), ""),
        samples=samples,
        also=sorted(
            {text for row, item in entries if item["value"] not in values for text in _otherwise(newest_row, row)}
        ),
    )


def _otherwise(newest_row: Row, row: Row) -> Iterator[str]:
    """Settings of `row` that differ; not lists and the suite, which tell what else a run measured."""
    if row["config_hash"] == newest_row["config_hash"]:
        return
    now = dict(_flat(newest_row.get("config", {})))
    for key, value in _flat(row.get("config", {})):
        if key in now and now[key] != value and key != "suite" and not isinstance(value, list):
            yield f"{key}={value}"


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _columns(
    table: Table, experiment: Experiment, measured: dict[Any, Cell], numbers: list[Published], devices: list[str]
) -> list[Column]:
    """Every column that holds anything, metrics in declared order, label values sorted, devices side by side."""
    seen: dict[tuple[str, Any, str], str] = {}
    for (_, metric, label, device), cell in measured.items():
        seen[metric, label, device] = cell.unit
    for entry in numbers:
        label = None if table.columns == "metric" else _hashable(entry.labels.get(table.columns))
        for device in devices or [""]:
            seen.setdefault((entry.metric, label, device), entry.unit)
    columns = []
    for metric, label, device in seen:
        name = metric if table.columns == "metric" else f"{label}" if len(table.metrics) == 1 else f"{label} {metric}"
        if len(devices) > 1:
            name += f" [{device}]"
        columns.append(Column(metric, seen[metric, label, device], label, device, name))
    order = table.order.get(table.columns, [])
    columns.sort(key=lambda c: (_rank(c.label, order), table.metrics.index(c.metric), c.device))
    return columns


def _missing(table: Table, lines: list[Line], columns: list[Column], experiment: Experiment) -> list[str]:
    """The first commands that would fill empty cells, each once; one more than is shown tells that there are others.

    A command that has filled another row of the table leaves a row of the paper's alone empty for good.
    """
    if not table.fill:
        return []
    commands: list[str] = []
    tried = {_command(table, line.labels) for line in lines if line.cells} if table.columns == "metric" else set()
    for line in lines:
        for column in columns:
            wanted = column.name not in line.cells and (table.columns == "metric" or column.name in line.paper)
            if not wanted or (line.cells and column.name not in line.paper):
                continue
            labels = {**line.labels, **({} if table.columns == "metric" else {table.columns: column.label})}
            command = _command(table, labels)
            if not line.cells and command in tried:
                continue
            if command not in commands and len(commands) <= SHOWN and _runs(command):
                commands.append(command)
    return commands


def _command(table: Table, labels: dict[str, Any]) -> str:
    if callable(table.fill):
        return table.fill(labels)
    try:
        return table.fill.format(**labels)
    except (KeyError, IndexError):
        return table.fill


@cache
def _runs(command: str) -> bool:
    """Whether the options of an `effml run` are taken: a paper also has rows of several graphs, or of graphs of its own."""
    from effml.errors import UserError
    from effml.experiments.core import registry
    from effml.experiments.core.config import compose

    try:
        words = shlex.split(command)
    except ValueError:  # a label with a quotation mark
        return False
    if words[:2] != ["effml", "run"]:
        return True
    given, rest, left = {}, [], iter(words[3:])
    for word in left:
        if word.startswith("--"):
            given[word] = next(left, "")
        else:
            rest.append(word)
    try:
        compose(registry.get(words[2]), rest, given.get("--dataset"), given.get("--preset"))
    except UserError:
        return False
    return True


def _matches(labels: dict[str, Any], where: dict[str, Any]) -> bool:
    return all(labels.get(key) == value for key, value in where.items())


def _key(labels: dict[str, Any], names: tuple[str, ...]) -> Labels:
    return tuple((name, _hashable(labels.get(name))) for name in names)


def _hashable(value: Any) -> Any:
    # 16 and 16.0 are one label; True is not 1.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _same_cell(entry: Published, key: Labels, column: Column, table: Table) -> bool:
    if entry.metric != column.metric or _key(entry.labels, table.rows) != key:
        return False
    return table.columns == "metric" or _hashable(entry.labels.get(table.columns)) == column.label


def _order(key: Labels, table: Table) -> list[Any]:
    return [_rank(value, table.order.get(name, [])) for name, value in key]


def _rank(value: Any, order: list[Any]) -> tuple[Any, ...]:
    """Given order first, then numbers by size, then words, then nothing."""
    if value in order:
        return (0, order.index(value), "")
    if isinstance(value, bool | None):
        return (3, 0, str(value))
    if isinstance(value, int | float):
        return (1, value, "")
    return (2, 0, str(value))
