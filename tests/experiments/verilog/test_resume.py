"""A run killed in the middle goes on by --resume, and asks the model for nothing twice."""

import json
import signal
import subprocess
import sys
import time

import pytest

from effml.models.rtl.tools import have

pytest.importorskip("litellm")
pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.skipif(not have("iverilog", "vvp", "yosys"), reason="needs iverilog, yosys"),
]

WORDS = ["verilog", "--preset", "smoke", "suite=refine", "designs=[add_select]", "model.name=stand-in", "loop.trials=4",
         "loop.repairs=3", "model.concurrency=1"]  # fmt: skip


def test_killed_after_three_answers_it_buys_only_the_rest(effml, tmp_path):
    whole = effml.row(*WORDS)

    root = tmp_path / "killed"
    command = [sys.executable, "-m", "effml", "run", *WORDS, "--results", str(root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = time.monotonic()
    while sum(len(answers(folder)) for folder in root.glob("runs/verilog/*")) < 3:
        assert process.poll() is None and time.monotonic() - started < 120
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (folder,) = root.glob("runs/verilog/*")
    kept = answers(folder)

    assert effml("run", *WORDS, "--resume", folder.name, "--results", str(root)).code == 0
    (again,) = set(root.glob("runs/verilog/*")) - {folder}
    bought = answers(again)
    assert bought[: len(kept)] == kept and len(set(bought)) == len(bought)
    row = json.loads((again / "row.json").read_text())
    assert f"{len(bought) - len(kept)} answers bought now" in (again / "log.txt").read_text()
    timeless = [[m for m in r["measurements"] if m["metric"] != "seconds"] for r in (row, whole)]
    assert timeless[0] == timeless[1]


def answers(folder):
    """Keys of the answers in a run's transcript, in the order in which they were bought."""
    path = folder / "artifacts" / "transcript.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    return [choice["key"] for line in lines if line.endswith("\n") for choice in json.loads(line)["choices"]]
