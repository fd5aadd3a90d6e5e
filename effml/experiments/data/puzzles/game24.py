"""`game24`: 1,362 puzzles of the game of 24 by human difficulty; `game24-gpt4`: what GPT-4 answered to a hundred of them.

And the user's own puzzles, from CSV. Knows no solver and no checker.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effml.errors import UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.places import reading, require

COUNT = 1_362
LOGS = {
    "io": "game24/gpt-4_0.7_naive_standard_sample_100_start900_end1000.json.gz",
    "cot": "game24/gpt-4_0.7_naive_cot_sample_100_start900_end1000.json.gz",
    "tot": "game24/gpt-4_0.7_propose1_value3_greedy5_start900_end1000.json.gz",
}


@dataclass(frozen=True)
class Puzzle:
    """One puzzle as given.

    Args:
        id: the rank by human difficulty (from 1), or the line of the user's file.
        text: as a solver is told it: "4 5 6 10".
        solved_rate: share of people who solved it, or None.
        seconds: mean time of those who did, or None.
        columns: what else the user's file says of it.
    """

    id: str
    text: str
    solved_rate: float | None = None
    seconds: float | None = None
    columns: tuple[tuple[str, str], ...] = ()


def load(files: Files, first: int = 1, last: int = COUNT) -> Content:
    """Puzzles of rank `first` to `last`, both included."""
    if not 1 <= first <= last <= COUNT:
        raise UserError(f"data set game24: first={first}, last={last}; expected 1 <= first <= last <= {COUNT:,}")
    rows = list(csv.DictReader(io.StringIO(files["game24/24.csv"].read_text(encoding="utf-8-sig"))))
    puzzles = [
        Puzzle(row["Rank"], row["Puzzles"], float(row["Solved rate"].rstrip("%")) / 100, float(row["AMT (s)"]))
        for row in rows[first - 1 : last]
    ]
    return Content(puzzles, note=f"{len(puzzles):,} puzzles, ranks {first} to {last}")


@dataclass(frozen=True)
class Recording:
    """What one method sent and got, recorded in 2023.

    Args:
        method: "io", "cot" or "tot".
        puzzles: the published records, one a puzzle, in order of rank; index `idx` of a record counts from 0.
    """

    method: str
    puzzles: list[dict[str, Any]]


def gpt4(files: Files) -> Content:
    """`{"io": Recording, "cot": Recording, "tot": Recording}`: ranks 901 to 1000; 100 samples each of IO and CoT."""
    held = {}
    for method, path in LOGS.items():
        records = json.loads(gzip.decompress(files[path].read_bytes()))
        held[method] = Recording(method, sorted(records, key=lambda record: record["idx"]))
    return Content(held, note="GPT-4, recorded in 2023; ranks 901 to 1000")


def own(files: Files) -> Content:
    """The user's CSV: a column `puzzle`, `Puzzles` or `problem`, optionally `id`; or one puzzle a line without header."""
    path = files.own
    with reading(path, "a CSV of puzzles", csv.Error):
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.reader(io.StringIO(text), strict=True))
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    require(bool(rows), path, "it holds no puzzle")
    header = [cell.strip().lower() for cell in rows[0]]
    column = next((header.index(name) for name in ("puzzle", "puzzles", "problem") if name in header), None)
    if column is None:
        require(all(len(row) == 1 for row in rows), path, "it has several columns, none called puzzle or problem")
        puzzles = [Puzzle(str(number), row[0].strip()) for number, row in enumerate(rows, 1)]
    else:
        puzzles = [_puzzle(number, row, header, column, path) for number, row in enumerate(rows[1:], 1)]
    require(bool(puzzles), path, "it holds a header and no puzzle")
    ids = [puzzle.id for puzzle in puzzles]
    require(len(set(ids)) == len(ids), path, "two puzzles have the same id")
    from effml.experiments.data import checksum

    sha256 = checksum.of(*(f"{puzzle.id}\t{puzzle.text}" for puzzle in puzzles))
    return Content(puzzles, sha256, f"{path.name}; {len(puzzles):,} puzzles")


def _puzzle(number: int, row: list[str], header: list[str], column: int, path: Path) -> Puzzle:
    require(len(row) == len(header), path, f"puzzle {number} has {len(row)} columns instead of {len(header)}")
    require(bool(row[column].strip()), path, f"puzzle {number} is empty")
    rest = tuple((name, cell.strip()) for name, cell in zip(header, row, strict=True) if name != header[column])
    named = dict(rest).get("id") or dict(rest).get("rank") or str(number)
    return Puzzle(named, row[column].strip(), columns=rest)
