"""Bring a data set's files into a folder: to temporary names, verified, then renamed.

Knows URLs and pins; what the files mean is the loaders' business. Standard library only.
"""

from __future__ import annotations

import gzip
import importlib
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from effml.errors import MissingRequirement
from effml.experiments.data import places
from effml.experiments.data.entry import DataSet

TIMEOUT = 30.0  # seconds without a byte


def into(root: Path, data: DataSet) -> str:
    """Bring `data` below `root` and say where it is; MissingRequirement when that fails, with nothing changed."""
    with _writing(root, data):
        root.mkdir(parents=True, exist_ok=True)
        if data.fetch:
            _named(data.fetch)(root, data.name)
            return f"{data.name}: in {root}"
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=root) as name:
            incoming = Path(name)
            if data.prepare:
                _named(data.prepare)(incoming)
            elif data.archive:
                _from_archive(data, incoming)
            else:
                for file in data.pinned:
                    _one(file.url, incoming / file.path, packed=file.form == "gz")
            for file in data.pinned:
                fault = places.fault_of(file, incoming / file.path)
                if fault:
                    raise MissingRequirement(
                        f"what was downloaded for data set {data.name} is not the expected content: {file.path} {fault}"
                    )
            for file in data.pinned:
                target = root / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                (incoming / file.path).replace(target)
    return f"{data.name}: {places.size_of(data)} in {root}; verified"


def save(url: str, target: Path) -> None:
    """Download `url` to `target`; MissingRequirement when it cannot be reached or answers with an error."""
    host = urlsplit(url).netloc
    target.parent.mkdir(parents=True, exist_ok=True)
    request = urllib.request.Request(url, headers={"User-Agent": "effml"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer, open(target, "wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
    except urllib.error.HTTPError as error:
        raise MissingRequirement(f"{url} answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        why = getattr(error, "reason", error)
        raise MissingRequirement(f"{host or url} cannot be reached ({why})") from error


def _named(function: str) -> Callable[..., None]:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def _one(url: str, target: Path, packed: bool) -> None:
    save(url, target)
    if packed and not url.endswith(".gz"):
        content = target.read_bytes()
        target.write_bytes(gzip.compress(content, mtime=0))


def _from_archive(data: DataSet, incoming: Path) -> None:
    """Take the pinned files, and no others, out of the archive; its own first folder gives way to the data set's."""
    archive = incoming / "archive.tar.gz"
    save(data.archive, archive)
    folder = data.pinned[0].path.split("/", 1)[0]
    wanted = {file.path for file in data.pinned}
    try:
        with tarfile.open(archive) as members:
            for member in members:
                path = f"{folder}/{member.name.partition('/')[2]}"
                content = members.extractfile(member) if member.isfile() and path in wanted else None
                if content is not None:
                    target = incoming / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.read())
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise MissingRequirement(f"{data.archive} is not a readable archive ({error}); try again") from error


@contextmanager
def _writing(root: Path, data: DataSet) -> Iterator[None]:
    """Explain a failed download with the other ways; a full or read-only disk with its folder."""
    try:
        yield
    except MissingRequirement as error:
        other = data.get or f"without a network, put its files, from {data.source}, below a folder named in EFFML_DATA"
        raise MissingRequirement(f"data set {data.name} ({places.size_of(data)}): {error}; {other}") from error
    except OSError as error:
        why = error.strerror or error
        raise MissingRequirement(f"data set {data.name} cannot be written to {root}: {why}") from error
