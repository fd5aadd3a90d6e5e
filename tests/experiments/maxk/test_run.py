"""The experiment end to end at smoke size, and what a user's mistakes come to."""

import math

import pytest


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """One smoke run of every suite, for all tests of this file."""
    import json
    import os
    import subprocess
    import sys

    environment = os.environ | {"EFFML_RESULTS": str(tmp_path_factory.mktemp("results")), "OMP_NUM_THREADS": "2"}
    words = ["run", "maxk", "--preset", "smoke", "--seed", "3", "--json"]
    ended = subprocess.run([sys.executable, "-m", "effml", *words], capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def cells(row, table, metric):
    """Labels, as sorted pairs, to value."""
    found = [m for m in row["measurements"] if (m["table"], m["metric"]) == (table, metric)]
    return {tuple(sorted(m["labels"].items())): m for m in found}


def test_every_table_is_fed(smoke):
    assert {m["table"] for m in smoke["measurements"]} == {"datasets", "training", "kernel", "profile", "approximation"}


def test_real_data_is_measured_and_generated_graphs_are_marked(smoke):
    evidence = {(m["table"], m["evidence"]) for m in smoke["measurements"]}
    assert ("training", "measured") in evidence and ("kernel", "synthetic-data") in evidence
    assert ("training", "synthetic-data") not in evidence and ("approximation", "synthetic-data") not in evidence


def test_maxk_and_relu_are_trained_for_equal_epochs_and_compared(smoke):
    scores = cells(smoke, "training", "accuracy")
    by_k = {dict(labels)["k"]: m["value"] for labels, m in scores.items()}
    assert set(by_k) == {"relu", 4} and all(0 <= value <= 1 for value in by_k.values())
    (delta,) = cells(smoke, "training", "delta").values()
    assert delta["value"] == pytest.approx(100 * (by_k[4] - by_k["relu"]))


def test_every_product_was_checked_before_it_was_timed(smoke):
    errors, seconds = cells(smoke, "kernel", "scaled_error"), cells(smoke, "kernel", "seconds")
    products = {labels for labels in seconds if dict(labels)["op"] in ("forward", "backward")}
    assert products == set(errors)
    for labels, m in errors.items():
        assert m["value"] < (2e-2 if dict(labels)["provider"].endswith("bf16") else 1e-5)


def test_speedups_are_medians_of_rounds_over_the_named_baseline(smoke):
    for labels, m in cells(smoke, "kernel", "speedup").items():
        assert len(m["samples"]) == 3 and m["value"] == sorted(m["samples"])[1], labels
        if dict(labels)["provider"] in ("torch-csr", "torch-topk"):
            assert m["value"] == 1
    own = {dict(labels)["op"] for labels in cells(smoke, "kernel", "speedup") if dict(labels)["provider"] == "maxk"}
    assert own == {"selection", "forward", "backward", "layer"}


def test_byte_ratio_is_of_the_bytes_an_edge_moves(smoke):
    for labels, m in cells(smoke, "kernel", "byte_ratio").items():
        k = dict(labels)["k"]
        assert m["value"] == pytest.approx((4 * 32 + 8) / (5 * k + 8))


def test_profile_composes_what_it_measured(smoke):
    from effml.experiments.maxk.amdahl import limit

    shares, limits = cells(smoke, "profile", "spmm_share"), cells(smoke, "profile", "limit")
    composed, measured = cells(smoke, "profile", "composed"), cells(smoke, "profile", "measured")
    assert {dict(labels)["baseline"] for labels in limits} == {"torch-csr", "effml-spmm"}
    for labels, m in limits.items():
        assert 0 < shares[labels]["value"] <= 1
        assert m["value"] == pytest.approx(limit(shares[labels]["value"])) or math.isinf(limit(shares[labels]["value"]))
        gap = cells(smoke, "profile", "gap")[labels]["value"]
        assert gap == pytest.approx(measured[labels]["value"] / composed[labels]["value"])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--dataset", "redit"], 2, "reddit"),
        (["model.kk=16"], 2, "model.k"),
        (["model.k=abc"], 2, "int"),
        (["model.k=0"], 2, "at least 1"),
        (["model.k=300"], 2, "model.hidden=256"),
        (["kernel.graphs=[chunglu]"], 2, "chung-lu"),
        (["suite=kernel", "kernel.ks=[512]"], 2, "kernel.hidden=256"),
        (["suite=kernel", "--dataset", "cora"], 2, "add kernel.graphs=[dataset]"),
        (["suite=profile", "--dataset", "cora"], 2, "add profile.graph=dataset"),
        (["--dataset", "reddit-synthetic", "dataset.scale=1.5"], 2, "0 to 1"),
    ],
)
def test_a_mistake_is_one_clear_line(effml, words, code, said):
    ended = effml("run", "maxk", *words)
    assert ended.code == code and said in ended.err and "Traceback" not in ended.err
    assert not (effml.results / "runs").exists(), "nothing is written for a run that never started"


def test_kernels_take_a_graph_without_labels(effml, tmp_path):
    (tmp_path / "mine.txt").write_text("".join(f"{i} {(i * 7 + 1) % 40}\n{i} {(i + 3) % 40}\n" for i in range(40)))
    own = ["dataset=file", f"dataset.path={tmp_path / 'mine.txt'}"]
    row = effml.row("maxk", "--preset", "smoke", *own, "suite=kernel", "kernel.graphs=[dataset]")
    assert {m["labels"]["graph"] for m in row["measurements"] if m["table"] == "kernel"} == {"mine.txt"}
    ended = effml("run", "maxk", "--preset", "smoke", *own, "suite=train")
    assert ended.code == 2 and "kernel.graphs=[dataset]" in ended.err
