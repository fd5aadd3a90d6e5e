"""A table as Markdown, LaTeX, CSV or JSON. The same view gives the same bytes: no dates, fixed rounding."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from typing import Any

from effml.experiments.core.paper import Published
from effml.experiments.core.spec import DIVERGED
from effml.experiments.core.tables import SHOWN, Cell, Column, Line, View

FORMATS = ("md", "latex", "csv", "json")
MARKS = {"measured": "", "recorded": "§", "synthetic-data": "†", "simulated": "‡", "paper": "¶"}
MEANING = {
    "recorded": "recorded output of a third party's model, replayed",
    "synthetic-data": "measured on generated data",
    "simulated": "a stand-in played a part",
    "paper": "published by others, not measured here",
}
EMPTY = "—"


def render(view: View, form: str) -> str:
    """The table in one of `FORMATS`, ending with a newline."""
    return {"md": markdown, "latex": latex, "csv": comma_separated, "json": as_json}[form](view)


def number(value: float | None, digits: int = 3) -> str:
    """`digits` significant digits, whole numbers exact with thousands separators."""
    if value is None:
        return EMPTY
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{decimals(value, digits)}f}"


def decimals(value: float, digits: int) -> int:
    """Decimal places that show `digits` significant digits of `value`."""
    return max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else digits


def cell_text(cell: Cell | None, digits: int = 3) -> str:
    """`0.947 ± 0.002 (3)†`."""
    if cell is None:
        return EMPTY
    mark = MARKS[cell.evidence]
    if cell.value is None:
        return f"n/a{mark}" if not cell.note else f"n/a{mark} ({cell.note})"
    if cell.sd is None:
        return number(cell.value, digits) + mark
    if cell.sd == 0:
        return f"{number(cell.value, digits)} ({cell.n}){mark}"
    places = decimals(cell.value, digits)
    if abs(cell.value) >= 1e6 or (cell.value and abs(cell.value) < 1e-4):
        return f"{cell.value:.{digits - 1}e} ± {cell.sd:.0e} ({cell.n}){mark}"
    return f"{cell.value:,.{places}f} ± {cell.sd:,.{places}f} ({cell.n}){mark}"


def paper_text(entry: Published | None, digits: int = 4) -> str:
    """`0.9665`, with `~` before a recalled number; empty when the paper says nothing."""
    if entry is None or entry.value is None:
        return ""
    return ("~" if entry.mark == "recalled" else "") + number(entry.value, max(digits, 4))


def digits_of(view: View, metric: str) -> int:
    return view.digits.get(metric, 3) if isinstance(view.digits, dict) else view.digits


def shown_columns(view: View) -> list[tuple[Column, bool]]:
    """Columns in order, each followed by the paper's where the paper says anything: (column, is paper's)."""
    shown: list[tuple[Column, bool]] = []
    for column in view.columns:
        if any(column.name in line.cells for line in view.lines) or not view.devices:
            shown.append((column, False))
        # With two devices the paper's number stands once, after the last of them.
        later = [c for c in view.columns if (c.metric, c.label) == (column.metric, column.label)]
        if later[-1] is column and any(_said(line, column) for line in view.lines):
            shown.append((column, True))
    return shown


def _said(line: Line, column: Column) -> bool:
    return column.name in line.paper and line.paper[column.name].value is not None


def header(column: Column, paper: bool, view: View) -> str:
    name = column.name if not paper else column.name.split(" [")[0]
    unit = f" [{column.unit}]" if column.unit not in ("", "1") and not paper else ""
    return f"{name} (paper)" if paper else name + unit


def grid(view: View) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of text, as every form that people read shows them."""
    columns = shown_columns(view)
    heads = [*view.labels, *(header(column, paper, view) for column, paper in columns)]
    body = []
    for line in view.lines:
        texts = [EMPTY if line.labels[name] is None else str(line.labels[name]) for name in view.labels]
        for column, paper in columns:
            digits = digits_of(view, column.metric)
            if paper:
                texts.append(paper_text(line.paper.get(column.name), digits))
            else:
                texts.append(cell_text(line.cells.get(column.name), digits))
        body.append(texts)
    return heads, body


def footnotes(view: View) -> list[str]:
    """What the marks mean, where it was measured, what the paper's numbers are, what is missing."""
    cells = [cell for line in view.lines for cell in line.cells.values()]
    used = {cell.evidence for cell in cells}
    notes = [f"{MARKS[kind]} {MEANING[kind]}." for kind in MEANING if kind in used]
    if any(cell.sd is not None for cell in cells):
        notes.append("Mean ± standard deviation (number of seeds), without one where all seeds agree.")
    if view.devices:
        notes.append("Measured on " + "; ".join(view.devices) + ".")
    if also := sorted({text for cell in cells for text in cell.also}):
        more = " and more" if len(also) > SHOWN else ""
        notes.append(f"The newest settings are shown; the same was also measured with {', '.join(also[:SHOWN])}{more}.")
    if diverged := sum(cell.note.startswith(DIVERGED) for cell in cells):
        notes.append(f"{diverged} of {len(cells)} cells: {DIVERGED}.")
    papers = [entry for line in view.lines for entry in line.paper.values() if entry.value is not None]
    if papers:
        notes.append("Paper: " + sources(entry.source for entry in papers) + ".")
        if any(entry.mark == "recalled" for entry in papers):
            notes.append("~ recalled, not transcribed.")
    if view.note:
        notes.append(view.note)
    if commands := view.missing():
        shown = "; ".join(f"`{command}`" for command in commands[:SHOWN])
        notes.append(f"Empty cells are filled by: {shown}" + ("; and others." if len(commands) > SHOWN else ""))
    return notes


def sources(said: Iterable[str]) -> str:
    """Sources in order, each work once: `A: table 2 / table 3; B, abstract`."""
    places: dict[str, list[str]] = {}
    for source in sorted(set(said)):
        work, _, place = source.partition(", ")
        places.setdefault(work, []).extend([place] if place else [])
    return "; ".join(
        work + (": " if len(at) > 1 else ", " if at else "") + " / ".join(at) for work, at in places.items()
    )


def markdown(view: View) -> str:
    heads, body = grid(view)
    escaped = [[text.replace("|", "\\|") for text in row] for row in [heads, *body]]
    widths = [max(len(row[i]) for row in escaped) for i in range(len(heads))]
    left = len(view.labels)

    def line(row: list[str]) -> str:
        cells = [
            text.ljust(w) if i < left else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i < left else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    parts = [f"### {view.id}: {view.title}", ""]
    parts += [line(escaped[0]), rule, *(line(row) for row in escaped[1:])] if body else ["No measurements yet."]
    notes = footnotes(view)
    if notes:
        parts += ["", *(f"- {note}" for note in notes)]
    return "\n".join(parts) + "\n"


def latex(view: View) -> str:
    heads, body = grid(view)
    parts = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        f"\\caption{{{_tex(view.title)}}}",
        "\\begin{tabular}{" + "l" * len(view.labels) + "r" * (len(heads) - len(view.labels)) + "}",
        "\\toprule",
        " & ".join(_tex(text) for text in heads) + " \\\\",
        "\\midrule",
        *(" & ".join(_tex(text) for text in row) + " \\\\" for row in body),
        "\\bottomrule",
        "\\end{tabular}",
        *(f"\\\\ \\footnotesize {_tex(note)}" for note in footnotes(view)),
        "\\end{table}",
    ]
    return "\n".join(parts) + "\n"


TEX: dict[str, str | int | None] = {
    **{letter: "\\" + letter for letter in "&%$#_{}"},
    **{"±": "$\\pm$", "†": "$^\\dagger$", "‡": "$^\\ddagger$", "¶": "\\P{}", "§": "\\S{}", "—": "--", "²": "$^2$"},
    **{"~": "$\\sim$", "≥": "$\\ge$", "≤": "$\\le$", "×": "$\\times$", "µ": "$\\mu$", "`": "", "\\": ""},
}


def _tex(text: str) -> str:
    return text.translate(str.maketrans(TEX))


def comma_separated(view: View) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head: list[str] = [*view.labels]
    for column in view.columns:
        head += [
            column.name,
            f"{column.name} sd",
            f"{column.name} n",
            f"{column.name} evidence",
            f"{column.name} paper",
        ]
    writer.writerow(head)
    for line in view.lines:
        row: list[Any] = [line.labels[name] for name in view.labels]
        for column in view.columns:
            cell, entry = line.cells.get(column.name), line.paper.get(column.name)
            row += [cell.value, cell.sd, cell.n, cell.evidence] if cell else ["", "", "", ""]
            row.append(entry.value if entry else "")
        writer.writerow(row)
    return out.getvalue()


def as_json(view: View) -> str:
    def shown(cell: Cell | None, line: Line, column: Column) -> dict[str, Any]:
        entry = line.paper.get(column.name)
        return {
            "value": cell.value if cell else None,
            "sd": cell.sd if cell else None,
            "n": cell.n if cell else 0,
            "unit": cell.unit if cell else column.unit,
            "evidence": cell.evidence if cell else None,
            "device": cell.device if cell else None,
            "paper": entry.value if entry else None,
        }

    rows = [
        {
            "labels": line.labels,
            "cells": {
                column.name: shown(line.cells.get(column.name), line, column)
                for column in view.columns
                if column.name in line.cells or column.name in line.paper
            },
        }
        for line in view.lines
    ]
    return (
        json.dumps({"id": view.id, "columns": [c.name for c in view.columns], "rows": rows}, ensure_ascii=False) + "\n"
    )
