"""The judges of generated clips judge real clips rightly and nonsense as nonsense."""

import pytest
import torch

from effml.experiments.data import registry
from effml.experiments.flashvideo.judges import NOTHING, DigitReader, Share, centroids, directions, motion, motion_error


@pytest.fixture(scope="module", params=[("wrap", 4), ("bounce", 1)], ids=str)
def real(request):
    edges, speed = request.param
    clips = registry.load("moving-digits", clips=600, edges=edges, speed=speed).value
    return clips.subset(~clips.train)


def test_directions_of_real_clips_are_all_right(real):
    assert torch.equal(directions(real.unit()), real.labels["direction"])


def test_digits_of_unseen_hands_are_read(real):
    reader = DigitReader()
    assert reader.held_out_accuracy() > 0.93
    assert Share.of(reader.read(real.unit()) == real.labels["digit"]).value > 0.8


def test_motion_is_found_around_the_edges():
    frame = torch.zeros(1, 1, 1, 16, 16)
    frame[..., 3:6, 14:16] = 1.0
    clips = torch.cat([frame.roll((2 * step, 3 * step), (3, 4)) for step in range(6)], 1)
    torch.testing.assert_close(motion(clips), torch.tensor([2.0, 3.0], dtype=torch.float64).expand(1, 5, 2))
    torch.testing.assert_close(centroids(clips)[0, 0], torch.tensor([4.0, 14.5], dtype=torch.float64))
    assert motion_error(clips, clips) == 0
    assert motion_error(clips.flip(1), clips) == pytest.approx(2 * 13**0.5)


def test_nothing_is_seen_in_nothing():
    empty = torch.zeros(2, 4, 1, 16, 16)
    assert DigitReader().read(empty).tolist() == [NOTHING] * 2
    assert directions(empty).tolist() == [NOTHING] * 2
    still = torch.zeros(1, 4, 1, 16, 16)
    still[..., 4:9, 4:9] = 1
    assert directions(still).tolist() == [NOTHING]


def test_share_has_wilsons_interval():
    """8 of 10, by the formula: (p + z^2/2n -+ z sqrt(p q / n + z^2/4n^2)) / (1 + z^2/n)."""
    share = Share.of([True] * 8 + [False] * 2)
    assert (share.value, share.count) == (0.8, 10)
    assert share.low == pytest.approx(0.4902, abs=2e-4) and share.high == pytest.approx(0.9433, abs=2e-4)
