"""Verdicts: few false alarms between equal runs, and a provider made slower is found."""

import re

import numpy as np
import pytest

from effml.experiments.core.compare import compare
from tests.fixtures.added.experiments.toy.config import EXPERIMENT as TOY


def timed_row(rng, seed, run, slower=1.0, rounds=9):
    """Three providers whose rounds share the machine's mood; each run also has a mood of its own."""
    mood = np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.1, rounds))
    items = []
    for provider, seconds in {"torch": 1.0, "ours": 0.4, "third": 0.7}.items():
        own = np.exp(rng.normal(0, 0.01)) * np.exp(rng.normal(0, 0.02, rounds))
        samples = (seconds * (slower if provider == "ours" else 1.0) * mood * own).tolist()
        items.append({"table": "speed", "labels": {"k": 8, "provider": provider}, "metric": "seconds", "unit": "s",
                      "value": float(np.median(samples)), "samples": samples, "evidence": "measured"})  # fmt: skip
    return {"measurements": items, "seed": seed, "run_id": run, "config": {}}


def valued_row(values, seed):
    items = [{"table": "quality", "labels": {"k": k}, "metric": "accuracy", "unit": "1", "value": v, "evidence": "measured"}
             for k, v in values.items()]  # fmt: skip
    return {"measurements": items, "seed": seed, "run_id": f"r{seed}", "config": {}}


def test_repeated_runs_raise_at_most_one_false_alarm_in_twenty(seed):
    rng = np.random.default_rng(seed)
    verdicts = []
    for _ in range(100):
        groups = [[timed_row(rng, 0, f"{side}{i}") for i in range(3)] for side in "ab"]
        verdicts += [v.verdict for v in compare(TOY, *groups)]
    alarms = verdicts.count("different") / len(verdicts)
    assert alarms <= 0.05


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_provider_made_slower_by_a_fifth_is_found(seed, repeats):
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(20):
        first = [timed_row(rng, 0, f"a{i}") for i in range(repeats)]
        second = [timed_row(rng, 0, f"b{i}", slower=1.2) for i in range(repeats)]
        verdicts = {v.labels["provider"]: v.verdict for v in compare(TOY, first, second)}
        found += verdicts["ours"] == "different"
        assert "torch" not in verdicts  # the reference is the unit of the others
    assert found >= 18


def test_accuracies_are_judged_over_seeds(seed):
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.003, 5)
    base = [valued_row({1: 0.9 + noise[s], 2: 0.8 + noise[s], 3: 0.7}, s) for s in range(5)]
    other = [valued_row({1: 0.95 + noise[s], 2: 0.8 + noise[s] + rng.normal(0, 0.003), 3: 0.7}, s) for s in range(5)]
    verdicts = {v.labels["k"]: v.verdict for v in compare(TOY, base, other)}
    assert verdicts[1] == "different" and verdicts[3] == "same" and verdicts[2] in ("within noise", "different")
    assert compare(TOY, base[:1], other[:1])[0].verdict == "cannot tell"


def test_what_was_changed_does_not_keep_cells_apart(effml):
    for k in ("2", "4"):
        for s in range(3):
            effml("run", "toy", f"model.k={k}", "--seed", str(s))
    folders = sorted((effml.results / "runs" / "toy").iterdir())
    told = effml("compare", folders[0].name, folders[-1].name)
    assert told.code == 0 and "different" in told.out and "changed: config" in told.out


def test_reproduce_finds_the_same_and_names_a_change(effml):
    effml("run", "toy", "suite=all")
    same = effml("reproduce", "last")
    assert same.code == 0 and "same" in same.out and "changed since: nothing" in same.out
    row = next((effml.results / "runs" / "toy").glob("*/row.json"))
    row.write_text(re.sub(r'"value": 0\.90\d+', '"value": 0.7', row.read_text()))
    changed = effml("reproduce", row.parent.name)
    assert changed.code == 5


def test_times_of_one_run_each_are_no_difference():
    from effml.cli.compare import _of_time

    assert all(map(_of_time, ("s", "ms", "GB/s"))) and not any(map(_of_time, ("1", "x", "dB", "B", "nats")))
