"""The whole under stress (slow): pulled plugs, hostile surroundings, two users, many runs. No row may be lost or torn."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import jsonschema
import pytest

from effml.experiments.core.registry import names
from tests.conftest import ROW_SCHEMA

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
OWN = [name for name in names() if (ROOT / "effml" / "experiments" / name).is_dir()]
KILLS = 3
SCHEMA = json.loads(ROW_SCHEMA.read_text())


def start(words: list[str], results: Path, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "effml", *words, "--results", str(results)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, **environment}, cwd=ROOT,
    )  # fmt: skip


def whole_rows(results: Path, experiment: str) -> list[dict]:
    """Every row below; a torn one fails here."""
    rows = [json.loads(path.read_text()) for path in sorted(results.glob(f"runs/{experiment}/*/row.json"))]
    for row in rows:
        jsonschema.validate(row, SCHEMA)
    return rows


def processes_with(text: str) -> list[int]:
    found = subprocess.run(["pgrep", "-f", text], capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found if int(pid) != os.getpid()]


@pytest.mark.parametrize("experiment", OWN)
def test_pulled_plug_at_random_moments(experiment, tmp_path, seed):
    """kill -9 of a sweep and everything it started, anywhere in its stages; the same command then brings it to its end."""
    words = ["sweep", experiment, "--preset", "smoke", "--seeds", "0:1"]
    draw = random.Random(seed)
    for _ in range(KILLS):
        process = start(words, tmp_path)
        time.sleep(draw.uniform(1, 20))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        for pid in processes_with(str(tmp_path)):  # a run that the sweep started in a group of its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        whole_rows(tmp_path, experiment)
    last = start(words, tmp_path)
    out, _ = last.communicate(timeout=600)
    rows = whole_rows(tmp_path, experiment)
    missing = last.returncode == 3 and any((row["error"] or {}).get("class") == "MissingRequirement" for row in rows)
    assert last.returncode == 0 or missing, out
    assert "Traceback" not in out
    assert Counter(row["status"] for row in rows)["ok"] == (0 if missing else 1)
    assert not processes_with(str(tmp_path)), "a process outlived its sweep"


@pytest.mark.parametrize(
    "surroundings",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        {"HOME": "/nonexistent"},
        {"HOME": ""},
        {"TERM": "dumb", "COLUMNS": "20"},
    ],
    ids=["ascii", "no-home", "empty-home", "dumb-terminal"],
)
def test_hostile_surroundings(surroundings, tmp_path):
    for words in (["run", "maxk", "suite=approximation", "--preset", "smoke"], ["list"], ["doctor"]):
        process = start(words, tmp_path, **surroundings) if words[0] == "run" else subprocess.Popen(
            [sys.executable, "-m", "effml", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **surroundings}, cwd=ROOT,
        )  # fmt: skip
        out, _ = process.communicate(timeout=300)
        assert "Traceback" not in out
        assert process.returncode in (0, 4), out
    assert len(whole_rows(tmp_path, "maxk")) == 1


AS_ANOTHER = """
import os, sys
from effml.cli.main import main
def run(results, seed):
    sys.argv = ["effml", "run", "toy", "--results", results, "--seed", seed]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
scratch, results, seed = sys.argv[1:]
assert run(scratch, "0") == 0  # loads every module while they can be read
os.environ["HOME"] = "/nonexistent"
os.setgid(65534); os.setuid(65534)
sys.exit(run(results, seed))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_two_users_on_one_folder(tmp_path, monkeypatch):
    """What one user began, the other may go on with, or is told in one line that it may not; nobody's row is lost."""
    monkeypatch.setenv("EFFML_PATH", str(ROOT / "tests" / "fixtures" / "added"))
    results, scratch = tmp_path / "results", tmp_path / "scratch"
    results.mkdir()
    results.chmod(0o777)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)

    def other(seed: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", AS_ANOTHER, str(scratch), str(results), seed]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    def mine(seed: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "effml", "run", "toy", "--results", str(results), "--seed", seed]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    ended = [other("1"), mine("2"), other("3")]
    for process in ended:
        assert "Traceback" not in process.stderr
        assert process.returncode in (0, 4), process.stderr
    assert ended[1].returncode == 0
    assert len(whole_rows(results, "toy")) == sum(process.returncode == 0 for process in ended)


def test_two_hundred_runs_and_two_sweeps_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("EFFML_PATH", str(ROOT / "tests" / "fixtures" / "added"))
    words = ["sweep", "toy", "model.k=1,2,4,8,16", "dataset=alpha,beta", "--seeds", "0:20", "--jobs", "2"]
    sweeps = [start(words, tmp_path) for _ in range(2)]
    outs = [sweep.communicate(timeout=1800)[0] for sweep in sweeps]
    assert [sweep.returncode for sweep in sweeps] == [0, 0], outs
    keys = Counter((row["config_hash"], row["seed"]) for row in whole_rows(tmp_path, "toy"))
    assert len(keys) == 200 and set(keys.values()) == {1}
