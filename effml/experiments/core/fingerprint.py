"""A hash of the code that a result depends on: the effml modules an experiment imports, transitively, found by reading
the source (no import is executed). The command line and the reporting are left out: they cannot change a measurement.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from effml.experiments.core.places import PACKAGE, experiment_roots

LEFT_OUT = (
    "effml.cli",
    "effml.experiments.core.report",
    "effml.experiments.core.plots",
    "effml.experiments.core.tables",
    "effml.experiments.core.render",
    "effml.experiments.core.progress",
)
# Packages that only gather the public names of what lies below; one operator's change must not touch another's results.
GATHERING = ("effml", "effml.kernels", "effml.models", "effml.experiments")
CORE = ("effml.experiments.core.run", "effml.experiments.core.measure", "effml.experiments.core.seeding")


def fingerprint(experiment: str) -> str:
    """16 hex digits naming the source of `experiment` and everything of effml below it."""
    modules = reachable((f"effml.experiments.{experiment}.config", f"effml.experiments.{experiment}.run"))
    digest = hashlib.sha256()
    for name in sorted(modules):
        digest.update(name.encode() + b"\0" + _normalised(modules[name]) + b"\0")
    return digest.hexdigest()[:16]


def reachable(roots: tuple[str, ...]) -> dict[str, Path]:
    """Module name -> file, for everything of effml that the roots import."""
    found: dict[str, Path] = {}
    waiting = [*roots]
    while waiting:
        name = waiting.pop()
        if name in found or name.startswith(LEFT_OUT):
            continue
        path = _file_of(name)
        if path is None:
            continue
        if name.startswith("effml.experiments.core") and name not in CORE:
            continue
        found[name] = path
        waiting.extend(_imports(path))
    return found


@cache
def _imports(path: Path) -> tuple[str, ...]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            exported = _exports(node.module) if node.module in GATHERING else {}
            names.update(exported.get(alias.name, f"{node.module}.{alias.name}") for alias in node.names)
    inside = {name for name in names if name == "effml" or name.startswith("effml.")}
    parents = {".".join(name.split(".")[:i]) for name in inside for i in range(2, name.count(".") + 1)}
    return tuple(sorted((inside | parents) - set(GATHERING)))


@cache
def _exports(package: str) -> dict[str, str]:
    """Name -> module that a gathering package re-exports it from."""
    path = _file_of(package)
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path else ():
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update({alias.asname or alias.name: node.module for alias in node.names})
    return found


def _file_of(module: str) -> Path | None:
    parts = module.split(".")[1:]
    roots = [PACKAGE]
    if parts[:1] == ["experiments"] and len(parts) > 1:
        roots = [root for root in experiment_roots()]
        parts = parts[1:]
    for root in roots:
        base = root.joinpath(*parts)
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if parts and path.is_file():
                return path
    return None


@cache
def _normalised(path: Path) -> bytes:
    """The source without comments and layout, so that only a change of meaning changes the hash."""
    return ast.dump(ast.parse(path.read_text(encoding="utf-8"))).encode()
