"""Video data: digits go where their captions say, folders are read in the layouts of the literature."""

import json

import pytest
import torch

from effml.errors import MissingRequirement, UserError
from effml.experiments.data import registry
from effml.experiments.data.video.moving_digits import DIGITS, DIRECTIONS


def centroids(frames):
    """Centre of mass `[N, F, 2]` (row, column) of grey clips."""
    mass = frames[:, :, 0].double()
    grid = torch.arange(mass.shape[-1], dtype=torch.float64)
    total = mass.sum((-1, -2)).clamp(min=1)
    return torch.stack([(mass.sum(-1) * grid).sum(-1) / total, (mass.sum(-2) * grid).sum(-1) / total], -1)


@pytest.mark.parametrize("speed", [1, 4])
def test_digits_move_as_captioned(speed):
    """Each frame is the one before, shifted around the edges by the stated direction's pixels."""
    clips = registry.load("moving-digits", clips=200, size=16, speed=speed).value
    assert clips.frames.shape == (200, 8, 1, 16, 16)
    for frames, digit, direction, caption in zip(clips.frames, *clips.labels.values(), clips.captions, strict=True):
        assert caption == f"a {DIGITS[digit]} moving {list(DIRECTIONS)[direction]}"
        rows, columns = list(DIRECTIONS.values())[direction]
        assert torch.equal(frames[1:], frames[:-1].roll((speed * rows, speed * columns), (2, 3)))
    assert len(set(clips.captions)) > 60


def test_digits_show_what_is_said():
    from sklearn.datasets import load_digits

    data = load_digits()
    known = {
        image.tobytes(): label for image, label in zip((data.images * (255 / 16)).round(), data.target, strict=True)
    }
    clips = registry.load("moving-digits", clips=50, size=20, edges="bounce", speed=1).value
    for frames, digit in zip(clips.frames, clips.labels["digit"], strict=True):
        shown = [
            known.get(frames[0, 0, row : row + 8, column : column + 8].double().numpy().tobytes())
            for row in range(13)
            for column in range(13)
        ]
        assert int(digit) in shown


def test_straight_paths_where_there_is_room():
    clips = registry.load("moving-digits", clips=200, frames=8, size=16, speed=1, edges="bounce").value
    moved = centroids(clips.frames).diff(dim=1)
    moves = torch.tensor(list(DIRECTIONS.values()), dtype=torch.float64)[clips.labels["direction"]]
    torch.testing.assert_close(moved, moves[:, None].expand_as(moved))


def test_digits_bounce_where_there_is_no_room():
    clips = registry.load("moving-digits", clips=50, frames=30, size=12, speed=1, edges="bounce").value
    moved = centroids(clips.frames).diff(dim=1).abs()
    assert ((moved - moved.round()).abs() < 1e-9).all() and moved.max() <= 1 + 1e-9
    ink = clips.frames.sum((2, 3, 4))
    assert (ink == ink[:, :1]).all(), "no part of a digit is cut off"


def test_validation_shows_unseen_handwriting():
    clips = registry.load("moving-digits", clips=400, size=16, speed=1, edges="bounce").value
    assert int((~clips.train).sum()) == 40

    def seen(part):
        frames = clips.frames[part, 0, 0]
        return {tuple(frame[(frame > 0).any(1)][:, (frame > 0).any(0)].flatten().tolist()) for frame in frames}

    assert not seen(clips.train) & seen(~clips.train)


def test_same_seed_same_clips():
    first, again, other = (registry.load("moving-digits", clips=20, seed=seed) for seed in (3, 3, 4))
    assert first.record["sha256"] == again.record["sha256"] != other.record["sha256"]


def test_impossible_canvas_is_refused():
    with pytest.raises(UserError, match="no room to move"):
        registry.load("moving-digits", size=8)


def write(path, frames):
    """`frames` `[F, H, W]` as an animation of indexed greys, which Pillow keeps exactly."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [Image.fromarray(frame.numpy()) for frame in frames]
    if path.suffix == ".gif":
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, loop=0)
    else:
        path.mkdir()
        for index, picture in enumerate(pictures):
            picture.save(path / f"{index}.png")


@pytest.fixture
def film():
    return torch.randint(0, 256, (12, 20, 30), dtype=torch.uint8)


def test_class_folders(tmp_path, film):
    for index in range(3):
        write(tmp_path / "CricketShot" / f"v_{index}.gif", film)
    write(tmp_path / "playing_violin" / "v.gif", film)
    clips = registry.load("video-folder", path=tmp_path, size=20, frames=4, grey=True).value
    assert clips.captions == ["cricket shot"] * 3 + ["playing violin"]
    assert clips.frames.shape == (4, 4, 1, 20, 20) and 0 < int((~clips.train).sum()) < 4
    assert torch.equal(clips.frames[0, :, 0], film[:4, :, 5:25]), "the centred square, pixel for pixel"


def test_folders_of_pictures_with_split_and_stride(tmp_path, film):
    write(tmp_path / "train" / "traj_0_to_255" / "0", film)
    write(tmp_path / "test" / "traj_0_to_255" / "0", film.flip(0))
    clips = registry.load("video-folder", path=tmp_path, size=20, frames=3, stride=2, windows=9, grey=True).value
    assert clips.captions == [""] * 4 and clips.train.tolist() == [False, False, True, True]
    assert torch.equal(clips.frames[2:, :, 0].flatten(0, 1), film[::2, :, 5:25]), "frame 10 comes after frame 9"


def test_captions_file(tmp_path, film):
    write(tmp_path / "a" / "b.gif", film)
    (tmp_path / "captions.jsonl").write_text(json.dumps({"clip": "a/b.gif", "caption": "Noise, falling"}) + "\n")
    assert registry.load("video-folder", path=tmp_path, frames=2).value.captions == ["noise, falling"]


def test_what_cannot_be_read_is_named(tmp_path, film):
    with pytest.raises(MissingRequirement, match="holds no videos"):
        registry.load("video-folder", path=tmp_path)
    write(tmp_path / "a" / "b.gif", film)
    with pytest.raises(MissingRequirement, match="has 64 frames; ask for fewer"):
        registry.load("video-folder", path=tmp_path, frames=64)
    (tmp_path / "a" / "c.gif").write_bytes(b"GIF89a, or so it says")
    with pytest.raises(MissingRequirement, match=r"c\.gif cannot be read as a video"):
        registry.load("video-folder", path=tmp_path, frames=2)


@pytest.mark.realdata
def test_real_clip():
    loaded = registry.load("cricket-shot", size=64)
    assert loaded.value.frames.shape == (1, 79, 3, 64, 64) and loaded.record["sha256"].startswith("26502e0d")
    change = loaded.value.frames[0].float().diff(dim=0).abs().mean((1, 2, 3))
    assert 0 < float(change.mean()) < 16, "a film: neighbouring frames are alike and not the same"
