"""Sweeps survive what happens to sweeps: kills, failures, rivals, interruptions."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

GRID = ["sweep", "toy", "model.k=1,2,4", "dataset=alpha,beta", "--seeds", "0:2"]


def rows(results: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(results.glob("runs/toy/*/row.json"))]


def start(*words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "effml", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def children_gone(group: int) -> bool:
    found = subprocess.run(["pgrep", "-f", f"effml run toy.*{group}"], capture_output=True, text=True).stdout
    return not found.strip()


def test_killed_sweep_goes_on_to_exactly_its_runs(effml, tmp_path):
    assert effml(*GRID, "--results", str(tmp_path / "whole")).code == 0
    words = [*GRID, "seconds=0.4"]
    first = start(*words)
    wait_for(lambda: len(rows(effml.results)) >= 3)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    kept = {path: path.stat().st_mtime_ns for path in effml.results.glob("runs/toy/*/row.json")}
    assert effml(*words, "--jobs", "2").code == 0
    keys = Counter((row["config_hash"], row["seed"]) for row in rows(effml.results))
    assert len(keys) == 12 and set(keys.values()) == {1}
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    # The table of what was measured is the same, byte for byte, as that of a sweep nobody touched.
    whole = effml("table", "toy.quality", "--results", str(tmp_path / "whole")).out
    assert effml("table", "toy.quality").out == whole
    again = effml(*words)
    assert again.code == 0 and "12 done" in again.err and len(rows(effml.results)) == 12


def test_failures_cost_only_themselves_and_are_retried_alone(effml):
    words = ["sweep", "toy", "end=well,raise,kill", "model.k=1,2"]
    ended = effml(*words, "--jobs", "2")
    assert ended.code == 3
    by_status = Counter(row["status"] for row in rows(effml.results))
    assert by_status == {"ok": 2, "failed": 4}
    classes = {row["error"]["class"] for row in rows(effml.results) if row["status"] == "failed"}
    assert classes == {"ValueError", "Killed"}
    for row in rows(effml.results):
        if row["status"] == "failed":
            assert (effml.results / "runs" / "toy" / row["run_id"] / row["error"]["log"]).is_file()
    again = effml(*words)
    assert again.code == 3 and "0 to do" in again.err and len(rows(effml.results)) == 6
    assert effml(*words, "--retry-failed").code == 3
    assert Counter(row["status"] for row in rows(effml.results)) == {"ok": 2, "failed": 8}


def test_two_sweeps_share_a_folder_without_doing_a_run_twice(effml):
    words = ["sweep", "toy", "model.k=1,2,3,4", "seconds=0.3"]
    both = [start(*words), start(*words)]
    for process in both:
        process.communicate(timeout=120)
        assert process.returncode == 0
    keys = Counter((row["config_hash"], row["seed"]) for row in rows(effml.results))
    assert len(keys) == 4 and set(keys.values()) == {1}


def test_timeout_kills_and_says_so(effml):
    ended = effml("sweep", "toy", "seconds=60", "--timeout", "3")
    assert ended.code == 3
    (row,) = rows(effml.results)
    assert row["error"]["class"] == "TimedOut" and row["status"] == "failed"


@pytest.mark.parametrize("presses", [1, 2])
def test_interrupt_keeps_what_was_measured(effml, presses):
    process = start("sweep", "toy", "model.k=1,2,3", "seconds=0.2,30")
    wait_for(lambda: len(rows(effml.results)) >= 1)
    wait_for(lambda: len(list(effml.results.glob("runs/toy/*/log.txt"))) >= 2)
    for _ in range(presses):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.3)
    process.communicate(timeout=60)
    assert process.returncode == 130
    found = rows(effml.results)
    assert {row["status"] for row in found} <= {"ok", "interrupted"} and found[0]["measurements"]
    assert not list(effml.results.glob("runs/toy/*/*.tmp"))


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.2, 0.5])
def test_impatient_interrupts_do_not_cost_the_row(effml, gap):
    """Ctrl-C five times: while the run unwinds, while its row is written, while the process leaves."""
    process = start("run", "toy", "seconds=30")
    wait_for(lambda: list(effml.results.glob("runs/toy/*/log.txt")))
    time.sleep(0.5)  # into the experiment itself
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        time.sleep(gap)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in told, told
    assert [row["status"] for row in rows(effml.results)] == ["interrupted"]


def test_interrupted_run_goes_on_from_its_stages(effml):
    process = start("run", "toy", "end=stage")
    process.communicate(timeout=60)
    assert process.returncode == 130
    (row,) = rows(effml.results)
    assert row["status"] == "interrupted" and row["measurements"]
    ended = effml("run", "toy", "end=stage", "--resume", "last")
    assert ended.code == 0 and "taken from the resumed run" in ended.err
    refused = effml("run", "toy", "end=stage", "model.k=3", "--resume", row["run_id"])
    assert refused.code == 2 and "only suite may differ" in refused.err


def test_stages_serve_a_run_that_differs_only_in_what_comes_after_them(effml):
    start("run", "toy", "end=stage").communicate(timeout=60)
    (first,) = effml.results.glob("runs/toy/*")
    (first / "artifacts" / "stale.txt").write_text("of the first run")
    other = effml("run", "toy", "end=stage", "suite=all", "--resume", first.name)
    assert other.code == 0 and "first: taken from the resumed run" in other.err
    (second,) = set(effml.results.glob("runs/toy/*")) - {first}
    assert not (second / "artifacts" / "stale.txt").exists()
    again = effml("run", "toy", "end=stage", "suite=all", "--seed", "1", "--resume", first.name)
    assert again.code == 2


def test_runs_that_measure_time_are_alone(effml):
    assert effml("sweep", "toy", "suite=time", "model.k=1,2,3", "seconds=0.3", "--jobs", "3").code == 0
    spans = sorted((row["time"]["started"], row["time"]["ended"]) for row in rows(effml.results))
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


def test_plan_is_shown_and_limited(effml):
    ended = effml(*GRID, "--dry-run")
    assert "12 runs: 12 to do" in ended.err and len(ended.out.splitlines()) == 12
    assert effml(*GRID, "--max-runs", "2").code == 0
    assert len(rows(effml.results)) == 2


def test_named_grid(effml):
    ended = effml("sweep", "toy", "--grid", "ks", "--dry-run")
    assert "12 runs" in ended.err
