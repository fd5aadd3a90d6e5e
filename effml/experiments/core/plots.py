"""Figures as pure functions of stored rows: matplotlib without a display, the same bytes for the same rows, points as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effml.experiments.core import store
from effml.experiments.core.spec import Experiment, Plot
from effml.experiments.core.tables import Cell, cells_of

WIDTH, HEIGHT = 6.4, 4.0
COLOURS = 10  # of matplotlib's cycle; beyond them marks and hatches tell series apart
MARKERS = (("o", "-"), ("s", "--"), ("^", ":"), ("D", "-."))
HATCHES = ("", "///", "...", "xxx")


@dataclass(frozen=True)
class Point:
    """One drawn point; `sd` is the spread of y over seeds, `mark` tells data that is not measured."""

    series: str
    x: Any
    y: float
    sd: float | None
    evidence: str
    device: str


def points(experiment: Experiment, plot: Plot, rows: list[store.Row], *, smoke: bool = False) -> list[Point]:
    """What a plot shows, sorted by series and x."""
    table = experiment.table(plot.table)
    if table is None:
        raise ValueError(f"{experiment.name}.{plot.id} draws table '{plot.table}', which is not declared")
    cells = list(cells_of(experiment, table.id, rows, where=plot.where, smoke=smoke))
    found = _paired(plot, cells) if plot.kind in ("scatter", "roofline") else _labelled(plot, cells)
    return sorted(found, key=lambda p: (p.series, (0, p.x) if isinstance(p.x, int | float) else (1, str(p.x))))


def _labelled(plot: Plot, cells: Iterable[tuple[dict[str, Any], str, Cell]]) -> list[Point]:
    return [
        Point(_series(plot, labels, cell), labels[plot.x], cell.value, cell.sd, cell.evidence, cell.device)
        for labels, metric, cell in cells
        if metric == plot.y and cell.value is not None and labels.get(plot.x) is not None
    ]


def _paired(plot: Plot, cells: Iterable[tuple[dict[str, Any], str, Cell]]) -> list[Point]:
    """Both axes are metrics of the same cell."""
    found: dict[tuple[Any, ...], dict[str, tuple[dict[str, Any], Cell]]] = {}
    for labels, metric, cell in cells:
        if cell.value is not None:
            found.setdefault((tuple(sorted(labels.items(), key=str)), cell.device), {})[metric] = (labels, cell)
    return [
        Point(_series(plot, both[plot.y][0], both[plot.y][1]), both[plot.x][1].value, float(both[plot.y][1].value or 0.0),
              both[plot.y][1].sd, both[plot.y][1].evidence, both[plot.y][1].device)
        for both in found.values()
        if plot.x in both and plot.y in both
    ]  # fmt: skip


def _series(plot: Plot, labels: dict[str, Any], cell: Cell) -> str:
    words = [str(labels.get(name)) for name in plot.series if labels.get(name) is not None]
    return " ".join(words) + (
        " †" if cell.evidence == "synthetic-data" else " ‡" if cell.evidence == "simulated" else ""
    )


def draw(root: Path, experiment: Experiment, plot: Plot, rows: list[store.Row], *, smoke: bool = False) -> list[Path]:
    """Write `figures/EXPERIMENT.PLOT.{svg,png,csv}` below the results root; nothing when there is nothing to draw."""
    shown = points(experiment, plot, rows, smoke=smoke)
    if not shown:
        return []
    with store.writing(root):
        (root / "figures").mkdir(parents=True, exist_ok=True)
    base = root / "figures" / f"{experiment.name}.{plot.id}"
    paths = [base.with_name(base.name + suffix) for suffix in (".csv", ".svg", ".png")]
    store.write_atomically(paths[0], as_csv(plot, shown))
    figure = render(plot, shown, roofs(experiment, plot, rows, smoke=smoke))
    try:
        for path in paths[1:]:
            with store.writing(root):
                metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
                figure.savefig(path, metadata=metadata, dpi=144)
    finally:
        from matplotlib import pyplot

        pyplot.close(figure)
    return paths


def as_csv(plot: Plot, shown: list[Point]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["series", plot.x, plot.y, "sd", "evidence", "device"])
    for p in shown:
        writer.writerow([p.series, p.x, p.y, "" if p.sd is None else p.sd, p.evidence, p.device])
    return out.getvalue()


def render(plot: Plot, shown: list[Point], above: list[tuple[str, float, float]] | None = None) -> Any:
    """A matplotlib figure."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "effml"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
    by_series: dict[str, list[Point]] = {}
    for p in shown:
        by_series.setdefault(p.series, []).append(p)
    if plot.kind == "bar":
        _bars(axes, by_series)
    else:
        _marks(axes, plot, by_series)
    for name, bandwidth, peak in above or []:
        low = min(p.x for p in shown)
        high = max(max(p.x for p in shown), 2 * peak / bandwidth)
        axes.plot(
            [low, peak / bandwidth, high],
            [low * bandwidth, peak, peak],
            color="grey",
            linewidth=1,
            label=f"roof {name}",
        )
    if plot.zero is not None:
        axes.axhline(plot.zero, color="grey", linewidth=0.8, linestyle="--")
    if "x" in plot.log:
        axes.set_xscale("log", base=2)
    if "y" in plot.log:
        axes.set_yscale("log")
    axes.set_title(plot.title, fontsize=10)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    axes.grid(alpha=0.25)
    if len(by_series) > 1 or above or next(iter(by_series)):
        axes.legend(fontsize=7)
    return figure


def _marks(axes: Any, plot: Plot, by_series: dict[str, list[Point]]) -> None:
    """Points at their x. Words are places of their own; among numbers (k = 8, 16, relu) they are levels to compare with."""
    everything = [p for items in by_series.values() for p in items]
    numeric = any(isinstance(p.x, int | float) for p in everything)
    words = [] if numeric else sorted({str(p.x) for p in everything})
    for index, (name, items) in enumerate(by_series.items()):
        marker, dashes = MARKERS[index // COLOURS % len(MARKERS)]
        placed = [p for p in items if not numeric or isinstance(p.x, int | float)]
        xs = [p.x if numeric else words.index(str(p.x)) for p in placed]
        style = dashes if plot.kind == "line" else ""
        errors = [p.sd or 0.0 for p in placed]
        drawn = axes.errorbar(xs, [p.y for p in placed], yerr=errors if any(errors) else None, marker=marker, markersize=4,
                              color=f"C{index % COLOURS}", linestyle=style, linewidth=1.2, capsize=2, label=name)  # fmt: skip
        for level in (p for p in items if p not in placed):
            axes.axhline(level.y, color=drawn[0].get_color(), linewidth=0.8, linestyle=":", label=f"{name} {level.x}")
    if words:
        axes.set_xticks(range(len(words)), words, rotation=30, ha="right", fontsize=7)


def _bars(axes: Any, by_series: dict[str, list[Point]]) -> None:
    places = list(dict.fromkeys(p.x for items in by_series.values() for p in items))
    places.sort(key=lambda x: (0, x, "") if isinstance(x, int | float) else (1, 0, str(x)))
    width = 0.8 / len(by_series)
    for index, (name, items) in enumerate(by_series.items()):
        xs = [places.index(p.x) + (index - (len(by_series) - 1) / 2) * width for p in items]
        hatch = HATCHES[index // COLOURS % len(HATCHES)]
        errors = [p.sd or 0.0 for p in items]
        axes.bar(xs, [p.y for p in items], width, yerr=errors, color=f"C{index % COLOURS}", hatch=hatch, label=name)
    axes.set_xticks(range(len(places)), [str(x) for x in places], rotation=30, ha="right", fontsize=7)


def roofs(
    experiment: Experiment, plot: Plot, rows: list[store.Row], *, smoke: bool = False
) -> list[tuple[str, float, float]]:
    """(device, bytes per second, operations per second) from the metrics named by a roofline plot."""
    if plot.roofs is None:
        return []
    found: dict[str, dict[str, float]] = {}
    for _, metric, cell in cells_of(experiment, plot.table, rows, where={}, smoke=smoke):
        if metric in plot.roofs and cell.value:
            best = found.setdefault(cell.device, {})
            best[metric] = max(best.get(metric, 0.0), cell.value)
    return [
        (device, roof[plot.roofs[0]], roof[plot.roofs[1]]) for device, roof in sorted(found.items()) if len(roof) == 2
    ]
