"""Every data set there is: look one up, load it, say whether it is here, fetch it, verify it.

Standard library only until something is loaded. Kinds list their sets in `effml.experiments.data.KIND`, in a light
module; loaders are imported when called. A folder in `$EFFML_PATH` adds its own sets in a module `data.py` with
`DATASETS`, a list of `DataSet`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import types
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from effml.errors import MissingRequirement, UserError
from effml.experiments.core.places import added_roots
from effml.experiments.data import places
from effml.experiments.data.entry import DataSet, Files, Loaded
from effml.experiments.data.places import roots

__all__ = ["DataSet", "Loaded", "fetch", "get", "load", "names", "roots", "state", "verify"]

KINDS = ("graphs", "images", "video", "skeletons", "events", "puzzles", "rtl", "cells", "shapes")
OWN = "file"


def names(kind: str | None = None) -> list[str]:
    """Names of all data sets, or of one kind, in the order listed."""
    known = _everything().values()
    if kind is not None and kind not in (kinds := list(dict.fromkeys(data.kind for data in known))):
        raise _unknown("kind of data", kind, kinds)
    return [data.name for data in known if kind in (None, data.kind)]


def get(name: str, among: Iterable[str] = ()) -> DataSet:
    """The data set called `name`; UserError with the nearest names otherwise.

    `file` is the user's own data. Of which kind they are is told by `among`, names of the sets that might have stood in
    its place (an experiment's `datasets`).
    """
    known = _everything()
    if name in known:
        return known[name]
    if name != OWN:
        raise _unknown("data set", name, [*known, OWN])
    kinds = dict.fromkeys(known[other].kind for other in among if other in known)
    own = [data for data in known.values() if data.own and (data.kind in kinds or not kinds)]
    if len(own) == 1:
        return own[0]
    listed = ", ".join(data.name for data in own)
    raise UserError(f"data set 'file' could be of several kinds; name one of {listed}" if own else "no own data here")


def load(name: str, *, path: str | Path | None = None, among: Iterable[str] = (), **options: Any) -> Loaded:
    """Load a data set with its checksum.

    Args:
        name: a name of `names()`, or `file`.
        path: the user's file or folder; for a set with pinned files, a folder that holds them.
        among: see `get`.
        options: passed to the loader; one that is None counts as not given.

    Raises:
        UserError: unknown name, an option that the loader does not take.
        MissingRequirement: absent (says its size and how to get it), or corrupt (says which file and what is wrong).
    """
    data = get(name, among)
    loader = _resolve(data.loader)
    given = {key: value for key, value in options.items() if value is not None}
    _check_options(data, loader, given)
    _check_needs(data)
    files = _files(data, _named(Path(path).expanduser()) if path else None)
    content = loader(files, **given)
    sha256 = content.sha256 or _together(data, files)
    record = {"name": OWN if data.own else data.name, "origin": data.origin, "sha256": sha256, "note": content.note}
    return Loaded(content.value, record)


def _named(path: Path) -> Path:
    """The same place under a path whose last part is its name, which data without a name of their own are given."""
    return path.resolve() if path.name in ("", "..") else path


def state(name: str) -> str:
    """`present`, `absent` or `corrupt`; bundled and generated sets are always present."""
    data = get(name)
    if data.origin in ("bundled", "generated"):
        return "present"
    if data.marker:
        return "present" if _root_of(data) else "absent"
    for files in data.alternatives:
        found = places.find(files)
        if found is not None:
            faulty = any(places.fault_of(file, found[file.path]) for file in files)
            return "corrupt" if faulty else "present"
    return "absent"


def verify(name: str) -> str:
    """Check every file of a data set against its checksum and say so; MissingRequirement when one differs."""
    data = get(name)
    if data.origin == "bundled":
        load(name)
        return f"{name}: comes with {data.source}; loaded"
    if data.origin == "generated":
        return f"{name}: generated when loaded; nothing to verify"
    if data.marker:
        return f"{name}: loaded; sha256 {load(name).record['sha256'][:16]}..."
    if data.own or not data.alternatives:
        return f"{name}: your own files, checked when they are loaded"
    files = _files(data, None)
    return f"{name}: {len(files.paths)} files, all as expected"


def fetch(name: str) -> str:
    """Bring a data set into the user's cache, verified, and say where it is.

    Raises:
        MissingRequirement: no network, a full disk, a download of other content than pinned, nothing to fetch from.
    """
    data = get(name)
    if data.origin in ("bundled", "generated"):
        return f"{name} needs no download: it is {data.origin}"
    if state(name) == "present" and (not data.instead or places.find(data.pinned)):
        return f"{name} is here already"
    if not places.obtainable(data):
        raise MissingRequirement(f"data set {name} cannot be fetched: {places.ways(data)}")
    _check_needs(data)
    from effml.experiments.data import download

    return download.into(places.cache(), data)


def check_path(name: str, path: str | Path | None, among: Iterable[str] = ()) -> None:
    """Refuse an own data set without a path, or a path where nothing is, before anything is started."""
    _check_path(get(name, among), Path(path).expanduser() if path else None)


def _check_path(data: DataSet, path: Path | None) -> None:
    if path is not None and not path.exists():
        raise MissingRequirement(f"there is no file or folder {path}; name yours with dataset.path=...")
    if data.own and path is None:
        raise UserError(f"{data.title}: name the file or folder with dataset.path=...")


def _files(data: DataSet, path: Path | None) -> Files:
    """The verified files of a data set, or the user's path."""
    _check_path(data, path)
    for files in data.alternatives:
        found = places.find(files, path)
        if found is not None:
            places.check(data, files, found)
            return Files(data, found, path)
    absent = f"data set {data.name} ({places.size_of(data)}) is"
    if data.alternatives:
        raise MissingRequirement(f"{absent} not {f'below {path}' if path else 'here'}: {places.ways(data)}")
    root = _root_of(data)
    if path is None and (data.origin == "file" or (data.marker and root is None)):
        raise MissingRequirement(f"{absent} not here: {places.ways(data)}")
    return Files(data, {}, path, root)


def _root_of(data: DataSet) -> Path | None:
    return next((root for root in roots() if data.marker and (root / data.marker).exists()), None)


def _together(data: DataSet, files: Files) -> str:
    """One checksum over the pinned files that were read: of a single file its own, else over their sorted list."""
    pinned = next((alternative for alternative in data.alternatives if alternative[0].path in files), ())
    if not pinned:
        raise ValueError(f"the loader of {data.name} returned no checksum, and no file is pinned")
    if len(pinned) == 1:
        return pinned[0].sha256
    lines = sorted(f"{file.path} {file.sha256}\n" for file in pinned)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _check_options(data: DataSet, loader: Callable[..., Any], given: dict[str, Any]) -> None:
    taken = [name for name in inspect.signature(loader).parameters if name != "files"]
    for key in given:
        if key not in taken:
            takes = f"it takes {', '.join(taken)}" if taken else "it takes none"
            raise UserError(f"data set {data.name} has no option '{key}'; {takes}")


def _check_needs(data: DataSet) -> None:
    for package in data.needs:
        if importlib.util.find_spec(package) is None:
            raise MissingRequirement(f"data set {data.name} is read by the package {package}: pip install {package}")


def _resolve(function: str | Callable[..., Any]) -> Callable[..., Any]:
    if callable(function):
        return function
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def _unknown(what: str, word: str, known: Iterable[str]) -> UserError:
    from effml.experiments.core.options import unknown

    return UserError(f"{unknown(what, word, list(known))}; `effml data list` lists them")


def _everything() -> dict[str, DataSet]:
    return _listed(os.environ.get("EFFML_PATH", ""))


@cache
def _listed(effml_path: str) -> dict[str, DataSet]:
    found: dict[str, DataSet] = {}
    for kind in KINDS:
        for data in importlib.import_module(f"effml.experiments.data.{kind}").DATASETS:
            found[data.name] = data
    for root in added_roots():
        for data in _added(root / "data.py"):
            if data.name in found or data.name == OWN:
                raise UserError(f"{root / 'data.py'} adds data set '{data.name}', a name that is taken")
            found[data.name] = data
    return found


def _added(path: Path) -> list[DataSet]:
    """The data sets of a user's `data.py`, if there is one."""
    if not path.is_file():
        return []
    name = "effml_data_" + hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
        added = list(module.DATASETS)
    except Exception as error:
        raise UserError(f"{path} cannot be used: {type(error).__name__}: {error}") from error
    if not all(isinstance(data, DataSet) for data in added):
        raise UserError(f"DATASETS in {path} must be a list of effml.experiments.data.entry.DataSet")
    return added
