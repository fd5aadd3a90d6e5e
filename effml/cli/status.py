"""`effml status` and `effml gc`: how runs stand, and what the dead left behind."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from effml.cli.words import Json, Results


def status(results: Results = None, json: Json = False) -> None:
    """Runs by experiment and outcome, what runs now, and rows made by code that has changed since."""
    from collections import Counter

    from effml.experiments.core import registry, store
    from effml.experiments.core.fingerprint import fingerprint
    from effml.experiments.core.places import results_root

    root = results_root(results)
    counts: dict[str, Counter[str]] = {}
    running = []
    current = {name: fingerprint(name) for name in registry.names()}
    for folder in store.run_folders(root):
        state, name = store.state(folder), folder.parent.name
        counts.setdefault(name, Counter())[state] += 1
        row = store.read_row(folder)
        if row is not None and row["status"] == "ok" and row["code"]["fingerprint"] != current.get(name):
            counts[name]["stale"] += 1
        if state == "running":
            running.append(f"{name}/{folder.name}")
    for row in store.committed_rows(root):
        tally = counts.setdefault(row["experiment"], Counter())
        tally["committed"] += 1
        tally["stale committed"] += row["code"]["fingerprint"] != current.get(row["experiment"])
    if json:
        import json as encoder

        print(encoder.dumps({"experiments": {name: dict(count) for name, count in counts.items()}, "running": running}))
        return
    from effml.experiments.core.report import print_table

    kinds = ("ok", "failed", "interrupted", "running", "dead", "stale", "committed", "stale committed")
    print_table(
        ["experiment", *kinds], [[n, *(str(c[kind]) for kind in kinds)] for n, c in sorted(counts.items())], right=1
    )
    for name in running:
        print(f"running: {name}", file=sys.stderr)
    print("stale: made by code that has changed since; dead: killed before it wrote a row", file=sys.stderr)


def gc(
    results: Results = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, remove nothing.")] = False,
) -> None:
    """Remove temporary files and locks that no live process holds; nothing else."""
    from effml.experiments.core.garbage import collect
    from effml.experiments.core.places import results_root
    from effml.experiments.core.store import shown

    found = collect(results_root(results), remove=not dry_run)
    for path in found:
        print(shown(path))
    print(f"{len(found)} {'would be ' if dry_run else ''}removed", file=sys.stderr)
