"""What fixed point has to hold is found in the open: against two parties' truncation simulated, and sums done by hand."""

import math

import numpy as np
import pytest
import torch

from effml.models.private.export import export
from effml.models.private.program import Operation, Program
from effml.models.private.ring import LEAST, MOST, Load, OutOfRange, check, fraction_bits, load, wrong_truncations
from effml.models.resnet import ResNet
from tests.models.private.test_program import trained_looking


def test_truncation_goes_wrong_as_often_as_told_and_by_as_much():
    """Two parties' own truncations of random shares: wrong with probability |p| 2^(2f - 64), and then by 2^(64 - 2f)."""
    product, bits, draws = 3e6, 20, 400_000
    rng = np.random.default_rng(0)
    whole = np.int64(round(product * 2**bits) * 2**bits)
    one = rng.integers(-(2**63), 2**63 - 1, draws, dtype=np.int64, endpoint=True)
    two = whole - one  # wraps, as the ring does
    cut = [np.sign(share) * (np.abs(share.astype(object)) >> bits) for share in (one, two)]
    sums = np.array([int(a) + int(b) for a, b in zip(*cut, strict=True)], dtype=object)
    sums = (sums + 2**63) % 2**64 - 2**63
    values = sums.astype(float) / 2**bits
    wrong = np.abs(values - product) > 1
    share = wrong_truncations(Load(product, "", product), bits)
    assert 0.1 < share < 0.5
    assert abs(wrong.mean() - share) < 5 * math.sqrt(share * (1 - share) / draws)
    assert np.allclose(np.abs(values[wrong] - product), 2.0 ** (64 - 2 * bits), rtol=1e-4)


def chain(scale):
    """An activation of one square, `z^2 / 2 + z`, on an image of one pixel, times `scale`."""
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    tensors = {key: torch.tensor([], dtype=torch.int64) for key in ("relu", "affine")}
    numbers = {"square_c0": 0.0, "square_c1": 1.0, "square_c2": 0.5}
    tensors |= {key: torch.tensor([value], dtype=torch.float64) for key, value in numbers.items()}
    tensors |= {f"affine_c{power}": torch.tensor([], dtype=torch.float64) for power in (0, 1)}
    conv = {"weight": scale * one, "bias": torch.tensor([7.0], dtype=torch.float64)}
    settings = {"stride": [1, 1], "padding": [0, 0], "groups": 1}
    return Program(
        [
            Operation("input", "x", []),
            Operation("conv", "conv", ["x"], conv, settings),
            Operation("activation", "act", ["conv"], {**tensors, "square": torch.tensor([0])}),
        ],
        (1, 1, 1),
    )


def test_load_is_what_the_steps_multiply():
    asked = load(chain(3.0), torch.tensor([1.0, -4.0]).reshape(2, 1, 1, 1))
    products = [[3.0, 12.0], [100.0, 25.0], [50.0, 12.5], [10.0, 5.0]]  # conv without bias, z^2, z^2 / 2, z
    assert (asked.largest, asked.place) == (100.0, "a square in act")
    assert asked.total == pytest.approx(sum(map(sum, products)) / 2)


def test_dense_masking_asks_for_more():
    program = export(trained_looking(ResNet(10, 4, 1)))
    images = torch.randn(4, 1, 8, 8)
    gathered, dense = load(program, images), load(program, images, dense=True)
    assert dense.total > gathered.total and dense.largest >= gathered.largest


@pytest.mark.parametrize(("top", "bits"), [(1.0, 16), (2.0**28, 16), (2.0**29, 15), (2.0**44, LEAST)])
def test_format_holds_four_times_the_largest_product(top, bits):
    assert fraction_bits(Load(top, "", 0.0)) == bits <= MOST


def test_format_keeps_wrong_truncations_rare():
    for total in (1.0, 1e5, 1e7):
        bits = fraction_bits(Load(1.0, "", total))
        assert 4 * wrong_truncations(Load(1.0, "", total), bits) <= 1e-5
        assert bits == MOST or 4 * wrong_truncations(Load(1.0, "", total), bits + 1) > 1e-5


@pytest.mark.parametrize("scale", [1e8, 1e200])
def test_what_no_format_holds_is_named(scale):
    with pytest.raises(
        OutOfRange, match=r"a square in act reaches .*8 fractional bits in a ring of 2\^64 hold 1.4e\+14"
    ):
        fraction_bits(load(chain(scale), torch.ones(1, 1, 1, 1)))


def test_images_beyond_those_known_are_named():
    known = load(chain(1.0), torch.ones(1, 1, 1, 1))
    bits = fraction_bits(known)
    check(known, bits)
    with pytest.raises(OutOfRange, match="a square in act"):
        check(load(chain(1.0), torch.full((1, 1, 1, 1), 1e6)), bits)
