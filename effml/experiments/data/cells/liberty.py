"""`ihp-sg13g2` and `asap7`: cell libraries for synthesis and timing, as Liberty files. And the user's own.

Their units differ (ns and pF, ps and fF); whoever uses a library reads them from it.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from effml.experiments.data.entry import Content, Files
from effml.experiments.data.places import reading, require


@dataclass(frozen=True)
class Cells:
    """A cell library in one or several Liberty files, plain or gzipped.

    Args:
        name: of the data set.
        paths: its files; together they are one library.
        corner: process, voltage and temperature, for the table.
    """

    name: str
    paths: tuple[Path, ...]
    corner: str


def ihp(files: Files) -> Content:
    """IHP SG13G2, 130 nm."""
    corner = "130 nm, typical, 1.2 V, 25 C"
    return Content(Cells("ihp-sg13g2", tuple(files.paths.values()), corner), note=corner)


def asap7(files: Files) -> Content:
    """ASAP7: simple gates, flip-flops, inverters and buffers; a predictive library that nobody manufactures."""
    corner = "7 nm predictive, RVT, slow, 0.63 V, 100 C"
    return Content(Cells("asap7", tuple(files.paths.values()), corner), note=corner)


def own(files: Files) -> Content:
    """The user's Liberty file, or a folder of the parts of one library."""
    path = files.own
    parts = (
        sorted(part for part in path.iterdir() if part.name.endswith((".lib", ".lib.gz"))) if path.is_dir() else [path]
    )
    require(bool(parts), path, "it holds no .lib or .lib.gz")
    digest = hashlib.sha256()
    for part in parts:
        with reading(part, "a Liberty file"):
            content = part.read_bytes()
            text = (gzip.decompress(content) if part.suffix == ".gz" else content).decode("latin-1")
        require("library" in text and text.rstrip().endswith("}"), part, "it is no whole Liberty file")
        opened, closed = text.count("{"), text.count("}")
        require(opened == closed, part, f"{opened:,} braces open and {closed:,} close")
        digest.update(text.encode())
    return Content(Cells(path.name, tuple(parts), ""), digest.hexdigest(), f"{path.name}; {len(parts)} files")
