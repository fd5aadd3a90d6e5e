"""Where data lies: the roots, and the files of a data set found and checked below them. Standard library only.

A file that is missing from a set, cut short or altered is an error that names the file; a set is never loaded smaller.
"""

from __future__ import annotations

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from effml.errors import MissingRequirement, UserError
from effml.experiments.data.entry import DataSet, Pinned

# What the parsers of zip, gzip, numpy and text raise on damaged input; RuntimeError: a zip's flags say "encrypted" or name
# a version to come; MemoryError: a damaged header asks for exabytes; SyntaxError: numpy parses headers as Python.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


def cache() -> Path:
    """The user's cache directory for data, into which `effml data get` writes."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("effml"))


def roots() -> tuple[Path, ...]:
    """The data roots, in the order searched: those of `$EFFML_DATA` (a path list), then the user's cache."""
    named = []
    for item in os.environ.get("EFFML_DATA", "").split(os.pathsep):
        if item:
            root = Path(item).expanduser().absolute()
            if not root.is_dir():
                raise UserError(f"EFFML_DATA names '{item}', which is not a folder")
            named.append(root)
    return (*named, cache())


def find(files: Sequence[Pinned], given: Path | None = None) -> dict[str, Path] | None:
    """Where the files lie: in the first root that holds any of them; None where no root does.

    A folder `given` by the user is searched alone, and may hold the files without the folders of their pinned paths.
    """
    if given:
        layouts = [{file.path: given / part for file, part in _parts(files, whole)} for whole in (True, False)]
        layout = max(layouts, key=_count)
        return layout if _count(layout) else None
    for root in roots():
        layout = {file.path: root / file.path for file in files}
        if _count(layout):
            return layout
    return None


def _parts(files: Sequence[Pinned], whole: bool) -> Iterator[tuple[Pinned, str]]:
    return ((file, file.path if whole else file.path.partition("/")[2] or file.path) for file in files)


def _count(layout: dict[str, Path]) -> int:
    return sum(path.exists() for path in layout.values())


def check(data: DataSet, files: Sequence[Pinned], found: dict[str, Path]) -> None:
    """Verify every file; MissingRequirement names the first that is missing, cut short or altered."""
    for file in files:
        fault = fault_of(file, found[file.path])
        if fault:
            again = f"delete it and run `effml data get {data.name}`" if obtainable(data) else "replace it"
            raise MissingRequirement(f"data set {data.name} is corrupt: {found[file.path]} {fault}; {again}")


def fault_of(file: Pinned, path: Path) -> str:
    """What is wrong with the file at `path`, as the rest of a sentence; "" when its content is the pinned one."""
    if not path.is_file():
        return "is missing"
    if file.form == "plain" and path.stat().st_size != file.size:
        return f"holds {path.stat().st_size:,} bytes instead of {file.size:,}"
    try:
        sha256, size = file.digest(path)
    except UNREADABLE as error:
        return f"cannot be read ({error or type(error).__name__})"
    if size != file.size:
        return f"holds {size:,} bytes of content instead of {file.size:,}"
    if sha256 != file.sha256:
        return f"has other content than expected (sha256 {sha256[:12]}... instead of {file.sha256[:12]}...)"
    return ""


def obtainable(data: DataSet) -> bool:
    """Whether `effml data get` can bring this data set."""
    return bool(data.archive or data.prepare or data.fetch or (data.pinned and all(file.url for file in data.pinned)))


def ways(data: DataSet) -> str:
    """How to get the data set, as the rest of a sentence."""
    told = []
    if obtainable(data):
        told.append(f"run `effml data get {data.name}`")
    if data.pinned:
        told.append(f"put {_where(data.pinned)} below a folder named in EFFML_DATA")
    if data.get:
        told.append(data.get)
    return ", or ".join(told) or "name it with dataset.path=..."


def _where(files: Sequence[Pinned]) -> str:
    folders = sorted({file.path.split("/", 1)[0] for file in files})
    return files[0].path if len(files) == 1 else " and ".join(f"{folder}/" for folder in folders)


def size_of(data: DataSet) -> str:
    """`5.11 MB`, or `about 1.4 GB` where no file is pinned."""
    if data.size is None:
        return "size unknown"
    about, digits = ("", 3) if data.pinned else ("about ", 2)
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if data.size >= scale:
            return f"{about}{float(f'{data.size / scale:.{digits}g}'):g} {unit}"
    return f"{about}{data.size} bytes"


@contextmanager
def reading(path: Path, what: str, *also: type[Exception]) -> Iterator[None]:
    """Turn a parser's failure into the sentence that names the file: MissingRequirement.

    Args:
        path: the file being parsed.
        what: what it should be, as in "a Matrix Market file".
        also: further exceptions that the parser raises on bad input.
    """
    try:
        yield
    except (MissingRequirement, UserError):
        raise
    except FileNotFoundError:
        raise MissingRequirement(f"there is no file {path}") from None
    except UNREADABLE + also as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingRequirement(f"{path} cannot be read as {what}: {told}") from error


def require(holds: bool, path: Path, told: str) -> None:
    """MissingRequirement unless `holds`: the file at `path` is not what it should be because `told`."""
    if not holds:
        raise MissingRequirement(f"{path} is not usable: {told}")
