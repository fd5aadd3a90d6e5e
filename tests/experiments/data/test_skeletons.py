"""Skeletons: published counts and split, resampling, generated bodies, NTU's text format, the user's own."""

import io
import tarfile

import numpy as np
import pytest
import torch

from effml.errors import MissingRequirement, UserError
from effml.experiments.data import registry
from effml.experiments.data.skeletons import msraction3d
from effml.experiments.data.skeletons.articulated import pose, rotation
from effml.experiments.data.skeletons.layouts import LAYOUTS, MSR20, NTU25
from effml.experiments.data.skeletons.skeletons import Skeletons
from tests.experiments.data.damage import survives


@pytest.mark.realdata
def test_msraction3d_has_its_sequences_and_its_split():
    loaded = registry.load("msraction3d")
    value = loaded.value
    assert len(value) == 566 and value.num_joints == 20 and value.num_classes == 20
    assert (int(value.train.sum()), int(value.test.sum())) == (291, 275)
    assert value.subjects[value.train].unique().tolist() == [1, 3, 5, 7, 9]
    assert len(value.frames) == 23_478 - 38 - 1_075 and value.frames.any(-1).any(-1).all()
    assert "1,075 frames" in loaded.record["note"]
    # Bones keep their length: the joints are in the order of the layout.
    joint, parent = torch.tensor(value.bones).T
    lengths = (value.frames[:, 0, joint] - value.frames[:, 0, parent]).norm(dim=-1)
    assert float(lengths.median(0).values.max()) < 0.7
    assert value.tensor(64).shape == (566, 3, 64, 20, 1)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_layouts_are_trees_from_the_centre_outwards(layout):
    outward = layout.outward()
    assert len(outward) == len(layout.bones) == layout.joints - 1 == len(layout.rest) - 1
    placed = {layout.centre}
    for joint, parent in outward:
        assert parent in placed and joint not in placed
        placed.add(joint)


def test_ntu_layout_gives_the_known_partition_sizes():
    adjacency = torch.zeros(25, 25)
    for joint, parent in NTU25.bones:
        adjacency[joint, parent] = adjacency[parent, joint] = 1
    hops = torch.full((25,), 99)
    hops[NTU25.centre] = 0
    for joint, parent in NTU25.outward():
        hops[joint] = hops[parent] + 1
    nearer = sum(int(adjacency[i, j]) for i in range(25) for j in range(25) if hops[j] < hops[i])
    assert nearer == 24 and int(adjacency.sum()) == 48


def sequences(*lengths):
    total = sum(lengths)
    frames = torch.arange(total, dtype=torch.float32)[:, None, None, None].expand(total, 1, 3, 3).contiguous() + 1
    count = len(lengths)
    offsets = torch.tensor([0, *np.cumsum(lengths).tolist()])
    mask = torch.arange(count) % 2 == 0
    zero = torch.zeros(count, dtype=torch.long)
    return Skeletons("s", frames, offsets, zero, zero, mask, ~mask, ["a"], ((0, 1), (2, 1)), 1)


def test_resampling_is_linear_and_keeps_both_ends():
    found = sequences(5, 3, 1).tensor(9, centred=False)[:, 0, :, 0, 0]
    assert found[0].tolist() == pytest.approx(np.linspace(1, 5, 9).tolist())
    assert found[1].tolist() == pytest.approx(np.linspace(6, 8, 9).tolist())
    assert found[2].tolist() == [9] * 9
    centred = sequences(4).tensor(4)
    assert centred[0, :, 0, 1, 0].tolist() == [0, 0, 0] and centred[0, 0, 3, 0, 0] == 3


def test_absent_person_stays_zero():
    one = sequences(4)
    one.frames = torch.cat((one.frames, torch.zeros_like(one.frames)), 1)
    found = one.tensor(4)
    assert not found[..., 1].any() and found[..., 0].any()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": torch.zeros(1)}, "differ in length"),
        ({"offsets": torch.tensor([0, 4, 4, 9])}, "do not cut"),
        ({"bones": ((0, 1),)}, "1 bones for 3 joints"),
    ],
)
def test_skeletons_refuse_what_does_not_fit(change, told):
    whole = sequences(4, 3, 2)
    with pytest.raises(ValueError, match=told):
        Skeletons(**{**whole.__dict__, **change})


def test_articulated_is_decided_by_the_seed_and_split_by_subject():
    one, again, other = (registry.load("articulated", classes=4, repeats=1, frames=16, seed=seed) for seed in (0, 0, 1))
    assert one.record == again.record and one.record["sha256"] != other.record["sha256"]
    value = one.value
    assert len(value) == 40 and value.num_joints == 20 and value.lengths.unique().tolist() == [16]
    assert value.subjects[value.train].unique().tolist() == [1, 3, 5, 7, 9]
    assert value.labels[value.train].bincount().tolist() == value.labels[value.test].bincount().tolist()
    assert registry.load("articulated", classes=2, repeats=1, layout="ntu25").value.num_joints == 25


@pytest.mark.parametrize(
    ("options", "told"),
    [({"layout": "kinect"}, "msr20 or ntu25"), ({"classes": 1}, "classes=1"), ({"frames": 0}, "frames=0")],
)
def test_articulated_refuses_nonsense(options, told):
    with pytest.raises(UserError, match=told):
        registry.load("articulated", **options)


def test_body_at_rest_and_bones_of_fixed_length(seed):
    rest = pose(MSR20, torch.zeros(1, 1, 20, 2), torch.ones(1, 20, 1))[0, 0]
    assert torch.allclose(rest, torch.tensor(MSR20.rest), atol=1e-6)
    angles = torch.randn(2, 5, 20, 2, generator=torch.Generator().manual_seed(seed))
    place = pose(MSR20, angles, torch.full((2, 20, 1), 1.5))
    for joint, parent in MSR20.bones:
        length = (place[:, :, joint] - place[:, :, parent]).norm(dim=-1)
        assert torch.allclose(length, 1.5 * (rest[joint] - rest[parent]).norm().expand(2, 5), atol=1e-5)
    turn = rotation(angles)
    assert torch.allclose(turn @ turn.mT, torch.eye(3).expand(2, 5, 20, 3, 3), atol=1e-5)


def test_recordings_are_packed_from_an_archive_of_texts(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    held = {f"a0{n}_s01_e01": rng.normal(size=(n + 1, 20, 4)).astype(np.float32) for n in (2, 1)}
    path = tmp_path / "recordings.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, frames in held.items():
            content = "\n".join(" ".join(map(repr, row.tolist())) for row in frames.reshape(-1, 4)).encode()
            member = tarfile.TarInfo(f"repo-123/data/MSRAction3D/real_world_coordinates/{name}_skeleton3D.txt")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(msraction3d, "ARCHIVE", path.as_uri())
    (tmp_path / "out").mkdir()
    msraction3d.prepare(tmp_path / "out")
    with np.load(tmp_path / "out" / msraction3d.FILE) as packed:
        assert packed["names"].tolist() == sorted(held) and packed["offsets"].tolist() == [0, 2, 5]
        assert np.array_equal(packed["frames"], np.concatenate([held[name] for name in sorted(held)]))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["msraction3d"]


def ntu_text(people, joints=25):
    """One recording: `people` is a list over frames of {id: level}."""
    lines = [str(len(people))]
    for frame in people:
        lines.append(str(len(frame)))
        for who, level in frame.items():
            lines += [f"{who} 0 0 0", str(joints)]
            lines += [f"{level + joint} {level} {level} 0 0 0 0 0 0 0 0 2" for joint in range(joints)]
    return "\n".join(lines)


def test_ntu_keeps_the_two_who_move_most_and_both_splits(tmp_path):
    moving = [{"chair": 1.0, "ann": float(t), "bob": 2.0 * t + 1} for t in range(1, 5)]
    (tmp_path / "S001C001P001R001A001.skeleton").write_text(ntu_text(moving))
    (tmp_path / "S001C002P003R001A002.skeleton").write_text(ntu_text([{"eve": 1.0}, {"eve": 2.0}]))
    (tmp_path / "S001C003P002R001A002.skeleton").write_text(ntu_text([{}, {}]))
    loaded = registry.load("ntu60", path=tmp_path)
    value = loaded.value
    assert len(value) == 2 and value.lengths.tolist() == [4, 2] and "1 without a person" in loaded.record["note"]
    assert value.train.tolist() == [False, True]  # camera 1 tests
    assert value.sequence(0)[:, 0, 0, 1].tolist() == [3, 5, 7, 9] and value.sequence(0)[:, 1, 0, 1].tolist() == [
        1,
        2,
        3,
        4,
    ]
    by_subject = registry.load("ntu60", path=tmp_path, split="subject").value
    assert by_subject.train.tolist() == [True, False]
    with pytest.raises(UserError, match="split=camera"):
        registry.load("ntu60", path=tmp_path, split="camera")
    path = tmp_path / "S001C001P001R001A001.skeleton"
    assert survives("ntu60", path, 0, times=20, folder=tmp_path) >= 15
    path.write_text(ntu_text(moving, joints=24))
    with pytest.raises(MissingRequirement, match=r"S001C001P001R001A001.*25 joints"):
        registry.load("ntu60", path=tmp_path)


def test_own_skeletons_in_both_forms(tmp_path, seed):
    x = np.random.default_rng(seed).normal(size=(6, 3, 7, 20)).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1, 2])
    np.savez(tmp_path / "dense.npz", x=x, labels=labels, subjects=np.array([1, 1, 1, 2, 2, 2]))
    dense = registry.load("file", path=tmp_path / "dense.npz", among=("articulated",)).value
    assert np.allclose(dense.tensor(7, centred=False)[..., 0].numpy(), x, atol=1e-6)
    assert dense.train.tolist() == [True] * 3 + [False] * 3 and dense.centre == MSR20.centre
    frames = x.transpose(0, 2, 3, 1).reshape(-1, 20, 3)
    np.savez(tmp_path / "ragged.npz", frames=frames, offsets=np.arange(7) * 7, labels=labels)
    ragged = registry.load("skeleton-file", path=tmp_path / "ragged.npz").value
    assert torch.equal(ragged.frames, dense.frames) and int(ragged.train.sum() + ragged.test.sum()) == 6
    assert survives("skeleton-file", tmp_path / "ragged.npz", seed, times=15) >= 20


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": None}, "no labels"),
        ({"labels": np.array([0, -1])}, "2 whole numbers from 0"),
        ({"x": np.full((2, 3, 4, 3), np.nan)}, "not finite"),
        ({"x": np.zeros((2, 3, 4))}, "shape"),
        ({"bones": np.array([[0, 1], [1, 0]])}, "do not form a tree"),
        ({"bones": np.array([[0, 1]])}, r"expected \(2, 2\)"),
        ({"bones": None}, "no known skeleton has 3 joints"),
        ({"train": np.array([True, True]), "test": np.array([True, False])}, "both train and test"),
        ({"subjects": np.array([1])}, "differ in number"),
    ],
)
def test_own_skeletons_that_contradict_themselves(change, told, tmp_path):
    held = {"x": np.ones((2, 3, 4, 3)), "labels": np.array([0, 1]), "bones": np.array([[0, 1], [2, 1]]), **change}
    np.savez(tmp_path / "wrong.npz", **{name: array for name, array in held.items() if array is not None})
    with pytest.raises(MissingRequirement, match=rf"wrong\.npz .*{told}"):
        registry.load("skeleton-file", path=tmp_path / "wrong.npz")
