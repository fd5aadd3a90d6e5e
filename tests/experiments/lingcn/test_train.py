"""The training suite end to end, the data it sees, and what it refuses."""

import numpy as np
import pytest
import torch

from effml.errors import UserError
from effml.experiments.lingcn.config import Config, Model, Train
from effml.experiments.lingcn.data import crop, turn
from effml.experiments.lingcn.train import model_name, wanted
from effml.models.stgcn.plain_file import load


@pytest.fixture
def smoke(effml):
    row = effml.row("lingcn", "--dataset", "articulated", "--preset", "smoke", "suite=train")
    return row, effml.results


def test_smoke_trains_every_network_and_writes_it(smoke):
    row, results = smoke
    cells = {(m["labels"]["method"], m["labels"]["n"]): m for m in row["measurements"] if m["table"] == "frontier"}
    assert set(cells) == {("teacher", 6), ("all-polynomial", 6), ("node", 2), ("layer", 2)}
    assert all(m["evidence"] == "synthetic-data" for m in row["measurements"])
    levels = {m["labels"]["n"]: m["value"] for m in row["measurements"] if m["metric"] == "levels"}
    assert levels == {6: 13, 2: 9}
    (path,) = results.rglob("node-n2.npz")
    plain = load(path)
    assert plain.effective_layers() == 2 and plain.synchronised()
    by_block = {}
    for m in row["measurements"]:
        if m["table"] == "gates" and m["labels"]["method"] == "node":
            by_block[m["labels"]["block"]] = by_block.get(m["labels"]["block"], 0) + m["value"]
    assert sum(by_block.values()) == 2 * 20 and all(total % 20 == 0 for total in by_block.values())


def test_accuracy_in_the_table_is_that_of_the_network_written(smoke):
    from effml.experiments.data.skeletons.articulated import load as generate

    row, results = smoke
    skeletons = generate(None, repeats=8).value
    x = skeletons.tensor(8)[skeletons.test][..., 0].numpy()
    labels = skeletons.labels[skeletons.test].numpy()
    for name, method in (("node-n2", "node"), ("all-polynomial-n6", "all-polynomial")):
        (path,) = results.rglob(f"{name}.npz")
        share = (load(path).forward(x).argmax(1) == labels).mean()
        (told,) = (
            m["value"] for m in row["measurements"]
            if (m["table"], m["metric"], m["labels"]["method"]) == ("frontier", "accuracy", method)
        )  # fmt: skip
        assert share == pytest.approx(told, abs=0.003)  # one sequence in 400 may fall on float32's other side


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train.targets=[7]",), "more than the 6 layers"),
        (("model.channels=[4,4]",), "names 2 blocks"),
        (("train.methods=[nodes]",), "nodes"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_loaded(effml, words, said):
    ended = effml("run", "lingcn", "--dataset", "articulated", "--preset", "smoke", *words)
    assert ended.code == 2 and said in ended.err


def test_a_network_that_diverges_is_a_blank_cell_and_costs_only_itself(effml):
    words = ["lingcn", "--dataset", "articulated", "--preset", "smoke", "suite=train", "train.methods=[node]"]
    row = effml.row(*words, "replace.rate=1e20", "train.targets=[2,1]")
    cells = {
        (m["labels"]["method"], m["labels"]["n"]): m
        for m in row["measurements"]
        if (m["table"], m["metric"]) == ("frontier", "accuracy")
    }
    assert cells["teacher", 6]["value"] is not None
    for n in (2, 1):
        assert cells["node", n]["value"] is None and "outgrown its inputs" in cells["node", n]["note"]


def test_a_fixed_mu_leaves_the_layers_that_it_leaves(effml):
    words = ["lingcn", "--dataset", "articulated", "--preset", "smoke", "suite=train", "train.methods=[node]"]
    row = effml.row(*words, "linearize.aim=mu", "linearize.mu=100")
    found = {(m["labels"]["method"], m["value"]) for m in row["measurements"] if m["metric"] == "layers"}
    assert found == {("node, mu 100", 0)}
    assert {m["value"] for m in row["measurements"] if m["metric"] == "forced"} == {0}


def test_a_network_trained_before_an_interruption_is_taken_up_with_its_file(effml, monkeypatch):
    from effml.experiments.lingcn import train as training

    words = [
        "--dataset",
        "articulated",
        "--preset",
        "smoke",
        "suite=train",
        "train.methods=[node]",
        "train.targets=[2,1]",
    ]
    whole, recorded = training._train_point, []

    def stops_at_the_second(*given):
        if recorded:
            raise KeyboardInterrupt
        recorded.append(whole(*given))
        return recorded[0]

    monkeypatch.setattr(training, "_train_point", stops_at_the_second)
    assert effml("run", "lingcn", *words).code == 130
    (first,) = (effml.results / "runs" / "lingcn").iterdir()
    monkeypatch.setattr(training, "_train_point", whole)
    row = effml.row("lingcn", *words, "--resume", first.name)
    told = {
        m["labels"]["n"]: m["value"] for m in row["measurements"] if (m["table"], m["metric"]) == ("stages", "accuracy")
    }
    assert told[2] == recorded[0][1]["accuracy"] and set(told) == {2, 1}
    one, other = (load(path) for path in effml.results.rglob("node-n2.npz"))
    assert np.array_equal(one.head, other.head) and np.array_equal(one.blocks[0].spatial, other.blocks[0].spatial)


def test_chosen_joints_and_classes_show_in_the_tables(effml):
    words = ["lingcn", "--dataset", "articulated", "--preset", "smoke", "suite=train", "train.targets=[0]"]
    row = effml.row(*words, "dataset.layout=ntu25", "dataset.classes=3", "train.methods=[layer]")
    assert {m["labels"]["dataset"] for m in row["measurements"]} == {"articulated ntu25 3 classes 8 repeats"}
    assert {m["value"] for m in row["measurements"] if m["metric"] == "nodes"} == {0}


def test_an_option_of_another_data_set_is_refused(effml):
    ended = effml("run", "lingcn", "--dataset", "articulated", "--preset", "smoke", "dataset.split=view")
    assert ended.code == 2 and "split" in ended.err


def test_methods_are_one_where_nothing_is_linearized():
    assert wanted(Config(), [2, 6, 2], ["node", "layer"]) == [("all-polynomial", 6), ("node", 2), ("layer", 2)]


def test_targets_of_a_suite_that_does_not_run_need_not_fit():
    small = Model(channels=[4, 4], strides=[1, 1])
    Config(suite="train", model=small, train=Train(targets=[4, 1])).check()
    with pytest.raises(UserError, match=r"encrypt\.targets=6"):
        Config(suite="encrypt", model=small).check()


def test_names_of_networks():
    assert model_name(Config(model=Model(size="3-128", frames=256))) == "3-128 T256"
    assert model_name(Config(model=Model(channels=[4, 8], strides=[1, 2], frames=16))) == "4-8 s1-2 T16"


def test_turning_keeps_heights_and_distances(seed):
    x = torch.randn(4, 3, 5, 6, dtype=torch.float64)
    turned = turn(x, torch.tensor([0.3, -0.2, 0.0, np.pi], dtype=torch.float64))
    torch.testing.assert_close(turned[:, 1], x[:, 1])
    torch.testing.assert_close(turned.norm(dim=1), x.norm(dim=1))
    torch.testing.assert_close(turned[2], x[2])
    torch.testing.assert_close(turned[3, 0], -x[3, 0])


def test_a_crop_of_a_straight_motion_is_a_slower_one(seed):
    frames = 11
    x = torch.arange(frames, dtype=torch.float64)[None, None, :, None].expand(3, 3, frames, 2).contiguous()
    draws = torch.tensor([[0.0, 1.0, 1.0], [0.7, 0.0, 1.0]], dtype=torch.float64)
    found = crop(x, draws)[:, 0, :, 0]
    torch.testing.assert_close(found[0], x[0, 0, :, 0])
    torch.testing.assert_close(found[1], torch.linspace(0, 8, frames, dtype=torch.float64))
    torch.testing.assert_close(found[2], torch.linspace(2, 10, frames, dtype=torch.float64))
