"""The plan of a sweep: which runs a grid means, and which of them stored rows already answer.

Done is decided by content (config hash, seed, code fingerprint), never by order or marker files.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from effml.errors import UserError
from effml.experiments.core import registry, store
from effml.experiments.core.config import Resolved, compose, parse, read_yaml
from effml.experiments.core.fingerprint import fingerprint
from effml.experiments.core.options import unknown
from effml.experiments.core.places import conf_roots
from effml.experiments.core.spec import Experiment


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    resolved: Resolved
    seed: int
    words: list[str]
    timed: bool

    @property
    def key(self) -> tuple[str, int]:
        return self.resolved.hash, self.seed

    @property
    def name(self) -> str:
        return " ".join([self.resolved.experiment.name, *self.words, f"seed={self.seed}"])


@dataclass
class Plan:
    """Jobs to do, and those left out with the reason."""

    todo: list[Job] = field(default_factory=list)
    done: list[Job] = field(default_factory=list)
    failed: list[Job] = field(default_factory=list)
    seconds: float | None = None
    """Estimated run time of `todo` one after the other, from earlier rows or the experiment's own estimate."""


def seeds_of(text: str) -> list[int]:
    """`0:5` (without 5), `3`, or `0,2,4`."""
    try:
        if ":" in text:
            low, high = (int(part) for part in text.split(":"))
            found = list(range(low, high))
        else:
            found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0:
        raise UserError(f"--seeds {text} names no seeds; write 0:5 for 0 to 4, or 0,2,4")
    return found


def grid(name: str, experiment: Experiment) -> dict[str, Any]:
    """A named sweep: `conf/sweep/EXPERIMENT/NAME.yaml` with `blocks` (lists of overrides), `seeds`, `preset`, `note`."""
    import yaml

    for root in conf_roots():
        path = root / "sweep" / experiment.name / f"{name}.yaml"
        if path.is_file():
            found = read_yaml(path, yaml.safe_load)
            extra = set(found) - {"blocks", "seeds", "preset", "note"}
            if extra or not isinstance(found.get("blocks"), list):
                raise UserError(
                    f"conf/sweep/{experiment.name}/{name}.yaml needs `blocks` and takes seeds, preset, note"
                )
            return found
    raise unknown("named sweep", name, registry.grids(experiment.name))


def expand(experiment: Experiment, blocks: list[list[str]], seeds: list[int], preset: str | None = None) -> list[Job]:
    """Every combination of every block for every seed; equal runs once."""
    jobs: dict[tuple[str, int], Job] = {}
    for block in blocks:
        parsed = parse(experiment, block)
        fixed = list(parsed.values)
        if parsed.dataset:
            fixed.append(f"dataset={parsed.dataset}")
        if parsed.preset:
            fixed.append(f"preset={parsed.preset}")
        for point in itertools.product(*parsed.swept.values()):
            words = [*fixed, *(f"{key}={value}" for key, value in zip(parsed.swept, point, strict=True))]
            chosen = None if any(word.startswith("preset=") for word in words) else preset
            resolved = compose(experiment, words, preset=chosen)
            shown = [*words, *([f"preset={chosen}"] if chosen else [])]
            for seed in seeds:
                job = Job(resolved, seed, shown, bool(experiment.timed(resolved.config)))
                jobs.setdefault(job.key, job)
    return sorted(jobs.values(), key=lambda job: job.seed)


def make(root: Path, experiment: Experiment, jobs: list[Job], device: str, retry_failed: bool) -> Plan:
    """Sort jobs into to do, done, and failed before; estimate the time."""
    plan = Plan()
    code = fingerprint(experiment.name)
    states = outcomes(store.run_rows(root, experiment.name), code, device)
    for job in jobs:
        state = states.get(job.key)
        if state == "ok":
            plan.done.append(job)
        elif state == "failed" and not retry_failed:
            plan.failed.append(job)
        else:
            plan.todo.append(job)
    if retry_failed:
        plan.todo = [job for job in plan.todo if states.get(job.key) == "failed"]
    plan.seconds = _estimate(experiment, plan.todo, store.all_rows(root, experiment.name))
    return plan


def outcomes(rows: list[store.Row], code: str, device: str) -> dict[tuple[str, int], str]:
    """(hash, seed) -> ok, failed or interrupted, from rows of this code on this kind of device; ok wins, then the newest."""
    states: dict[tuple[str, int], str] = {}
    for row in sorted(rows, key=lambda row: row["run_id"]):
        kind = row["device"]["kind"]
        if row["code"]["fingerprint"] != code or (device != "auto" and kind not in ("unknown", device.split(":")[0])):
            continue
        key = row["config_hash"], row["seed"]
        if states.get(key) != "ok":
            states[key] = row["status"]
    return states


def _estimate(experiment: Experiment, todo: list[Job], rows: list[store.Row]) -> float | None:
    by_hash: dict[str, list[float]] = {}
    for row in rows:
        if row["status"] == "ok":
            by_hash.setdefault(row["config_hash"], []).append(row["time"]["wall_seconds"])
    known = [seconds for times in by_hash.values() for seconds in times]
    total = 0.0
    for job in todo:
        cost = experiment.cost(job.resolved.config)
        if job.resolved.hash in by_hash:
            total += statistics.median(by_hash[job.resolved.hash])
        elif cost is not None:
            total += cost.seconds
        elif known:
            total += statistics.median(known)
        else:
            return None
    return total
