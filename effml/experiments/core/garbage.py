"""What killed processes leave behind: temporary files and locks that nobody holds. Nothing else is ever touched."""

from __future__ import annotations

from pathlib import Path

from effml.experiments.core import store
from effml.experiments.core.claims import Claim


def collect(root: Path, *, remove: bool = True) -> list[Path]:
    """Find, and unless told otherwise remove, stale files below the results root; returns what was found."""
    found: list[Path] = []
    for folder in store.run_folders(root):
        if folder.name.startswith(".") or store.is_running(folder):
            continue
        found += [path for path in folder.rglob("*.tmp") if path.is_file()]
        if (folder / store.LOCK).exists():
            found.append(folder / store.LOCK)
    found += [path for part in ("rows", "tables") for path in (root / part).glob(".*.tmp")]
    claims = root / "runs" / ".claims"
    for path in claims.glob("*.lock"):
        claim = Claim(path)
        if claim.take():
            found.append(path)
            if remove:
                path.unlink(missing_ok=True)
            claim.drop()
    if remove:
        for path in found:
            path.unlink(missing_ok=True)
    return sorted(found)
