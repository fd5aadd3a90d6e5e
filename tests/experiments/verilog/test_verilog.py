"""The experiment as a user runs it: smoke, usage, own designs, recorded answers, the loop without a key."""

import json

import pytest

from effml.models.rtl.tools import have
from tests.models.rtl.small import ADDER, TESTBENCH

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(not have("iverilog", "vvp", "yosys"), reason="needs iverilog, yosys"),
]


def cells(row, table, metric):
    """{values of the labels, which a row keeps sorted by name: value} of one metric of a table."""
    return {
        tuple(m["labels"].values()): m["value"]
        for m in row["measurements"]
        if m["table"] == table and m["metric"] == metric
    }


def test_smoke_goes_through_every_part(effml):
    row = effml.row("verilog", "--preset", "smoke")
    assert list(cells(row, "references", "sound").values()) == [2]
    assert cells(row, "testbenches", "mutants") and cells(row, "synthesis", "synthesised") == {
        ("small-designs", "generic"): 2
    }
    ratios = cells(row, "rewrites", "area_ratio")
    assert ratios["small-designs", "add_select", "generic", "shared", "generic", "PROVEN"] < 0.85
    assert ratios["small-designs", "add_select", "generic", "exchanged", "generic", "PROVEN"] == 1.0
    shares = cells(row, "answers", "pass_share")
    assert set(shares) == {("small-designs", "mutation", 0), ("small-designs", "mutation", 2)}
    rounds = [value for _, value in sorted(cells(row, "rounds", "pass_share").items())]
    assert rounds == sorted(rounds) and len(rounds) == 3
    kinds = {m["evidence"] for m in row["measurements"] if m["table"] in ("answers", "rounds", "pass_at_k")}
    assert kinds == {"simulated"}


@pytest.mark.parametrize(
    "words, said",
    [
        (["designs=[add_selekt]"], "did you mean add_select"),
        (["model.start=rtllm-gpt4"], "dataset=rtllm"),
        (["cells.name=file"], "cells.path"),
        (["model.name=replay"], "model.transcript"),
        (["goal.metric=power"], "cell library"),
        (["model.name=no-such-provider/x", "suite=refine", "designs=[popcount]"], "provider"),
    ],
)
def test_mistakes_are_sentences(effml, words, said):
    done = effml("run", "verilog", "--preset", "smoke", *words)
    assert done.code == 2 and said in done.err


def test_a_model_without_its_key_is_named(effml, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = effml("run", "verilog", "--preset", "smoke", "suite=generate", "model.name=openai/gpt-4o-mini")
    assert done.code == 4 and "OPENAI_API_KEY" in done.err and "model.name=ollama/" in done.err


def test_own_designs_and_the_history_of_a_trial(effml, tmp_path):
    folder = tmp_path / "mine" / "add4"
    folder.mkdir(parents=True)
    (folder / "specification.txt").write_text("Add two 4-bit numbers.")
    (folder / "reference.v").write_text(ADDER)
    (folder / "testbench.v").write_text(TESTBENCH)
    words = ["--dataset", "file", f"dataset.path={folder.parent}", "designs=[all]", "suite=refine", "loop.rewrites=0"]
    row = effml.row("verilog", "--preset", "smoke", *words, "model.damage=0")
    assert cells(row, "answers", "pass_share") == {("file", "mutation", 0): 1.0, ("file", "mutation", 2): 1.0}
    told = effml("show", row["run_id"], "add4")
    assert "simulate" in told.out and "best: proposal 0" in told.out
    assert "module add4" in effml("show", row["run_id"], "add4-0.v").out
    assert effml("show", row["run_id"], "add5").code == 2


def test_rows_of_the_stand_in_are_simulated_and_resume_buys_nothing(effml):
    words = ["verilog", "--preset", "smoke", "suite=refine", "designs=[add_select]", "model.name=stand-in"]
    row = effml.row(*words)
    assert {m["evidence"] for m in row["measurements"] if m["table"] == "answers"} == {"simulated"}
    calls = cells(row, "answers", "calls")["small-designs", "stand-in", 2]
    assert calls >= 2
    folder = next(effml.results.glob(f"runs/verilog/{row['run_id'].rsplit('/', 1)[-1]}"))
    lines = (folder / "artifacts" / "transcript.jsonl").read_text().splitlines()
    assert len(lines) == calls and json.loads(lines[0])["note"]["design"] == "add_select"


@pytest.mark.realdata
def test_references_of_rtllm_under_their_own_testbenches(effml):
    row = effml.row("verilog", "--dataset", "rtllm", "suite=replay", "--preset", "smoke", "mutants=0",
                    "designs=[asyn_fifo,ring_counter,clkgenerator,radix2_div,adder_8bit,traffic_light]")  # fmt: skip
    assert list(cells(row, "references", "sound").values()) == [2]
    note = next(m["note"] for m in row["measurements"] if m["metric"] == "sound")
    assert note == "asyn_fifo; clkgenerator; radix2_div; ring_counter"


@pytest.mark.slow
@pytest.mark.realdata
def test_recorded_answers_give_the_papers_figures_before_correction(effml):
    """From 290 real answers; trials that time out may move a count by one."""
    row = effml.row("verilog", "--dataset", "rtllm", "suite=replay")
    assert list(cells(row, "references", "sound").values()) == [46]
    expected = {
        "gpt-3.5": {"parse_share": 106, "compile_share": 102, "pass_share": 37, "design_share": 11},
        "gpt-4": {"parse_share": 130, "compile_share": 122, "pass_share": 64, "design_share": 19},
    }
    for model, shares in expected.items():
        for metric, count in shares.items():
            total = 29 if metric == "design_share" else 145
            assert abs(cells(row, "answers", metric)["rtllm", model, 0] * total - count) <= 1.01, (model, metric)


@pytest.mark.slow
@pytest.mark.realdata
def test_references_of_verilog_eval(effml):
    row = effml.row("verilog", "--dataset", "verilog-eval", "suite=replay")
    assert list(cells(row, "references", "sound").values()) == [151]


@pytest.mark.slow
@pytest.mark.realdata
def test_all_references_that_can_become_hardware_do(effml):
    row = effml.row("verilog", "--dataset", "rtllm", "suite=ppa")
    assert list(cells(row, "synthesis", "synthesised").values()) == [47]
