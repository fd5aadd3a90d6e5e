"""A cell library: one or several Liberty files made into one, with its units read and not assumed.

Some libraries come in parts (ASAP7: simple gates, flip-flops, inverters and buffers in a file each) while the mapper of
yosys takes one file; the parts' templates and cells are joined under the first one's header. Areas have no unit in
Liberty; both libraries used here state square micrometres.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "k": 1e3}
UNIT = re.compile(r'(time_unit|leakage_power_unit|voltage_unit)\s*:\s*"?\s*([\d.]+)\s*([a-zA-Z]+)"?\s*;')
LOAD = re.compile(r"capacitive_load_unit\s*\(\s*([\d.]+)\s*,\s*\"?([a-zA-Z]+)\"?\s*\)\s*;")
LIBRARY = re.compile(r"\blibrary\s*\(\s*\"?([^)\"\s]+)\"?\s*\)\s*\{")
CELL = re.compile(r"^\s*cell\s*\(\s*\"?([^)\"\s]+)\"?\s*\)\s*\{", flags=re.MULTILINE)


@dataclass(frozen=True)
class Liberty:
    """A library on disk as one plain file.

    Args:
        name: of the (first) library group.
        path: the joined file.
        time: seconds in one of its time units; capacitance: farads; leakage: watts; voltage: volts.
        cells: names of its cells.
        registers: flip-flops and latches among them, with the pin that clocks or opens them.
        sha256: of the joined text.
    """

    name: str
    path: Path
    time: float
    capacitance: float
    leakage: float
    voltage: float
    cells: frozenset[str]
    registers: Mapping[str, str]
    sha256: str


def read(paths: Sequence[Path], folder: Path) -> Liberty:
    """Join Liberty files (plain or .gz) into `folder` and read their units.

    Raises:
        ValueError: no library in a file, a unit missing, or parts with different units.
    """
    texts = [_text(path) for path in paths]
    for path, text in zip(paths, texts, strict=True):
        if not LIBRARY.search(text):
            raise ValueError(f"{Path(path).name} is no Liberty file: it has no library group")
    units = [_units(text) for text in texts]
    if any(unit != units[0] for unit in units):
        raise ValueError(f"the parts have different units: {units}; give libraries of one set")
    joined = texts[0] if len(texts) == 1 else join(texts)
    name = _opening(joined).group(1)
    path = Path(folder) / f"{name}.lib"
    path.write_text(joined)
    cells = {cell: body for kind, cell, body in _groups(joined)[1] if kind == "cell"}
    if not cells:
        raise ValueError(f"library {name} has no cells")
    registers = {cell: pin for cell, body in cells.items() if (pin := _clocking_pin(body))}
    return Liberty(
        name,
        path,
        **units[0],
        cells=frozenset(cells),
        registers=registers,
        sha256=hashlib.sha256(joined.encode()).hexdigest(),
    )


def join(texts: Sequence[str]) -> str:
    """One library text: the first one's header, every template once, every cell of all."""
    header = ""
    templates: dict[tuple[str, str], str] = {}
    cells: dict[tuple[str, str], str] = {}
    for text in texts:
        start, groups = _groups(text)
        header = header or text[:start]
        for kind, name, body in groups:
            (cells if kind == "cell" else templates).setdefault((kind, name), body)
    return header + "\n".join([*templates.values(), *cells.values()]) + "\n}\n"


def _clocking_pin(cell: str) -> str | None:
    """The pin in a cell's `clocked_on` or `enable`; None for a gate."""
    match = re.search(r"\b(?:ff|latch|ff_bank|latch_bank)\s*\([^)]*\)\s*\{(.*?)\}", cell, flags=re.DOTALL)
    pin = match and re.search(r'\b(?:clocked_on|enable)\s*:\s*"[!(\s]*(\w+)', match.group(1))
    return pin.group(1) if pin else None


def _opening(text: str) -> re.Match[str]:
    match = LIBRARY.search(text)
    if match is None:
        raise ValueError("the text has no library group")
    return match


def _text(path: Path) -> str:
    path = Path(path)
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode(errors="replace")


def _units(text: str) -> dict[str, float]:
    first_cell = CELL.search(text)
    head = text[: first_cell.start()] if first_cell else text
    found = {name: _scaled(amount, unit) for name, amount, unit in UNIT.findall(head)}
    load = LOAD.search(head)
    missing = [name for name in ("time_unit", "voltage_unit", "leakage_power_unit") if name not in found]
    if missing or load is None:
        raise ValueError(f"the library states no {', '.join(missing) or 'capacitive_load_unit'}")
    return {
        "time": found["time_unit"],
        "capacitance": _scaled(*load.groups()),
        "leakage": found["leakage_power_unit"],
        "voltage": found["voltage_unit"],
    }


def _scaled(amount: str, unit: str) -> float:
    """`1`, `ps` -> 1e-12; the last letter is the base unit (s, F, W, V), in either case."""
    prefix = unit[:-1].lower() if len(unit) > 1 else ""
    if prefix not in PREFIXES:
        raise ValueError(f"the library has an unknown unit '{unit}'")
    return float(f"{float(amount) * PREFIXES[prefix]:.12g}")


def _groups(text: str) -> tuple[int, list[tuple[str, str, str]]]:
    """Where the first template or cell begins, and (kind, name, text) of every group directly in the library."""
    inside = _opening(text).end()
    head = re.compile(r"(\w+)\s*\(([^)]*)\)\s*$")
    found: list[tuple[str, str, str]] = []
    depth, begin, last, first, kind, name = 1, 0, inside, 0, "", ""
    for brace in _braces(text, inside):
        if text[brace] == "{":
            if depth == 1:
                match = head.search(text, last, brace)
                if match is None:
                    raise ValueError(f"a brace opens without a group before it, {brace} characters into the library")
                begin = match.start()
                kind, name = match.group(1), match.group(2).strip().strip('"')
                first = first or begin
            depth += 1
        else:
            depth -= 1
            if depth == 1:
                found.append((kind, name, text[begin : brace + 1]))
                last = brace + 1
            if depth == 0:
                break
    return (first or len(text)), found


def _braces(text: str, start: int) -> Iterator[int]:
    """Places of braces outside comments and strings."""
    for match in re.finditer(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|[{}]', text[start:], flags=re.DOTALL):
        if match.group() in "{}":
            yield start + match.start()
