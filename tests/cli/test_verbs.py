"""The verbs as a user meets them, on the toy experiment."""

import json
import os
import subprocess
import sys
import time

from effml.cli import complete


def test_run_prints_its_table_with_the_paper_beside(effml):
    ended = effml("run", "toy")
    assert ended.code == 0
    assert "toy.quality" in ended.out and "accuracy (paper)" in ended.out and "0.9000" in ended.out
    assert "artifacts/note.txt" in ended.err


def test_json_is_the_only_line_on_stdout_and_fits_the_contract(effml):
    row = effml.row("toy", "model.k=3", "--seed", "2")
    assert row["seed"] == 2 and row["config"]["model"]["k"] == 3 and row["overrides"] == ["model.k=3"]
    assert row["measurements"][0]["labels"] == {"dataset": "alpha", "k": 3}
    assert row["code"]["fingerprint"] and row["cpu"]["flags"] is not None


def test_no_private_word_is_stored(effml, tmp_path):
    secret = tmp_path / "private" / "graph.npz"
    row = effml.row("toy", "dataset=file", f"dataset.path={secret}")
    folder = next((effml.results / "runs" / "toy").iterdir())
    stored = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert str(tmp_path) not in stored and "graph.npz" in stored
    assert row["config"]["dataset"]["path"] == "graph.npz"


def test_dry_run_prints_the_resolved_config_and_runs_nothing(effml):
    ended = effml("run", "toy", "--dataset", "beta", "--dry-run")
    assert "rate: 0.25" in ended.out and "k: 8" in ended.out
    assert not (effml.results / "runs").exists()


def test_presets_and_data_set_settings_apply_in_order(effml):
    assert effml.row("toy", "--preset", "smoke")["config"]["model"]["k"] == 2
    assert effml.row("toy", "--preset", "smoke", "model.k=5")["config"]["model"]["k"] == 5
    assert effml.row("toy", "dataset=beta", "model.rate=0.75")["config"]["model"]["rate"] == 0.75


def test_list_and_describe_agree_with_the_config(effml):
    listed = {entry["name"]: entry for entry in json.loads(effml("list", "--json").out)}
    assert listed["toy"]["suites"] == ["train", "time", "all"] and listed["toy"]["tables"] == [
        "toy.quality",
        "toy.speed",
    ]
    described = json.loads(effml("describe", "toy", "--json").out)
    assert {"model.k", "dataset.scale", "end"} <= {option["key"] for option in described["options"]}
    assert "ks" in described["grids"] and "smoke" in described["presets"]


def test_table_averages_seeds_and_names_what_is_missing(effml):
    for seed in range(3):
        effml("run", "toy", "--seed", str(seed))
    shown = effml("table", "toy.quality").out
    assert "± " in shown and "(3)" in shown and "`effml run toy --dataset alpha model.k=64`" in shown
    data = json.loads(effml("table", "toy.quality", "--format", "json").out)
    cell = data["rows"][0]["cells"]["accuracy"]
    assert data["id"] == "toy.quality" and cell["n"] == 3 and cell["paper"] == 0.9
    assert effml("table", "toy.quality", "--format", "latex").out.count("\\toprule") == 1
    assert effml("table", "toy.quality").out == shown


def test_smoke_rows_feed_no_table(effml):
    effml("run", "toy", "--preset", "smoke")
    assert "| 2 " not in effml("table", "toy.quality").out
    assert "| 2 " in effml("table", "toy.quality", "--smoke").out


def test_committed_tables_check_and_differ_after_a_changed_value(effml):
    effml("run", "toy")
    assert effml("table", "--update").code == 0
    assert effml("table", "all", "--check").code == 0
    rows = effml.results / "rows" / "toy.jsonl"
    before = rows.read_bytes()
    effml("table", "--update")
    assert rows.read_bytes() == before
    row = json.loads(before)
    row["measurements"][0]["value"] += 0.1
    rows.write_text(json.dumps(row) + "\n")
    ended = effml("table", "all", "--check")
    assert ended.code == 5 and "toy.quality" in ended.err


def test_show_reads_items_of_a_run(effml):
    effml("run", "toy")
    assert "k: 8" in effml("show", "last", "config").out
    assert '"loss": 1.0' in effml("show", "last", "metrics").out
    assert "note.txt" in effml("show", "last", "artifacts").out
    assert effml("show", "last", "artifact").code == 2


def test_doctor_names_remedies(effml):
    found = {entry["what"]: entry for entry in json.loads(effml("doctor", "--json").out)}
    assert found["torch"]["state"] == "ok"
    assert all(entry["remedy"] for entry in found.values() if entry["state"] == "missing")


class _Context:
    def __init__(self, **params):
        self.params = params


def test_completion_knows_keys_values_and_data_sets(effml):
    assert ("model.k=", "values kept") in complete.overrides(_Context(experiment="toy"), "model.")
    assert [word for word, _ in complete.overrides(_Context(experiment="toy"), "model.kind=")] == [
        "model.kind=sage",
        "model.kind=gcn",
    ]
    assert complete.datasets(_Context(experiment="toy")) == ["alpha", "beta", "file"]
    assert "toy" in [name for name, _ in complete.experiments("to")]


def test_help_is_quick_and_light():
    """`effml --help` within half a second on an idle machine; the best of several, because this one may be busy."""
    probe = "import sys; sys.argv=['effml','--help']\nimport effml.cli.main as m\ntry:\n m.main()\nexcept SystemExit: pass\n"
    probe += "heavy = {'torch','hydra','omegaconf','numpy','torch_geometric'} & set(sys.modules)\n"
    probe += "print('heavy:', sorted(heavy), file=sys.stderr)"
    best, heavy = 1e9, ""
    for _ in range(4):
        began = time.process_time(), os.times().children_user + os.times().children_system
        ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
        best = min(best, os.times().children_user + os.times().children_system - began[1])
        heavy = ended.stderr.strip()
    assert heavy.endswith("heavy: []")
    assert best < 0.5


def test_module_and_unknown_word_as_a_process():
    ended = subprocess.run([sys.executable, "-m", "effml", "run", "maxx"], capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.startswith("effml: unknown experiment 'maxx'")


def test_own_data_and_resumed_runs_are_checked_before_anything_starts(effml):
    for words, code, told in [
        (["run", "maxk", "dataset=file"], 2, "dataset.path="),
        (["run", "maxk", "dataset=file", "dataset.path=nope.npz"], 4, "no file or folder nope.npz"),
        (["run", "maxk", "--resume", "nosuch"], 2, "nosuch"),
    ]:
        ended = effml(*words)
        assert ended.code == code and told in ended.err and "expected on" not in ended.err, ended.err
    assert not list(effml.results.glob("runs/maxk/*"))


def test_results_below_no_real_folder(effml):
    ended = effml("run", "toy", "--results", "/proc/nope")
    assert ended.code == 4 and "choose another with --results" in ended.err


def test_a_terminal_without_the_marks(effml):
    effml("run", "toy")
    command = [sys.executable, "-m", "effml", "table", "all", "--results", str(effml.results)]
    ended = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert ended.returncode == 0 and b"Traceback" not in ended.stderr and ended.stdout.isascii() and ended.stdout
