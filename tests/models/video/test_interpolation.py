"""Redundant-free interpolation: nothing is computed where nothing changes, and nothing is lost by it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effml.models.video.interpolation import (
    INTERPOLATORS,
    blend,
    changed_pixels,
    changed_tokens,
    dilate,
    interpolate,
    motion,
)


def scene(shift=0):
    """A bright square on a black field, moved right by `shift` pixels."""
    frame = torch.zeros(1, 32, 32)
    frame[:, 12:20, 8 + shift : 16 + shift] = 1.0
    return frame


@pytest.mark.parametrize("name", INTERPOLATORS)
@pytest.mark.parametrize("tau", [0, 4])
def test_a_static_clip_is_skipped_whole_and_returned_bit_for_bit(name, tau):
    frame = torch.rand(3, 32, 32)
    mask = dilate(changed_pixels(frame, frame.clone(), 8, tau), 1)
    made = interpolate(frame, frame, 4, mask, INTERPOLATORS[name])
    assert made.skipped == 1.0 and made.frames.shape == (3, 3, 32, 32)
    assert torch.equal(made.frames, frame.expand(3, -1, -1, -1))


@pytest.mark.parametrize("name", INTERPOLATORS)
def test_computing_equal_patches_anyway_changes_nothing(name):
    """With tau = 0 and the patches around a change computed, too, sparse equals dense to the last bit."""
    a, b = torch.rand(1, 48, 48), None
    b = a.clone()
    b[:, 16:24, 8:16] = torch.rand(1, 8, 8)
    mask = dilate(changed_pixels(a, b, 8, 0), 1)
    assert 0 < mask.double().mean() < 1
    sparse = interpolate(a, b, 3, mask, INTERPOLATORS[name])
    dense = interpolate(a, b, 3, torch.ones_like(mask), INTERPOLATORS[name])
    assert torch.equal(sparse.frames, dense.frames) and dense.skipped == 0


@given(st.floats(0, 60), st.floats(0, 60))
def test_skipping_grows_with_tau(first, second):
    a, b = torch.rand(1, 32, 32), torch.rand(1, 32, 32)
    b[:, :16] = a[:, :16] + 0.1 * (b[:, :16] - a[:, :16])
    low, high = sorted((first, second))
    assert not (changed_pixels(a, b, 8, high) & ~changed_pixels(a, b, 8, low)).any()


def test_only_the_swept_area_of_a_moving_square_is_computed():
    mask = changed_pixels(scene(), scene(8), 4, 4)
    swept = torch.zeros(8, 8, dtype=torch.bool)
    swept[3:5, 2:6] = True
    assert torch.equal(mask, swept)


def test_dilation_adds_the_neighbours():
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[2, 2] = True
    assert torch.equal(dilate(mask, 0), mask) and int(dilate(mask, 1).sum()) == 9 and bool(dilate(mask, 2).all())


def test_tokens_change_where_codes_differ():
    a = torch.tensor([[1, 2], [3, 4]])
    assert changed_tokens(a, torch.tensor([[1, 5], [3, 4]])).tolist() == [[False, True], [False, False]]


def test_motion_follows_a_moving_square_and_a_blend_does_not():
    a, b, truth = scene(), scene(4), scene(2)
    everywhere = torch.ones(8, 8, dtype=torch.bool)
    followed = interpolate(a, b, 2, everywhere, motion).frames[0]
    faded = interpolate(a, b, 2, everywhere, blend).frames[0]
    assert torch.equal(followed, truth)
    assert (faded - truth).square().mean() > 0.01


@pytest.mark.parametrize("steps", [2, 4, 5])
def test_blend_is_linear_in_time(steps):
    a, b = torch.rand(1, 16, 16), torch.rand(1, 16, 16)
    made = interpolate(a, b, steps, torch.ones(2, 2, dtype=torch.bool), blend).frames
    for step in range(1, steps):
        torch.testing.assert_close(made[step - 1], a + (b - a) * step / steps)


def test_impossible_requests_are_named():
    frame = torch.rand(1, 16, 16)
    with pytest.raises(ValueError, match="1 steps"):
        interpolate(frame, frame, 1, torch.ones(2, 2, dtype=torch.bool), blend)
    with pytest.raises(ValueError, match="do not fit"):
        interpolate(frame, frame, 2, torch.ones(3, 3, dtype=torch.bool), blend)
