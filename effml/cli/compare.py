"""`effml compare` and `effml reproduce`: are two results different beyond noise?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from effml.cli.words import Results

if TYPE_CHECKING:
    from effml.experiments.core.compare import Verdict

Run = Annotated[str, typer.Argument(help="A run id, the beginning of one, or `last`.")]


def compare(first: Run, second: Run, results: Results = None) -> None:
    """Two configs, each with all its repeated runs and seeds: different beyond noise, within it, or cannot tell."""
    from effml.errors import UserError
    from effml.experiments.core import registry, store
    from effml.experiments.core.compare import changed
    from effml.experiments.core.compare import compare as judge
    from effml.experiments.core.places import results_root

    root = results_root(results)
    rows = [store.find_row(root, name) for name in (first, second)]
    names = {row["experiment"] for row in rows}
    if len(names) > 1:
        raise UserError(f"{first} and {second} are runs of different experiments ({', '.join(sorted(names))})")
    everything = store.all_rows(root, rows[0]["experiment"])
    groups = [[row] for row in rows] if _alike(*rows) else [[r for r in everything if _alike(r, row)] for row in rows]
    unfinished = [name for name, group in zip((first, second), groups, strict=True) if not group]
    if unfinished:
        raise UserError(f"nothing to compare: no run like {' or '.join(unfinished)} has ended well")
    verdicts = judge(registry.get(rows[0]["experiment"]), *groups)
    _print(verdicts)
    what = changed(*rows)
    counts = ", ".join(f"{sum(v.verdict == kind for v in verdicts)} {kind}" for kind in _KINDS)
    print(f"\n{len(groups[0])} against {len(groups[1])} runs: {counts}; changed: {', '.join(what) or 'nothing'}")


def reproduce(
    run: Run,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="dataset.path=... where the run used your own file.")
    ] = None,
    results: Results = None,
) -> None:
    """Run a row's exact config again: the same, the same within noise, or different (exit 5), and what has changed since."""
    from effml.cli.run import check_given
    from effml.errors import Differs, UserError
    from effml.experiments.core import registry, store
    from effml.experiments.core.compare import changed
    from effml.experiments.core.compare import compare as judge
    from effml.experiments.core.config import from_values
    from effml.experiments.core.execute import Request, execute
    from effml.experiments.core.places import results_root
    from effml.experiments.core.progress import display

    root = results_root(results)
    old = store.find_row(root, run)
    if old["status"] != "ok":
        raise UserError(f"{old['run_id']} has not ended well ({old['status']}): there is nothing to reproduce")
    experiment = registry.get(old["experiment"])
    resolved = from_values(experiment, old["config"], overrides or [], old.get("preset", "default"))
    check_given(experiment, resolved.config, root)
    kind = old["device"]["kind"]
    with display() as shown:
        new, _ = execute(Request(resolved, old["seed"], "auto" if kind == "unknown" else kind, root), shown)
    verdicts = judge(experiment, [old], [new])
    _print(verdicts)
    what = ", ".join(changed(old, new)) or "nothing"
    units = {metric.name: metric.unit for metric in experiment.metrics}
    # Of one seed anything but a time should come out to the bit; a time without rounds has nothing to be judged by.
    different = sum(
        v.verdict == "different" or (v.verdict == "cannot tell" and "seeds" in v.why and not _of_time(units[v.metric]))
        for v in verdicts
    )
    if different:
        raise Differs(f"{different} of {len(verdicts)} measurements came out different; changed since: {what}")
    same = all(v.verdict == "same" for v in verdicts)
    unjudged = sum(v.verdict == "cannot tell" for v in verdicts)
    told = f", but for {unjudged} times that one run cannot judge" if unjudged else ""
    print(f"\n{'same' if same else 'same within noise'}{told}; changed since: {what}")


def _of_time(unit: str) -> bool:
    return unit in ("s", "ms", "us") or unit.endswith("/s")


_KINDS = ("same", "within noise", "different", "cannot tell")


def _alike(first: dict, second: dict) -> bool:  # type: ignore[type-arg]
    keys = [(row["config_hash"], row["device"]["name"], row["code"]["fingerprint"]) for row in (first, second)]
    return first["status"] == second["status"] == "ok" and keys[0] == keys[1]


def _print(verdicts: list[Verdict]) -> None:
    from effml.experiments.core.render import number
    from effml.experiments.core.report import print_table

    body = [
        [
            v.table,
            " ".join(f"{key}={value}" for key, value in v.labels.items()),
            v.metric,
            number(v.before, 4),
            number(v.after, 4),
            v.verdict,
            v.why,
        ]
        for v in verdicts
    ]
    print_table(["table", "cell", "metric", "first", "second", "verdict", "why"], body)
