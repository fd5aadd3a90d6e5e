"""Every mistake gets one line that names it and the remedy, the right exit code, and no row."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["run", "toyy"], 2, ["unknown experiment 'toyy'", "did you mean toy"]),
        (["run", "toy", "--dataset", "alpa"], 2, ["unknown data set 'alpa'", "did you mean alpha"]),
        (["run", "toy", "dataset=alpa"], 2, ["unknown data set 'alpa'", "did you mean alpha"]),
        (["run", "toy", "--preset", "smok"], 2, ["unknown preset 'smok'", "smoke"]),
        (["run", "toy", "model.kk=16"], 2, ["no option 'model.kk'", "model.k (int, 1 to 256)"]),
        (["run", "toy", "model.k=abc"], 2, ["model.k", "'abc'", "int, 1 to 256"]),
        (["run", "toy", "model.k="], 2, ["model.k", "int, 1 to 256"]),
        (["run", "toy", "model.k=null"], 2, ["model.k", "int, 1 to 256"]),
        (["run", "toy", "model.k=1.5"], 2, ["model.k", "int, 1 to 256"]),
        (["run", "toy", "model.k=0"], 2, ["model.k=0 is out of range", "1 to 256"]),
        (["run", "toy", "model.k=300"], 2, ["model.k=300 is out of range", "1 to 256"]),
        (["run", "toy", "model.kind=gnc"], 2, ["model.kind=gnc is not allowed", "did you mean gcn"]),
        (["run", "toy", "model.rate=nan"], 2, ["model.rate"]),
        (["run", "toy", "model.rate=inf"], 2, ["model.rate", "no finite number"]),
        (["run", "maxk", "--dataset", "graph-file"], 2, ["dataset=file dataset.path="]),
        (["run", "toy", "model.sizes=[1,0]"], 2, ["model.sizes", "at least 1"]),
        (["run", "toy", "model.sizes=[1,a]"], 2, ["model.sizes", "list of int"]),
        (["run", "toy", "model.kind=gcn", "model.k=200"], 2, ["needs model.kind=sage"]),
        (["run", "toy", "model=3"], 2, ["'model' is a group", "model.k"]),
        (["run", "toy", "model.k"], 2, ["not key=value"]),
        (["run", "toy", "+x=1"], 2, ["cannot be added"]),
        (["run", "toy", "~model.k=1"], 2, ["cannot be added or removed"]),
        (["run", "toy", "model.k=1,2"], 2, ["effml sweep toy model.k="]),
        (["run", "toy", "seed=3"], 2, ["--seed"]),
        (["run", "toy", "--device", "gpu9"], 2, ["unknown device 'gpu9'", "cpu"]),
        (["run", "toy", "--dataset", "alpha", "dataset=beta"], 2, ["contradict"]),
        (["run", "toy", "end=user"], 2, ["your mistake"]),
        (["run", "toy", "end=missing"], 4, ["effml data get toy"]),
        (["run", "toy", "end=raise"], 1, ["ValueError", "told to raise", "log.txt"]),
        (["describe", "toyy"], 2, ["did you mean toy"]),
        (["table", "toy.qualty"], 2, ["did you mean toy.quality"]),
        (["table", "toy", "--format", "word"], 2, ["md, latex, csv, json"]),
        (["show", "nothing"], 2, ["no run 'nothing'"]),
        (["sweep", "toy", "--grid", "kss"], 2, ["unknown named sweep 'kss'", "ks"]),
        (["sweep", "toy", "--seeds", "5:0"], 2, ["--seeds 5:0"]),
        (["sweep", "toy", "--engine", "pbs"], 2, ["unknown engine 'pbs'"]),
        (["sweep", "toy", "model.rate=interval(0,1)"], 2, ["interval"]),
        (["runn", "toy"], 2, ["No such command", "run"]),
    ],
)
def test_mistake_is_named_in_one_line(effml, words, code, told):
    ended = effml(*words)
    assert ended.code == code
    assert "Traceback" not in ended.err
    assert "append" not in ended.err  # Hydra's advice to add `+` teaches the wrong thing
    for part in told:
        assert part in ended.err
    lines = [line for line in ended.err.splitlines() if line.startswith("effml: ")]
    assert len(lines) == (0 if words[0] == "runn" else 1)


def test_results_folder_that_cannot_be_made(effml, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EFFML_RESULTS", str(tmp_path / "file"))
    ended = effml("run", "toy")
    assert ended.code == 4
    assert "cannot be written" in ended.err and "--results" in ended.err


def test_bad_yaml_is_named(effml, tmp_path, monkeypatch):
    folder = tmp_path / "mine" / "conf" / "experiment" / "toy"
    folder.mkdir(parents=True)
    (folder / "broken.yaml").write_text("model: {k: [1\n")
    (folder / "wrong.yaml").write_text("model: {kk: 1}\n")
    monkeypatch.setenv("EFFML_PATH", f"{tmp_path / 'mine'}:{monkeypatch_path()}")
    assert "broken.yaml" in effml("run", "toy", "--preset", "broken").err
    ended = effml("run", "toy", "--preset", "wrong")
    assert ended.code == 2 and "model.k" in ended.err


def monkeypatch_path() -> str:
    import os

    return os.environ["EFFML_PATH"]


def test_failed_run_leaves_a_whole_row_with_the_log(effml):
    effml("run", "toy", "end=raise")
    assert "ValueError: the toy was told to raise" in effml("show", "last").err
    assert "nothing to reproduce" in effml("reproduce", "last").err
    ended = effml("show", "last", "row")
    assert '"status": "failed"' in ended.out and '"class": "ValueError"' in ended.out
    assert "Traceback" in effml("show", "last", "log").out


def test_a_package_that_is_not_installed_is_a_requirement(tmp_path):
    words = ["effml", "run", "revsnn", "--preset", "smoke", "suite=train", "--results", str(tmp_path)]
    told = f"import sys; sys.modules['snntorch'] = None; sys.argv = {words}; from effml.cli.main import main; main()"
    ended = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
    assert ended.returncode == 4 and "snntorch is not installed" in ended.stderr and "effml[systems]" in ended.stderr


@pytest.mark.parametrize("path", ["\u00fcbung.npz", "a=b,c.npz", "it's \u00f6dd.npz", "a b.npz"])
def test_paths_need_no_quotes_of_their_own(effml, path):
    ended = effml("run", "maxk", "dataset=file", f"dataset.path={path}", "--dry-run")
    assert ended.code == 0 and yaml.safe_load(ended.out)["dataset"]["path"] == path


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told_as_one():
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "effml", "table", "maxk"]
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 4 and "cannot write" in ended.stderr and "bug" not in ended.stderr


@pytest.mark.parametrize("words", [["list"], ["table", "maxk"]])
def test_a_reader_that_leaves_early_is_no_failure(words):
    ended = subprocess.run(
        f"set -o pipefail; {sys.executable} -m effml {' '.join(words)} | head -n 1",
        shell=True, executable="/bin/bash", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0 and ended.stderr.count("Broken") == 0 and len(ended.stdout.splitlines()) == 1
