"""Which of two methods is better at a budget: a paired test over the seeds of stored runs."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import ttest_rel

from effml.errors import UserError
from effml.experiments.autorep.config import METHODS, Config
from effml.experiments.core import store
from effml.experiments.core.run import Run

Place = tuple[str, str, str]


def accuracies(rows: list[store.Row], dataset: str) -> dict[Place, dict[str, dict[int, float]]]:
    """Accuracy by (data set, model, budget), method and seed, from the rows of the newest config that measured each place.

    Only whole runs on `dataset` count.
    """
    config_of: dict[tuple[Place, str], str] = {}
    found: dict[tuple[Place, str, str], dict[int, float]] = defaultdict(dict)
    for row in store.newest([row for row in rows if row.get("preset") != "smoke"]):
        for item in row["measurements"]:
            labels = item["labels"]
            if item["table"] != "accuracy" or item["value"] is None or labels["dataset"].split(" ")[0] != dataset:
                continue
            place = (labels["dataset"], labels["model"], labels["budget"])
            method = f"{labels['strategy']}+{labels['replacement']}"
            config_of[place, method] = row["config_hash"]
            found[place, method, row["config_hash"]][row["seed"]] = item["value"]
    chosen: dict[Place, dict[str, dict[int, float]]] = defaultdict(dict)
    for (place, method), config in config_of.items():
        chosen[place][method] = found[place, method, config]
    return chosen


def record_order(config: Config, run: Run) -> None:
    """Compare every pair of methods at every budget that both reached with at least two common seeds.

    Raises:
        UserError: there is no such pair among the stored runs.
    """
    rows = store.all_rows(run.folder.parents[2], "autorep")
    compared = 0
    for place, methods in accuracies(rows, config.dataset.name).items():
        if place[2] == "100%":
            continue
        # A claimed order, not the one that came out: a one-sided test whose side the data choose would halve its p-value.
        claimed = sorted(methods, key=lambda method: METHODS.index(method) if method in METHODS else len(METHODS))
        for first, second in combinations(claimed, 2):
            compared += _compare(run, place, first, second, methods)
    if not compared:
        raise UserError(
            f"no two methods have two seeds in common on {config.dataset.name}; run them first, for example with "
            f"effml sweep autorep suite=train dataset={config.dataset.name} --seeds 0:3"
        )


def paired_test(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """Mean difference, and the p-value of a one-sided paired t-test that ours is not better."""
    difference = np.subtract(ours, theirs)
    if np.ptp(difference) == 0:  # the test divides by the spread
        return float(difference.mean()), float(difference[0] <= 0)
    return float(difference.mean()), float(ttest_rel(ours, theirs, alternative="greater").pvalue)


def _compare(run: Run, place: Place, first: str, second: str, methods: dict[str, dict[int, float]]) -> bool:
    seeds = sorted(methods[first].keys() & methods[second].keys())
    if len(seeds) < 2:
        return False
    ours, theirs = ([methods[name][seed] for seed in seeds] for name in (first, second))
    difference, p_value = paired_test(ours, theirs)
    where: dict[str, Any] = {
        "dataset": place[0],
        "model": place[1],
        "budget": place[2],
        "first": first,
        "second": second,
    }
    run.record("order", where, "difference", difference, samples=np.subtract(ours, theirs))
    run.record("order", where, "p_value", p_value)
    run.record("order", where, "seeds", len(seeds))
    if place[2] == "2.6%":
        verdict = f"{difference:+.4f} (p = {p_value:.3f}, {len(seeds)} seeds)"
        run.log(f"{place[0]} at {place[2]}: {first} less {second} = {verdict}")
    return True
