"""What a data set says of itself: name, kind, origin, size, licence, source, the files it is made of, its loader.

Standard library only. Knows nothing of where files lie or how they are fetched; `registry` does.
"""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ORIGINS = ("bundled", "generated", "download", "file")


@dataclass(frozen=True)
class Pinned:
    """One file of known content.

    Args:
        path: where it lies below a data root, with forward slashes.
        sha256: of the content; see `form`.
        size: bytes of the content.
        url: where the content comes from, fixed to one version; "" when nothing offers it singly.
        form: how the content is kept: "plain", "gz" (sha256 and size are of what is inside) or "npz" (of the arrays
            inside, which compress differently from machine to machine).
    """

    path: str
    sha256: str
    size: int
    url: str = ""
    form: str = "plain"

    def digest(self, path: Path) -> tuple[str, int]:
        """sha256 and size of the content of the file at `path`; OSError, EOFError or zlib.error when unreadable."""
        if self.form == "npz":
            return _members_digest(path)
        total, size = hashlib.sha256(), 0
        with gzip.open(path) if self.form == "gz" else open(path, "rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
                size += len(block)
        return total.hexdigest(), size


def _members_digest(path: Path) -> tuple[str, int]:
    total, size = hashlib.sha256(), 0
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            content = archive.read(name)
            total.update(f"{name} {len(content)}\n".encode() + content)
            size += len(content)
    return total.hexdigest(), size


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Args:
        name: unique; what the user types.
        kind: graphs, images, video, skeletons, events, puzzles, rtl, shapes or cells.
        origin: "bundled" (comes with an installed package), "generated" (seeded), "download" or "file" (the user's).
        title: one line for lists.
        licence: of the data.
        source: where it comes from, with a commit where there is one.
        loader: "module:function", called as `function(files, **options)` with a `registry.Files`; returns `Content`.
        size: bytes on disk, or None where that depends on the options.
        files: the pinned files it is made of.
        manifest: in place of `files`, a committed list of them (a path below this package: sha256, size, path).
        instead: another form of the same data, taken when `files` are not at hand.
        archive: URL of a .tar.gz from which `fetch` takes the files of a manifest; its first folder is stripped.
        prepare: "module:function", called as `function(folder)` by `fetch` where the files cannot be downloaded as they
            are; it leaves them below `folder`.
        marker: for data that come in the layout of a library: a path below a root that shows they are there.
        fetch: for those, "module:function", called as `function(root, name)`; it has the library bring them there.
        needs: packages that the loader imports beyond the core.
        get: what the user does where nothing can be fetched.
        own: takes the user's own data, under the common name `file`.
    """

    name: str
    kind: str
    origin: str
    title: str
    licence: str
    source: str
    loader: str | Callable[..., Content]
    size: int | None = None
    files: tuple[Pinned, ...] = ()
    manifest: str = ""
    instead: tuple[Pinned, ...] = ()
    archive: str = ""
    prepare: str = ""
    marker: str = ""
    fetch: str = ""
    needs: tuple[str, ...] = ()
    get: str = ""
    own: bool = False

    def __post_init__(self) -> None:
        if self.origin not in ORIGINS:
            raise ValueError(f"data set {self.name}: origin '{self.origin}' is none of {', '.join(ORIGINS)}")

    @property
    def pinned(self) -> tuple[Pinned, ...]:
        """The files it is made of, from `files` or the manifest."""
        return read_manifest(self.manifest) if self.manifest else self.files

    @property
    def alternatives(self) -> tuple[tuple[Pinned, ...], ...]:
        """The sets of files of which any one will do, the preferred first; () where no file is pinned."""
        return tuple(files for files in (self.pinned, self.instead) if files)


def read_manifest(name: str) -> tuple[Pinned, ...]:
    """The files named in a committed list: `sha256 size path` a line; `#` begins a comment."""
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    fields = (line.split(" ", 2) for line in lines if line and not line.startswith("#"))
    return tuple(Pinned(path, sha256, int(size)) for sha256, size, path in fields)


@dataclass(frozen=True)
class Content:
    """What a loader returns: the value, a checksum where the pinned files do not give one, a note for the row."""

    value: Any
    sha256: str = ""
    note: str = ""


@dataclass(frozen=True)
class Loaded:
    """A data set in memory, and its entry for the row: `{"name", "origin", "sha256", "note"}`."""

    value: Any
    record: dict[str, str]


@dataclass(frozen=True)
class Files:
    """What a loader is given: the verified files of its data set, or the user's path.

    Attributes:
        data: the entry being loaded.
        paths: pinned path -> where that file lies.
        path: the file or folder that the user named, if any.
        root: the data root that holds what a library keeps in its own layout, if it does.
    """

    data: DataSet
    paths: Mapping[str, Path] = field(default_factory=dict)
    path: Path | None = None
    root: Path | None = None

    def __getitem__(self, name: str) -> Path:
        return self.paths[name]

    def __contains__(self, name: str) -> bool:
        return name in self.paths

    @property
    def own(self) -> Path:
        """The file or folder that the user named, where the data set is nothing without it."""
        if self.path is None:
            raise ValueError(f"data set {self.data.name} was loaded without a path")
        return self.path

    def folder(self, name: str) -> Path:
        """The user's folder, or the folder `name` below the root that holds what a library keeps."""
        if self.path is not None:
            return self.path
        if self.root is None:
            raise ValueError(f"data set {self.data.name} was loaded without a root")
        return self.root / name
