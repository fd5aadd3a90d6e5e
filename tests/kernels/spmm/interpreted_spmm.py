"""The Triton programs, interpreted, against float64."""

import pytest
import torch

from effml.kernels.spmm import gpu, spmm_reference
from effml.kernels.spmm.partition import Rule, partition
from effml.kernels.spmm.reference import sddmm_reference
from tests.kernels.spmm.cases import TOLERANCE, heavy_tailed, of_degrees, scaled_error

# Every branch of the program: each step of the rule, its ends, rows in pieces, empty rows.
EVERY_STEP = [0, 1, 1, 2, 4, 4, 5, 32, 33, 64, 65, 128, 129, 256, 257, 512, 513, 1300, 0]


@pytest.mark.parametrize(("d", "weighted"), [(1, False), (33, True), (150, False)])
def test_product_equals_float64(d, weighted):
    adj = of_degrees(EVERY_STEP, weighted=weighted)
    x = torch.randn(50, d)
    out = torch.full((adj.rows, d), torch.nan)
    gpu.multiply_into(adj, x, out)
    assert scaled_error(adj, x, out) <= TOLERANCE[torch.float32]


def test_many_rows_of_a_block():
    adj = of_degrees([1] * 70 + [3] * 65 + [20] * 17 + [40] * 9)
    x = torch.randn(50, 16, dtype=torch.float64)
    assert scaled_error(adj, x, gpu.multiply(adj, x)) <= TOLERANCE[torch.float64]


def test_half_is_summed_in_float32():
    adj = heavy_tailed(30, 50, hub=1100)
    x = torch.randn(50, 20).half()
    assert scaled_error(adj, x, gpu.multiply(adj, x)) <= TOLERANCE[torch.float16]


def test_rows_of_x_may_be_strided():
    adj, wide = heavy_tailed(40, 50), torch.randn(50, 40)
    torch.testing.assert_close(gpu.multiply(adj, wide[:, :24]), spmm_reference(adj, wide[:, :24]))
    torch.testing.assert_close(gpu.multiply(adj, wide[:, ::2]), spmm_reference(adj, wide[:, ::2]))


@pytest.mark.parametrize("degrees", [[0, 0, 0], []])
def test_matrix_without_nonzeros_gives_zeros(degrees):
    adj = of_degrees(degrees)
    assert torch.equal(gpu.multiply(adj, torch.randn(50, 5)), torch.zeros(len(degrees), 5))


def test_result_repeats_bit_by_bit():
    adj, x = heavy_tailed(40, 50, hub=1100, weighted=True), torch.randn(50, 20)
    assert torch.equal(gpu.multiply(adj, x), gpu.multiply(adj, x))


def test_other_partitions_give_the_same_product():
    adj, x = of_degrees(EVERY_STEP), torch.randn(50, 20)
    out = torch.full((adj.rows, 20), torch.nan)
    gpu.multiply_into(adj, x, out, parts=partition(adj, Rule(((32, 1),))), columns=16)
    assert scaled_error(adj, x, out) <= TOLERANCE[torch.float32]


@pytest.mark.parametrize("d", [1, 70])
def test_gradient_of_the_values(d):
    adj = heavy_tailed(40, 50)
    left, right = torch.randn(40, d), torch.randn(50, d)
    torch.testing.assert_close(gpu.sddmm(adj, left, right), sddmm_reference(adj, left, right), rtol=1e-5, atol=1e-5)
