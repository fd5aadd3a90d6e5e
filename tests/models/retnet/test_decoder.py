"""RetNet: the layer against its formula, the three ways of running it against one another, and its decays."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from effml.models.retnet import RetNet
from effml.models.retnet.decay import framewise, half_life, retnet
from effml.models.retnet.layers import MultiScaleRetention
from effml.models.retnet.rotation import Rotation, rotate
from effml.models.transformer import Transformer


def test_layer_is_its_formula():
    """Equations 5 to 8 of the paper, head by head and token by token, in float64."""
    heads, width, T = 2, 8, 6
    layer = MultiScaleRetention(width, retnet(heads), chunk=4).double()
    x = torch.randn(1, T, width, dtype=torch.float64)
    got, state = layer(x, Rotation(width // heads).at(0, T, x), None)
    q, k, v, gate = (x[0] @ part.T for part in layer.project.weight.split([width, width, 2 * width, 2 * width]))
    theta = torch.tensor([1.0, 10000.0**-1.0], dtype=torch.float64)  # K / 2 = 2 pairs, end point included

    def turned(row, n):
        pairs = row.view(-1, 2)
        cos, sin = torch.cos(n * theta), torch.sin(n * theta)
        return torch.stack([pairs[:, 0] * cos - pairs[:, 1] * sin, pairs[:, 1] * cos + pairs[:, 0] * sin], 1).flatten()

    out = torch.zeros(T, 2 * width, dtype=torch.float64)
    for h in range(heads):
        gamma = 1 - 2.0 ** (-5 - h)
        keys, values = slice(4 * h, 4 * h + 4), slice(8 * h, 8 * h + 8)
        for n in range(T):
            o = sum(
                gamma ** (n - m) * (turned(q[n, keys], n) @ turned(k[m, keys], m)) / 2 * v[m, values]
                for m in range(n + 1)
            )
            out[n, values] = (o - o.mean()) / (o.var(correction=0) + 1e-6).sqrt()
    torch.testing.assert_close(got[0], (F.silu(gate) * out) @ layer.out.weight.T, rtol=1e-10, atol=1e-10)
    assert state.shape == (1, heads, 4, 8)


@pytest.mark.parametrize("prompt", [1, 7, 20])
def test_prompt_and_steps_equal_the_whole(prompt):
    model = RetNet(32, 2, framewise(4, 17, 8)).double()
    x = torch.randn(2, 20, 32, dtype=torch.float64)
    whole, _ = model(x)
    head, state = model(x[:, :prompt])
    tail = [model.step(x[:, n], state) for n in range(prompt, 20)]
    assert state.position == 20
    torch.testing.assert_close(torch.cat([head, *(y[:, None] for y in tail)], 1), whole, rtol=1e-10, atol=1e-10)


def test_continuing_in_parallel_equals_the_whole():
    model = RetNet(32, 2, retnet(4)).double()
    x = torch.randn(2, 90, 32, dtype=torch.float64)
    whole, _ = model(x)
    state = model.start(2)
    parts = []
    for part in x.split([3, 70, 17], 1):
        y, state = model(part, state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-10, atol=1e-10)


def test_state_is_as_large_as_the_formula_says_whatever_the_length():
    model = RetNet(32, 3, retnet(4))
    state = model.start(2)
    sizes = set()
    for _ in range(300):
        model.step(torch.randn(2, 32), state)
        sizes.add(state.nbytes)
    assert sizes == {3 * 2 * 4 * 8 * 16 * 4}, "layers B H K V float32"


def test_copies_are_continued_on_their_own():
    model = RetNet(16, 1, retnet(2))
    _, state = model(torch.randn(2, 5, 16))
    copy = state.copy(3)
    assert copy.layers[0].shape[0] == 6
    torch.testing.assert_close(copy.layers[0][:3], state.layers[0][:1].expand(3, -1, -1, -1))
    before = state.layers[0].clone()
    model.step(torch.randn(6, 16), copy)
    assert torch.equal(state.layers[0], before) and (state.position, copy.position) == (5, 6)


def test_decays_stay_exact_in_a_16_bit_model():
    model = RetNet(64, 1, retnet(8)).bfloat16()
    kept = model.blocks[0].mix.log_gamma
    assert kept.dtype == torch.float64 and kept.tolist() == retnet(8)
    y, _ = model(torch.randn(1, 9, 64).bfloat16())
    assert y.dtype == torch.bfloat16 and torch.isfinite(y).all()


def test_as_many_weights_as_a_transformer():
    count = lambda model: sum(weight.numel() for weight in model.parameters())  # noqa: E731
    assert count(RetNet(64, 3, retnet(4))) == count(Transformer(64, 3, 4)) == 3 * (12 * 64**2 + 2 * 64) + 64


def test_schedules():
    assert [round(half_life(value)) for value in retnet(8)] == [22, 44, 88, 177, 355, 709, 1419, 2839]
    assert retnet(30)[25] < 0, "log(1 - 2^-30) would be 0 in float32"
    lives = [half_life(value) / 65 for value in framewise(6, 65, 16)]
    assert math.isclose(lives[0], 1 / 8) and math.isclose(lives[-1], 64)
    ratios = [after / before for before, after in itertools.pairwise(lives)]
    assert all(math.isclose(ratio, ratios[0]) for ratio in ratios)
    assert math.isclose(half_life(framewise(1, 65, 16)[0]) / 65, 64)


@pytest.mark.parametrize("shift", [1, 100, 5000])
def test_rotation_sees_differences_of_positions_alone(shift):
    rotation = Rotation(8)
    q, k = torch.randn(1, 5, 1, 8, dtype=torch.float64), torch.randn(1, 5, 1, 8, dtype=torch.float64)

    def scores(start):
        turn = rotation.at(start, 5, q)
        return rotate(q, turn)[0, :, 0] @ rotate(k, turn)[0, :, 0].T

    torch.testing.assert_close(scores(shift), scores(0), rtol=1e-9, atol=1e-9)
    assert not torch.allclose(scores(0), q[0, :, 0] @ k[0, :, 0].T)


def test_width_that_does_not_split_is_refused():
    with pytest.raises(ValueError, match="width 30 does not split into 4 heads"):
        RetNet(30, 1, retnet(4))
