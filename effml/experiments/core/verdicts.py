"""What became of each paper's claim: `conf/verdicts.yaml`, its figures filled in from committed rows.

An entry names a claim with its source, a sentence with places for cells, the verdict of whoever read the tables, and the
command that shows it. A figure that no row holds turns the verdict into `not measured`: words alone prove nothing.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effml.errors import UserError
from effml.experiments.core import registry, store
from effml.experiments.core.places import conf_roots
from effml.experiments.core.render import MARKS, MEANING, cell_text
from effml.experiments.core.tables import Cell, cells_of

VERDICTS = ("reproduced", "partly", "not reproduced", "not testable here")
OPEN = "not measured"
UNMEASURED = "Not measured yet"
TITLE = "What became of the claims"
HEADS = ("system", "the paper says", "measured here", "verdict", "shown by")
FIELDS = {"system", "claim", "source", "measured", "cells", "verdict", "command"}


@dataclass(frozen=True)
class Verdict:
    """One line: `measured` has its figures in it, `marks` are the kinds of evidence among them."""

    system: str
    claim: str
    source: str
    measured: str
    verdict: str
    command: str
    marks: tuple[str, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """What stands under `HEADS`."""
        return self.system, f"{self.claim} ({self.source})", self.measured, self.verdict, f"`{self.command}`"


def verdicts(root: Path) -> list[Verdict]:
    """All verdicts in the order of the file, figures from the rows committed below `root`."""
    import yaml

    found = []
    for folder in conf_roots():
        path = folder / "verdicts.yaml"
        if path.is_file():
            found += [_filled(entry, root) for entry in yaml.safe_load(path.read_text(encoding="utf-8")) or []]
    return found


def markdown(root: Path) -> str:
    """The table as committed, or nothing while no experiment has a verdict."""
    lines = verdicts(root)
    if not lines:
        return ""
    rows = [HEADS, ("---",) * len(HEADS), *(verdict.texts for verdict in lines)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    marks = sorted({mark for v in lines for mark in v.marks if MARKS[mark]})
    notes = "".join(f"- {MARKS[mark]} {MEANING[mark]}.\n" for mark in marks)
    return f"### {TITLE}\n\n{table}" + (f"\n{notes}" if notes else "")


def _filled(entry: dict[str, Any], root: Path) -> Verdict:
    lacking = FIELDS - set(entry)
    if lacking or entry["verdict"] not in VERDICTS:
        what = f"lacks {', '.join(sorted(lacking))}" if lacking else f"has verdict '{entry['verdict']}'"
        raise UserError(
            f"conf/verdicts.yaml: the entry of '{entry.get('system')}' {what}; there is {', '.join(VERDICTS)}"
        )
    cells = {name: _cell(entry["system"], place, root) for name, place in entry["cells"].items()}
    wanted = {name for _, name, _, _ in string.Formatter().parse(entry["measured"]) if name}
    if wanted - set(cells):
        raise UserError(f"conf/verdicts.yaml: '{entry['system']}' has no cell {', '.join(sorted(wanted - set(cells)))}")
    whole = all(cell is not None and cell.value is not None for cell in cells.values())
    return Verdict(
        system=entry["system"],
        claim=entry["claim"],
        source=entry["source"],
        measured=entry["measured"].format(**{name: cell_text(cell) for name, cell in cells.items()})
        if whole
        else UNMEASURED,
        verdict=entry["verdict"] if whole else OPEN,
        command=entry["command"],
        marks=tuple(sorted({cell.evidence for cell in cells.values() if cell is not None})),
    )


def _cell(system: str, place: dict[str, Any], root: Path) -> Cell | None:
    """The newest cell under exactly these labels, on whichever device."""
    experiment = registry.get(place.get("experiment", system))
    rows = store.committed_rows(root, experiment.name)
    found = [
        cell
        for labels, metric, cell in cells_of(experiment, place["table"], rows, where=place["labels"])
        if metric == place["metric"] and set(labels) == set(place["labels"])
    ]
    return max(found, key=lambda cell: max(cell.runs), default=None)
