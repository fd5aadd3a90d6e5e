"""Composing: types, order, hash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effml.errors import UserError
from effml.experiments.core import registry
from effml.experiments.core.config import compose, config_hash, flatten, parse
from effml.experiments.core.options import nearest, options_of


@pytest.fixture
def toy(effml):
    return registry.get("toy")


def test_hash_ignores_order_and_runtime_and_sees_every_other_value(toy):
    values = compose(toy, []).values
    turned = dict(reversed(values.items()))
    turned["model"] = dict(reversed(values["model"].items()))
    assert config_hash(toy, values) == config_hash(toy, turned)
    assert compose(toy, ["jobs=7"]).hash == compose(toy, []).hash
    changed = {
        "suite": "time", "dataset.name": "beta", "dataset.scale": 0.5, "dataset.path": "x", "model.k": 9, "model.kind": "gcn",
        "model.rate": 0.1, "model.sizes": "[3]", "model.note": "word", "end": "raise", "seconds": 1.0,
    }  # fmt: skip
    assert set(changed) | {"jobs"} == set(flatten(values))
    words = [f"{key}={value}" for key, value in changed.items() if key != "dataset.name"] + []
    hashes = {compose(toy, [word]).hash for word in words} | {compose(toy, ["dataset=beta", "model.rate=0.5"]).hash}
    assert len(hashes) == len(changed) and compose(toy, []).hash not in hashes


def test_a_changed_default_changes_the_hash(toy, tmp_path, monkeypatch):
    before = compose(toy, []).hash
    folder = tmp_path / "conf" / "experiment" / "toy"
    folder.mkdir(parents=True)
    (folder / "other.yaml").write_text("model: {k: 9}\n")
    import os

    monkeypatch.setenv("EFFML_PATH", f"{os.environ['EFFML_PATH']}:{tmp_path}")
    assert "other" in registry.presets("toy")
    assert compose(toy, [], preset="other").values["model"]["k"] == 9
    assert compose(toy, [], preset="other").hash != before


def test_unresolved_interpolation_is_refused(toy):
    with pytest.raises(UserError, match="NOPE"):
        compose(toy, ["model.note=${oc.env:NOPE}"])


def test_lists_become_grids_and_brackets_stay_values(toy):
    parsed = parse(toy, ["model.k=1,2,4", "model.rate=range(0,1,0.5)", "model.sizes=[1,2],[3]", "model.note='a,b'"])
    assert parsed.swept["model.k"] == ["1", "2", "4"]
    assert [float(value) for value in parsed.swept["model.rate"]] == [0.0, 0.5]
    assert parsed.swept["model.sizes"] == ["[1,2]", "[3]"]
    assert parsed.values == ["model.note='a,b'"]


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz.=+~[]{},'\"$\\ 0123456789", max_size=30))
def test_no_word_makes_composing_crash(word):
    from tests.fixtures.added.experiments.toy.config import EXPERIMENT

    try:
        compose(EXPERIMENT, [word])
    except UserError as error:
        assert str(error) and "\n" not in str(error)


def test_nearest_looks_at_the_last_segment():
    assert nearest("model.kk", ["model.k", "train.epochs"])[0] == "model.k"
    assert nearest("epoch", ["model.k", "train.epochs"]) == ["train.epochs"]


def test_every_option_of_every_experiment_has_help_and_composes(effml):
    for experiment in registry.everything():
        for option in options_of(experiment.config):
            assert option.help, f"{experiment.name}: {option.key} has no help"
        for preset in registry.presets(experiment.name):
            compose(experiment, [], preset=preset)
        for dataset in registry.dataset_settings(experiment.name):
            compose(experiment, [], dataset=dataset)
