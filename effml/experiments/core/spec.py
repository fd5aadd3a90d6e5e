"""How an experiment describes itself: options, metrics, tables, cost. Standard library only, so that `list`, `describe`
and completion never wait for torch.

An option exists once, as a dataclass field with type, default, help, bounds and choices; YAML presets only set values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

DIVERGED = "a training of the run diverged"
"""Begins the note of what was measured after a loss that was not finite."""


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[Any] | None = None,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
) -> Any:
    """A dataclass field that a user may set.

    Args:
        default: the value unless a preset or the user says otherwise; a list is copied for each config.
        help: one line, shown by `effml describe`.
        choices: the values allowed (each element's, for a list).
        low, high: inclusive bounds of a number (each element's, for a list).
        unit: the unit of the value, if it has one.
    """
    metadata = {
        "help": help,
        "choices": None if choices is None else tuple(choices),
        "low": low,
        "high": high,
        "unit": unit,
    }
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def group(kind: Callable[[], Any], help: str = "") -> Any:
    """A nested group of options: `group(Model)` gives keys `model.k`, `model.hidden` and so on."""
    return field(default_factory=kind, metadata={"help": help})


@dataclass
class Dataset:
    """The data of a run. Subclass it to add options of a data set (`scale`, `nodes` ...)."""

    name: str = option("", "a name from `effml data list`, or `file` for your own")
    path: str | None = option(None, "your own file or folder, with dataset=file")


@dataclass(frozen=True)
class Metric:
    """A measured quantity with a stable name.

    `better` is "higher", "lower" or "" where neither is.
    """

    name: str
    unit: str
    help: str
    better: str = ""


@dataclass(frozen=True)
class Table:
    """A table made from stored measurements.

    A row is one combination of the labels in `rows`. Columns are the values of the label `columns` for each of `metrics`,
    or just `metrics` when `columns` is "metric". `where` keeps only measurements with these labels.

    Args:
        id: the part after the dot of EXPERIMENT.TABLE, and the name that the experiment records under.
        fill: the command that measures a missing cell, with `{label}` placeholders; or made from its labels.
        digits: significant digits of a cell, or a dict per metric.
        note: a line printed under the table.
        order: preferred order of label values: {label: [value, ...]}; others follow, sorted.
        of: the table whose measurements it shows more of, where one would be too wide to read.
    """

    id: str
    title: str
    rows: tuple[str, ...]
    metrics: tuple[str, ...]
    columns: str = "metric"
    where: dict[str, Any] = field(default_factory=dict)
    fill: str | Callable[[dict[str, Any]], str] = ""
    digits: Any = 3
    note: str = ""
    order: dict[str, list[Any]] = field(default_factory=dict)
    of: str = ""
    reference: tuple[str, Any] | None = None
    """(label, value) of the provider that timings are compared against, such as ("provider", "torch")."""

    def holds(self, table: str, metric: str) -> bool:
        """Whether what is recorded under `table` as `metric` is shown here."""
        return table == (self.of or self.id) and metric in self.metrics


@dataclass(frozen=True)
class Plot:
    """A figure made from the cells of one table.

    Args:
        id: the figure's name, the part after the dot of EXPERIMENT.PLOT.
        table: the id of the table whose measurements are drawn.
        kind: "line" (x against y, one line per series), "scatter" (both axes metrics, e.g. a Pareto front), "bar" (y for
            each x, grouped by series) or "roofline" (x is operations per byte, y operations per second).
        x: a label, or a metric for "scatter" and "roofline".
        y: a metric.
        series: labels that tell lines or groups of bars apart.
        where: keep only measurements with these labels.
        log: axes on a logarithmic scale: "", "x", "y" or "xy".
        zero: draw a horizontal line at this y (1 for a speedup).
        roofs: for "roofline", the metrics that hold the measured bytes and operations per second of the device.
    """

    id: str
    title: str
    table: str
    kind: str
    x: str
    y: str
    series: tuple[str, ...] = ()
    where: dict[str, Any] = field(default_factory=dict)
    log: str = ""
    zero: float | None = None
    roofs: tuple[str, str] | None = None


@dataclass(frozen=True)
class Cost:
    """What a run is expected to need on two CPU cores, said before it starts when it is not trivial."""

    seconds: float
    memory_bytes: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Experiment:
    """One paper as a system that can be run, swept and tabulated.

    Args:
        name: the package's name in `effml/experiments`, also the id on the command line.
        title: one line for the menu.
        paper: venue, year, arXiv id.
        config: the dataclass of options; has `suite` and `dataset` fields.
        datasets: names of data sets it takes, the default first.
        metrics: every metric that it records.
        tables: the tables that its measurements feed.
        timed: whether a run with this config measures time, so that nothing may run beside it.
        cost: the expected cost of a run with this config, if known beforehand.
        runtime: option keys that cannot change a result (left out of the config hash).
        plots: the figures that its measurements feed.
        plugins: whether it can drive device plug-ins, whose devices are not torch's.
        after_stages: first words of option keys that no stage depends on: a run that differs in these alone may be
            resumed, and its stages serve (train once, then measure with other options).
    """

    name: str
    title: str
    paper: str
    config: type
    datasets: tuple[str, ...]
    metrics: tuple[Metric, ...]
    tables: tuple[Table, ...]
    timed: Callable[[Any], bool] = lambda config: False
    cost: Callable[[Any], Cost | None] = lambda config: None
    runtime: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    plugins: bool = False
    after_stages: tuple[str, ...] = ()

    @property
    def suites(self) -> tuple[str, ...]:
        """The choices of the `suite` option, or () without one."""
        for item in dataclasses.fields(self.config):
            if item.name == "suite":
                return tuple(item.metadata.get("choices") or ())
        return ()

    def table(self, table_id: str) -> Table | None:
        return next((table for table in self.tables if table.id == table_id), None)

    def metric(self, name: str) -> Metric | None:
        return next((metric for metric in self.metrics if metric.name == name), None)
