"""AutoReP end to end at smoke size, and what a user may get wrong."""

import json
import socket

import numpy as np
import pytest
import torch
from scipy import stats

from effml.errors import MissingRequirement
from effml.experiments.autorep.order import accuracies, paired_test
from effml.models.private.environment import python_of


def cells(row, table, metric):
    """Labels (as a frozen set) to value."""
    return {
        frozenset(item["labels"].items()): item["value"]
        for item in row["measurements"]
        if (item["table"], item["metric"]) == (table, metric)
    }


def has_crypten():
    try:
        python_of("crypten")
    except MissingRequirement:
        return False
    return True


def test_smoke(effml):
    smoke = effml.row("autorep", "--preset", "smoke")
    tables = {item["table"] for item in smoke["measurements"]}
    expected = {"accuracy", "points", "layers", "threshold", "degree", "granularity", "activation"}
    if has_crypten():
        expected |= {"inference", "linearity", "protocols", "predicted"}
    assert tables == expected
    total = 4 * 2 * 64 * (1 + 1 / 2 + 1 / 4 + 1 / 8)
    relus, sites = cells(smoke, "points", "relus"), cells(smoke, "points", "sites")
    budgets = {"50%": total // 2, "20%": int(total * 0.2)}
    for labels, kept in relus.items():
        assert kept == budgets[dict(labels)["budget"]] and sites[labels] == total
    assert set(cells(smoke, "points", "steps").values()) == {12}, "methods are compared at equal steps"
    for method in ("autorep", "random"):
        layers = {
            labels: value
            for labels, value in cells(smoke, "layers", "relus").items()
            if dict(labels)["strategy"] == method
        }
        assert len(layers) == 16 and sum(layers.values()) == budgets["20%"]
    folder = next((effml.results / "runs" / "autorep").iterdir())
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    looks = [(step["part"], step["step"]) for step in steps if step["fit"] == "curve-autorep+dapa-20%"]
    assert looks == [("select", 6), ("select", 7), ("fit", 5)], "states are chosen on held-out images"
    with np.load(folder / "artifacts" / "masks" / "autorep+dapa-20pc.npz") as mask:
        bits = sum(int(np.unpackbits(mask[key]).sum()) for key in mask if key.startswith("bits/"))
        assert bits == budgets["20%"] == json.loads(str(mask["header"]))["kept"]
    if has_crypten():
        check_private(smoke)


def check_private(smoke):
    sent = cells(smoke, "inference", "activation_bytes")
    by = {(dict(labels)["budget"], dict(labels)["masking"]): value for labels, value in sent.items()}
    assert by["20%", "dense"] > by["100%", "gathered"] > by["50%", "gathered"] > by["20%", "gathered"]
    assert by["100%", "gathered"] == 464 * 960
    assert max(cells(smoke, "inference", "error_max").values()) < 0.05
    assert set(cells(smoke, "inference", "agreement").values()) == {1.0}
    assert min(cells(smoke, "linearity", "r_squared").values()) > 0.999
    protocols = cells(smoke, "protocols", "square_over_relu")
    assert protocols[frozenset({("protocol", "cheetah")})] > 1
    assert protocols[frozenset({("protocol", "crypten")})] == pytest.approx(16 / 464)
    evidence = {
        item["labels"]["protocol"]: item["evidence"] for item in smoke["measurements"] if item["table"] == "protocols"
    }
    assert evidence == {"crypten": "measured", "semi2k": "recorded", "cheetah": "recorded"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.budgets=[0]"], "a budget of 0 keeps no ReLU, so there is nothing to select"),
        (["train.budgets=['0%']"], "keeps no ReLU"),
        (["train.budgets=['101%']"], "above the network's total; 100% keeps every ReLU"),
        (["train.budgets=[many]"], "'many' is not a budget; write ReLUs"),
        (["train.budgets=[961]"], "a budget of 961 (961 ReLUs) is above the network's total of 960"),
        (["ablation.budget=2K"], "above the network's total of 960"),
        (["train.budgets=[1kB]"], "1,000 bytes are too few for 960 sites under crypten"),
        (["train.budgets=[1MB]", "cost.protocol=cheetah"], "makes inference dearer; take the replacement linear"),
        (["train.methods=[autorep+cubic]"], "train.methods"),
        (["model.name=efficientnet-b2", "suite=train"], "takes images of 3 channels"),
        (["suite=order"], "no two methods have two seeds in common on digits; run them first"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(effml, words, message):
    ended = effml("run", "autorep", "--preset", "smoke", "suite=ablation", *words) if "suite" not in str(words) else effml(
        "run", "autorep", "--preset", "smoke", *words
    )  # fmt: skip
    assert ended.code == 2 and message in " ".join(ended.err.split()), ended.err


def test_mask_of_another_architecture_is_refused(effml, tmp_path):
    from effml.models.reduction.mask import ReluMask
    from effml.models.reduction.network import GatedNetwork
    from effml.models.resnet import ResNet

    ReluMask.of(GatedNetwork(ResNet(10, 3, 1), (1, 8, 8))).save(tmp_path / "mask.npz")
    ended = effml("run", "autorep", "--preset", "smoke", "suite=train", f"model.mask={tmp_path}/mask.npz")
    assert ended.code == 2 and "with 1,440 sites, but the network is" in " ".join(ended.err.split())


def test_own_mask_is_fitted_as_it_is(effml, tmp_path):
    from effml.models.gated import FixedGate
    from effml.models.reduction.mask import ReluMask
    from effml.models.reduction.network import GatedNetwork
    from effml.models.resnet import ResNet

    network = GatedNetwork(ResNet(10, 2, 1), (1, 8, 8))
    name, site = next(iter(network.sites.items()))
    network.set_gates(lambda _, other: FixedGate(torch.full(other.site, other is site)))
    ReluMask.of(network).save(tmp_path / "mask.npz")
    row = effml.row("autorep", "--preset", "smoke", "suite=train", f"model.mask={tmp_path}/mask.npz")
    assert set(cells(row, "points", "relus").values()) == {128.0}
    kept = {dict(labels)["layer"]: value for labels, value in cells(row, "layers", "relus").items()}
    assert kept == {layer: 128.0 * layer.endswith(name) for layer in kept} and len(kept) == 16
    assert str(tmp_path) not in json.dumps(row)


def test_networks_that_were_trained_serve_another_suite(effml):
    words = ("autorep", "--preset", "smoke")
    first = effml.row(*words, "suite=train", "train.methods=[autorep+dapa]")
    suite, stage = ("cost", "curve-autorep+dapa-20%") if has_crypten() else ("ablation", "teacher")
    more = effml("run", *words, f"suite={suite}", "train.methods=[autorep+dapa]", "--resume", first["run_id"])
    assert more.code == 0 and f"{stage}: taken from the resumed run" in more.err
    refused = effml("run", *words, "suite=cost", "cost.protocol=cheetah", "--resume", first["run_id"])
    assert refused.code == 2 and "only suite, ablation, rounds may differ" in refused.err


def test_private_inference_without_its_engine_says_how_to_get_it(effml, monkeypatch, tmp_path):
    monkeypatch.setenv("EFFML_ENVIRONMENTS", str(tmp_path))
    ended = effml("run", "autorep", "--preset", "smoke", "suite=cost")
    assert ended.code == 4 and "make crypten" in ended.err


def test_busy_port_is_refused_before_anything_is_trained(effml):
    if not has_crypten():
        pytest.skip("CrypTen's environment is missing: make crypten")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = effml("run", "autorep", "--preset", "smoke", "suite=cost", f"cost.port={taken.getsockname()[1]}")
    assert ended.code == 2 and "cost.port" in ended.err


def test_order_takes_the_newest_config_and_pairs_seeds():
    def row(run_id, config, seed, values):
        labels = {"dataset": "digits", "model": "m", "budget": "5%", "replacement": "r"}
        items = [
            {"table": "accuracy", "metric": "accuracy", "labels": {**labels, "strategy": name}, "value": value}
            for name, value in values.items()
        ]
        return {
            "run_id": run_id, "experiment": "autorep", "status": "ok", "config_hash": config, "seed": seed,
            "device": {"name": "cpu"}, "measurements": items,
        }  # fmt: skip

    rows = [
        row("1", "old", 0, {"a": 0.1}),
        row("2", "new", 0, {"a": 0.9, "b": 0.7}),
        row("3", "new", 1, {"a": 0.8, "b": 0.7}),
    ]
    assert accuracies(rows, "digits") == {("digits", "m", "5%"): {"a+r": {0: 0.9, 1: 0.8}, "b+r": {0: 0.7, 1: 0.7}}}
    assert accuracies(rows, "cifar10") == {}


def test_paired_test_is_scipys():
    ours, theirs = [0.90, 0.92, 0.91], [0.85, 0.90, 0.88]
    difference, p_value = paired_test(ours, theirs)
    t = 0.1 / 3 / (np.std(np.subtract(ours, theirs), ddof=1) / 3**0.5)
    assert difference == pytest.approx(0.1 / 3) and p_value == pytest.approx(stats.t.sf(t, 2))
    assert paired_test([0.5, 0.5], [0.5, 0.5]) == (0.0, 1.0)
