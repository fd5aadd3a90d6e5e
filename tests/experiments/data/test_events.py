"""Spikes and events: the Oxford task, the user's own, event cameras through tonic's interface."""

import sys
import types

import numpy as np
import pytest
import torch

from effml.errors import MissingRequirement
from effml.experiments.data import registry
from effml.experiments.data.events import cameras, oxford
from tests.experiments.data.damage import survives


@pytest.mark.realdata
def test_oxford_spikes():
    value = registry.load("oxford-spikes").value
    assert value.inputs.shape == (1, 2_000, 200) and value.targets.shape == (1, 2_000, 256)
    assert int(value.inputs.sum()) == 1_881 and int(value.targets.sum()) == 1_826
    assert value.steps == 2_000 and value.batch(slice(None)).shape == (2_000, 1, 200)
    assert value.wanted(torch.tensor([0])).shape == (2_000, 1, 256)


def test_oxford_is_packed_from_two_arrays(tmp_path, monkeypatch):
    arrays = {"in": np.eye(3, 5), "out": np.eye(4, 5)}
    (tmp_path / "web").mkdir()
    for name, array in arrays.items():
        np.save(tmp_path / "web" / f"{name}.npy", array)
    monkeypatch.setattr(oxford, "ORIGINAL", (tmp_path / "web").as_uri())
    (tmp_path / "out").mkdir()
    oxford.prepare(tmp_path / "out")
    with np.load(tmp_path / "out" / oxford.FILE) as packed:
        assert packed["input"].dtype == np.uint8 and np.array_equal(packed["target"], arrays["out"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["oxford_spikes"]


def test_own_spikes_with_classes_and_with_targets(tmp_path, seed):
    rng = np.random.default_rng(seed)
    spikes = rng.integers(2, size=(10, 6, 4)).astype(np.uint8)
    np.savez(tmp_path / "labelled.npz", input=spikes, labels=np.arange(10) % 2)
    value = registry.load("file", path=tmp_path / "labelled.npz", among=("oxford-spikes",)).value
    assert torch.equal(value.batch(torch.tensor([3, 1])), torch.from_numpy(spikes[[3, 1]]).float().transpose(0, 1))
    assert int(value.test.sum()) == 2 and value.classes == ["0", "1"]
    with pytest.raises(ValueError, match="no target spikes"):
        value.wanted(slice(None))
    np.savez(tmp_path / "single.npz", input=spikes[0], target=spikes[1])
    single = registry.load("spike-file", path=tmp_path / "single.npz").value
    assert single.inputs.shape == (1, 6, 4) and torch.equal(single.targets[0], torch.from_numpy(spikes[1]))
    assert survives("spike-file", tmp_path / "labelled.npz", seed) >= 25


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ({"labels": np.zeros(2, int)}, "no input"),
        ({"input": np.zeros((2, 3, 4))}, "neither labels nor target"),
        ({"input": np.full((2, 3, 4), 0.5), "labels": np.zeros(2, int)}, "whole numbers from 0 to 255"),
        ({"input": np.full((2, 3, 4), 256), "labels": np.zeros(2, int)}, "whole numbers from 0 to 255"),
        ({"input": np.zeros((2, 3, 4)), "labels": np.zeros(3, int)}, "labels must be 2"),
        ({"input": np.zeros((2, 3, 4)), "target": np.zeros((2, 5, 4))}, "differ in recordings or steps"),
    ],
)
def test_own_spikes_that_contradict_themselves(held, told, tmp_path):
    np.savez(tmp_path / "wrong.npz", **held)
    with pytest.raises(MissingRequirement, match=rf"wrong\.npz .*{told}"):
        registry.load("spike-file", path=tmp_path / "wrong.npz")


@pytest.fixture
def tonic(tmp_path, monkeypatch):
    """A stand-in with tonic's interface: recordings of a 4 x 4 sensor, event `i` of recording `n` at pixel (i, n)."""
    kind = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])

    class Recordings:
        sensor_size = (4, 4, 2)

        def __init__(self, save_to, train=True):
            count = 4 if train else 2
            self.targets = [number % 2 for number in range(count)]
            self.data = [f"{save_to}/{'train' if train else 'test'}/{number}.bin" for number in range(count)]

        def __len__(self):
            return len(self.data)

        def __getitem__(self, number):
            return np.array([(x, number, x, x % 2) for x in range(4)], dtype=kind), self.targets[number]

    class ToFrame:
        def __init__(self, sensor_size, n_time_bins):
            self.size, self.bins = sensor_size, n_time_bins

        def __call__(self, events):
            frames = np.zeros((self.bins, self.size[2], self.size[1], self.size[0]), dtype=np.int16)
            step = events["t"] * self.bins // (events["t"].max() + 1)
            np.add.at(frames, (step, events["p"], events["y"], events["x"]), 1)
            return frames

    for name, held in {
        "tonic": {},
        "tonic.datasets": {"NMNIST": Recordings},
        "tonic.transforms": {"ToFrame": ToFrame},
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update(held, __spec__=types.SimpleNamespace(name=name))
        monkeypatch.setitem(sys.modules, name, module)
    (tmp_path / "tonic" / "NMNIST").mkdir(parents=True)
    monkeypatch.setenv("EFFML_DATA", str(tmp_path))


def test_camera_recordings_become_frames_of_counts(tonic, monkeypatch):
    monkeypatch.setitem(cameras.SETS, "nmnist", cameras.Published("NMNIST", 4, 2, 2, 4))
    value = registry.load("nmnist", steps=2).value
    assert value.inputs.shape == (6, 2, 2, 4, 4) and value.train.tolist() == [True] * 4 + [False] * 2
    assert value.labels.tolist() == [0, 1, 0, 1, 0, 1]
    frames = value.batch(torch.tensor([3, 4]))
    assert frames.shape == (2, 2, 2, 4, 4) and frames.sum((0, 2, 3, 4)).tolist() == [4, 4]
    assert frames[1, 0, 1, 3, 3] == 1 and frames[0, 1, 0, 0, 0] == 1
    halved = registry.load("nmnist", steps=1, size=2).value.inputs[torch.tensor([3])][0, 0]
    assert halved[:, 1].tolist() == [[1, 1], [1, 1]] and not halved[:, 0].any()


def test_camera_set_of_other_size_is_refused(tonic):
    with pytest.raises(MissingRequirement, match="not 60,000"):
        registry.load("nmnist")


@pytest.mark.skipif("tonic" in sys.modules, reason="tonic is installed")
def test_camera_set_without_tonic_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "tonic", None)
    with pytest.raises(MissingRequirement, match="pip install tonic"):
        registry.load("cifar10-dvs")
