"""The experiment as a user runs it: the small model end to end, a local server, no key, own problems, a graph to walk."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from effml.experiments.got.config import CHECKED, METHODS
from tests.models.llm.openai_server import OpenAIServer

pytest.importorskip("litellm")


@pytest.fixture
def cache(monkeypatch, tmp_path_factory):
    """One cache for all tests of this module, so that the smallest model is trained once."""
    folder = tmp_path_factory.getbasetemp() / "got-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


NAMES = ("model", "dataset", "method", "checker", "at", "direction", "k")


def figures(row, table, metric):
    """Values by their labels, in the order of NAMES."""
    return {
        tuple(m["labels"][name] for name in NAMES if name in m["labels"]): m["value"]
        for m in row["measurements"]
        if (m["table"], m["metric"]) == (table, metric)
    }


def test_smoke_compares_every_method_and_shows_a_graph(effml, cache):
    row = effml.row("got", "preset=smoke", "--device", "cpu")
    expected = {(m, c) for m in METHODS for c in (("own", "exact") if m in CHECKED else ("none",))}
    assert {labels[2:] for labels in figures(row, "tiny", "accuracy")} == expected
    assert all(tokens <= 400 for tokens in figures(row, "tiny", "tokens").values())
    assert set(figures(row, "equal", "accuracy_at")) == {("tiny", "game24-hard", m, c, 250) for m, c in expected}
    assert {m["evidence"] for m in row["measurements"]} == {"measured"}
    assert list(cache.glob("effml/got/tiny-*.pt"))

    shown = effml("show", row["run_id"], "902")
    assert shown.code == 0 and "game24 902: " in shown.out and "graph of got-forward own" in shown.out
    assert effml("show", row["run_id"], "902/got-backward/exact.mermaid").out.startswith("flowchart BT")
    assert json.loads(effml("show", row["run_id"], "902/exact.json").out)["target"] in shown.out
    unknown = effml("show", row["run_id"], "7")
    assert unknown.code == 2 and "901, 902, 903" in unknown.err

    again = effml.row("got", "preset=smoke", "--device", "cpu")
    assert again["measurements"] == row["measurements"]


def test_another_seed_draws_other_samples_from_the_same_model(effml, cache):
    words = ("got", "preset=smoke", "methods=[io]", "limit=1", "--device", "cpu")
    answers = set()
    for seed in ("0", "1"):
        effml.row(*words, "--seed", seed)
        (path,) = sorted(effml.results.glob(f"runs/got/*-s{seed}/artifacts/problems/901.json"))[-1:]
        answers.add(json.loads(path.read_text())["methods"]["io none"]["answer"])
    assert len(answers) == 2
    assert len(list(cache.glob("effml/got/tiny-*.pt"))) == 1


@pytest.mark.parametrize("dataset", ["polynomials-easy", "sequences"])
def test_other_tasks_run_the_same_way(effml, cache, dataset):
    row = effml.row("got", "preset=smoke", "--dataset", dataset, "suite=checker")
    assert figures(row, "checker", "cases")
    assert {m["evidence"] for m in row["measurements"]} == {"synthetic-data"}
    assert row["data"][0]["origin"] == "generated"


def test_a_problem_of_ones_own(effml, cache, tmp_path):
    words = ("preset=smoke", "methods=[cot, got-backward]", "checkers=[exact]")
    row = effml.row("got", *words, "problem='3 3 8 8'")
    assert {labels[1] for labels in figures(row, "tiny", "accuracy")} == {"own problem"}
    assert "3 3 8 8 > 24" in effml("show", row["run_id"], "mine").out
    own = tmp_path / "mine.csv"
    own.write_text("id,problem\nfirst,a(1)=1; a(n+1)=2a(n)+3\nsecond,aff 2 3 4\n")
    listed = effml.row("got", *words, "dataset=file", f"dataset.path={own}", "dataset.task=sequence")
    assert "aff 1 2 3" in effml("show", listed["run_id"], "first").out
    refused = effml("run", "got", *words, "problem='3 3 8 eight'")
    assert refused.code == 2 and "puzzle" in refused.err


def test_without_a_key_the_variable_and_the_local_ways_are_named(effml, cache, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ended = effml("run", "got", "model=gpt-4o", "limit=1")
    assert ended.code == 4
    assert "OPENAI_API_KEY" in ended.err and "ollama pull" in ended.err and "model=tiny" in ended.err
    assert "provider.api_base=" in ended.err


def live(server, transcript, *more):
    return (
        "got",
        "model=openai/stand-in",
        f"provider.api_base={server.url}",
        f"provider.transcript={transcript}",
        "methods=[io, cot-sc]",
        "budget.most=4",
        "limit=20",
        *more,
    )


def test_limits_stop_before_they_are_passed_and_a_rerun_buys_only_the_rest(effml, cache, tmp_path):
    prices = ("provider.price_in=100", "provider.price_out=1000")
    with OpenAIServer(lambda k, _body: "429" if k in (3, 9) else None) as server:
        stopped = effml.row(*live(server, tmp_path / "calls.jsonl", "limits.cost=4.3", *prices))
        first = sum(server.answered.values())
        whole = effml.row(*live(server, tmp_path / "calls.jsonl", *prices))
        assert len(server.answered) == 40 and sum(server.answered.values()) == 40
        fresh = effml.row(*live(server, tmp_path / "fresh.jsonl", *prices))
    # An IO call costs $0.007. A vote of four may cost $4.01 (four answers of 1,000 tokens) and costs $0.022, so that it
    # is begun while less than $0.29 is spent.
    votes = figures(stopped, "live", "problems")["openai/stand-in", "game24-hard", "cot-sc", "none"]
    assert 5 <= votes < 20 and first == 20 + votes
    assert {m.get("note") for m in stopped["measurements"]} == {
        None,
        f"n={votes:.0f}/20: the limits of the run were reached",
    }
    assert whole["measurements"] == fresh["measurements"]
    assert figures(whole, "live", "cost")["openai/stand-in", "game24-hard", "io", "none"] == pytest.approx(0.007)


def test_an_unknown_price_is_blank_and_refuses_a_budget_in_dollars(effml, cache, tmp_path):
    with OpenAIServer() as server:
        row = effml.row(*live(server, tmp_path / "calls.jsonl", "limit=1"))
        refused = effml("run", *live(server, tmp_path / "other.jsonl", "limits.cost=1.0"))
        replayed = effml.row(*live(server, tmp_path / "calls.jsonl", "limit=1", "model=replay"))
    assert set(figures(row, "live", "cost").values()) == {None}
    assert refused.code == 2 and "price" in refused.err
    assert {m["evidence"] for m in replayed["measurements"]} == {"recorded"}
    assert list(figures(replayed, "live", "accuracy").values()) == list(figures(row, "live", "accuracy").values())


@pytest.mark.slow
@pytest.mark.realdata
def test_killed_at_call_57_of_200_the_same_command_goes_on(effml, cache, tmp_path):
    def words(server, transcript, results):
        return [
            *live(
                server,
                transcript,
                "methods=[io]",
                "limit=200",
                "dataset=game24",
                "dataset.first=801",
                "dataset.last=1000",
            ),
            "--results",
            str(results),
        ]

    with OpenAIServer() as server:
        command = [sys.executable, "-m", "effml", "run", *words(server, tmp_path / "calls.jsonl", tmp_path / "a")]
        killed = subprocess.Popen(command)
        while sum(server.answered.values()) < 57:
            assert killed.poll() is None
            time.sleep(0.005)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert effml("run", *words(server, tmp_path / "calls.jsonl", tmp_path / "a")).code == 0
        assert len(server.answered) == 200
        assert sum(server.answered.values()) <= 208
    with OpenAIServer() as server:
        assert effml("run", *words(server, tmp_path / "fresh.jsonl", tmp_path / "b")).code == 0
    tables = [effml("table", "got.live", "--results", str(tmp_path / name)).out for name in "ab"]
    assert tables[0] == tables[1] and "stand-in" in tables[0]
