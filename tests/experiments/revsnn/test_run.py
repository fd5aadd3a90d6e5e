"""revsnn end to end at small size, as a user runs it; and, marked slow, at the sizes whose figures are claimed."""

import pytest


def cells(row, table, metric):
    """Values of a metric by their labels."""
    found = [m for m in row["measurements"] if (m["table"], m["metric"]) == (table, metric)]
    return [(m["labels"], m["value"]) for m in found]


def by(row, table, metric, *labels):
    return {tuple(where[label] for label in labels): value for where, value in cells(row, table, metric)}


def test_smoke_runs_every_suite(effml):
    row = effml.row("revsnn", "--preset", "smoke")
    ratios = by(row, "ratios", "node_ratio", "kept", "steps")
    assert ratios["rev-paper", 20] == pytest.approx(58.0, abs=0.2), "scalars weigh more in a small layer"
    assert by(row, "peak", "peak_bytes", "kept")[("leaky",)] > 0
    long = by(row, "long", "saved_bytes", "task", "kept")
    assert (
        long["random spikes", "bit-checkpoint"]
        == by(row, "long", "bit_bytes", "task", "kept")["random spikes", "bit-checkpoint"]
    )
    wrong = by(row, "drift", "wrong_spikes", "steps", "mode")
    assert wrong[32, "paper"] > 0 and wrong[32, "bits"] == wrong[32, "exact"] == 0
    assert by(row, "drift", "safe_steps", "steps", "mode")[32, "paper"] == 10
    timed = by(row, "time", "seconds", "net", "kept", "backend")
    assert {("layer", "rev-bits", "numba"), ("layer", "rev-double", "torch"), ("convnet", "rev-norm", "numba")} <= set(
        timed
    )
    assert by(row, "streamlined", "saved_share", "net").keys() == {("layer",), ("convnet",)}
    assert len(by(row, "accuracy", "accuracy", "kept")) == 3
    log = (effml.results / "runs" / "revsnn" / row["run_id"] / "log.txt").read_text()
    assert "mode paper inverts 32 steps" in log and "about 10 come back right" in log
    shown = effml("table", "revsnn.ratios").out
    assert "58.65" in shown


def test_ordinary_neurons_are_one_network_however_they_are_kept(effml):
    """Equal weights, data and draws: the same function, so the same learning up to rounding."""
    row = effml.row(
        "revsnn",
        "--preset",
        "smoke",
        "suite=train",
        "train.kept=[leaky,lif,checkpoint]",
        "train.epochs=6",
        "train.images=null",
        "train.rate=5e-3",
        "train.hidden=32",
    )
    reached = by(row, "accuracy", "accuracy", "kept")
    assert max(reached.values()) - min(reached.values()) < 0.05 and max(reached.values()) > 0.2
    assert by(row, "accuracy", "parameters", "kept")[("leaky",)] == 64 * 32 + 32 + 32 * 32 + 32 + 32 * 10 + 10


@pytest.mark.parametrize(
    "words",
    [
        [
            "train.coding=direct",
            "train.net=convnet",
            "train.kept=[rev-norm,depth,online]",
            "train.hidden=4",
            "train.steps=3",
        ],
        ["train.coding=pixels", "train.steps=128", "train.kept=[bit-checkpoint,rev-bits]", "train.firing=0.05"],
        ["train.coding=direct", "train.kept=[bit-checkpoint,rev-anchor]", "train.steps=4"],
    ],
)
def test_other_networks_and_codings_train(effml, words):
    row = effml.row("revsnn", "--preset", "smoke", "suite=train", "train.images=128", *words)
    assert all(0 <= value <= 1 for _, value in cells(row, "accuracy", "accuracy"))


@pytest.mark.parametrize(
    "words,told",
    [
        (["memory.width=511"], "memory.width=511 cannot be halved into two groups"),
        (["suite=train", "train.kept=[depth]"], "train.kept=depth is for convolutional networks"),
        (["suite=train", "train.kept=[depth]", "train.net=vgg11"], "needs layers of equal width"),
        (["suite=train", "train.coding=pixels", "train.net=convnet"], "shows one pixel at a time"),
        (["suite=train", "train.steps=0"], "train.steps=0 is out of range"),
        (["suite=drift", "drift.modes=[exact]", "drift.alphas=[0.25]"], "add 0.5 to drift.alphas"),
        (["suite=train", "train.kept=[leeky]"], "leaky"),
        (
            ["suite=train", "train.coding=pixels", "train.steps=64", "train.kept=[lif]", "train.firing=0.4"],
            "train.firing=0.4: no scale of the weights makes 40.0% of layer",
        ),
    ],
)
def test_wrong_requests_end_with_a_sentence(effml, words, told):
    ended = effml("run", "revsnn", "--preset", "smoke", *words)
    assert ended.code == 2 and told in ended.err and "Traceback" not in ended.err


@pytest.mark.realdata
def test_oxford_keeps_bits_and_the_reversible_net_its_output(effml):
    row = effml.row("revsnn", "--dataset", "oxford-spikes", "train.epochs=2")
    saved = by(row, "regression", "saved_bytes", "kept")
    assert saved[("bit-checkpoint",)] == 2000 * (25 + 64 + 32), "inputs, hidden and output spikes as bits"
    assert by(row, "regression", "linear_bytes", "kept")[("rev-bits",)] == 2000 * 512 * 4 < saved[("rev-bits",)]


@pytest.mark.slow
def test_digits_within_two_points_of_leaky(effml):
    behind = []
    for seed in range(5):
        row = effml.row("revsnn", "suite=train", "train.kept=[leaky,rev-bits]", "--seed", str(seed))
        behind.append(by(row, "accuracy", "behind", "kept")[("rev-bits",)])
        assert by(row, "accuracy", "accuracy", "kept")[("rev-bits",)] > 0.93
    assert sum(behind) / len(behind) < 0.02


@pytest.mark.slow
def test_times(effml):
    """On an idle machine: one sweep against two, and bits against Leaky where many neurons run."""
    row = effml.row("revsnn", "suite=time")
    share = by(row, "streamlined", "saved_share", "net", "steps")
    assert all(value >= 0.3 for (net, _), value in share.items() if net == "layer")
    assert all(0.1 <= value <= 0.5 for (net, _), value in share.items() if net == "convnet")
    fast = by(row, "time", "speedup", "net", "kept", "backend")
    assert fast["large layer", "rev-bits", "numba"] >= 1
