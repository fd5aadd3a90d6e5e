"""`deepbench`: the shapes of DeepBench: GEMM, convolution, sparse GEMM, recurrent layers.

The tables beside this file are facts taken from the benchmark's C headers (baidu-research/DeepBench at da81ba7,
`code/kernels`, Apache-2.0), in their order, each with the list it stands in: training, inference_server or
inference_device.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from effml.errors import UserError
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.places import require

TABLES = Path(__file__).parent
COLUMNS = {
    "gemm": ("m", "n", "k", "a_t", "b_t"),
    "conv": ("w", "h", "c", "n", "k", "s", "r", "pad_w", "pad_h", "stride_w", "stride_h"),
    "sparse_gemm": ("m", "n", "k", "a_t", "b_t", "sparsity"),
    "rnn": ("hidden", "batch", "steps", "cell"),
}


@dataclass(frozen=True)
class Shape:
    """One line of a list.

    Args:
        operator: "gemm", "conv", "sparse_gemm" or "rnn".
        part: "training", "inference_server" or "inference_device".
        values: by column; see `COLUMNS`. For a convolution w, h, c are of the input, k filters of s x r.
    """

    operator: str
    part: str
    values: dict[str, int | float | bool | str]


def load(files: Files, operator: str | None = None) -> Content:
    """All shapes, or those of one operator, in the order of the benchmark."""
    if operator not in (None, *COLUMNS):
        raise UserError(f"data set deepbench: operator={operator} is unknown; expected one of {', '.join(COLUMNS)}")
    wanted = [operator] if operator else list(COLUMNS)
    shapes, digest = [], hashlib.sha256()
    for name in wanted:
        path = TABLES / f"{name}.csv"
        digest.update(path.read_bytes())
        with open(path, newline="") as stream:
            for row in csv.DictReader(stream):
                part = row.pop("part")
                shapes.append(Shape(name, part, {column: _value(text) for column, text in row.items()}))
    return Content(shapes, digest.hexdigest(), f"{len(shapes)} shapes")


def parse(text: str, operator: str, path: Path) -> list[Shape]:
    """The shapes in one of the benchmark's headers."""
    columns = COLUMNS[operator]
    shapes, part = [], ""
    for line in text.splitlines():
        opened = re.search(r"(training|inference_server|inference_device)_set\s*=", line)
        part = opened.group(1) if opened else part
        found = re.search(r"make_tuple\(([^)]*)\)", line)
        if found and not line.lstrip().startswith("//"):
            fields = [_value(field.strip().strip('"')) for field in found.group(1).split(",")]
            require(len(fields) == len(columns) and bool(part), path, f"'{line.strip()}' is no {operator} shape")
            shapes.append(Shape(operator, part, dict(zip(columns, fields, strict=True))))
    return shapes


def _value(text: str) -> int | float | bool | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
