"""The Triton kernels of MaxK in the interpreter: run by `test_triton.py` in a process of its own, in float32."""

import pytest
import torch

from effml.kernels.maxk import gpu, maxk, reference, spgemm, sspmm
from tests.kernels.maxk.graphs import WEIGHTINGS, heavy_tailed, of_degrees


@pytest.mark.parametrize(("rows", "columns", "k"), [(5, 256, 8), (3, 100, 100), (9, 33, 5), (2, 300, 40), (1, 1, 1)])
def test_selection_equals_reference(rows, columns, k):
    x = torch.randint(-3, 4, (rows, columns)).float()  # ties everywhere
    x[0, ::3] = torch.randn(len(x[0, ::3]))
    kept = maxk(x, k, backend="triton")
    values, index = reference.select(x, k)
    assert torch.equal(kept.index, index) and torch.equal(kept.values, values)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), float("-inf")])
def test_selection_ends_on_rows_of_one_value(value):
    x = torch.full((2, 40), value)
    x[1, 7] = float("nan")
    index = maxk(x, 3, backend="triton").index
    assert torch.equal(index, reference.select(x, 3)[1])


def test_selection_reads_strided_rows():
    x = torch.randn(6, 80)[:, :33]
    assert torch.equal(maxk(x, 4, backend="triton").index, reference.select(x, 4)[1])
    assert torch.equal(maxk(x.T, 4, backend="triton").index, reference.select(x.T, 4)[1])


def test_unpack_and_gather_equal_reference():
    kept = maxk(torch.randn(7, 50), 11, backend="triton")
    dense = gpu.unpack(kept.values, kept.index, 50)
    assert torch.equal(dense, reference.unpack(kept.values, kept.index, 50))
    assert torch.equal(gpu.gather(dense, kept.index), kept.values)


def test_mask_holds_the_stored_columns_and_counts_before_each_word():
    index = maxk(torch.randn(4, 100), 37, backend="reference").index
    mask, before = gpu.column_mask(index, 100)
    bits = (mask[:, :, None].long() >> torch.arange(32)) & 1
    expected = torch.zeros(4, 128, dtype=torch.int64).scatter_(1, index.long(), 1)
    assert torch.equal(bits.view(4, 128), expected)
    counts = expected.view(4, 4, 32).sum(2)
    assert torch.equal(before.long(), counts.cumsum(1) - counts)


@pytest.mark.parametrize(("weighting", "columns", "k"), [("mean", 300, 33), ("symmetric", 256, 1), ("sum", 64, 8)])
def test_products_equal_float64_and_are_adjoint(weighting, columns, k):
    adj = WEIGHTINGS[weighting](heavy_tailed(70, 40))  # the hub's row is two groups, added by atomics
    kept = maxk(torch.randn(70, columns), k, backend="reference")
    grad = torch.randn(70, columns)
    forward = spgemm(adj, kept, backend="triton")
    back = sspmm(adj, grad, kept.index, backend="triton")
    exact = reference.spgemm(adj, kept.values.double(), kept.index, columns)
    torch.testing.assert_close(forward.double(), exact, rtol=1e-5, atol=1e-5)
    exact = reference.sspmm(adj, grad.double(), kept.index)
    torch.testing.assert_close(back.double(), exact, rtol=1e-5, atol=1e-5)
    left, right = (forward.double() * grad).sum(), (kept.values.double() * back).sum()
    assert abs(left - right) / (forward.norm() * grad.norm()) < 1e-5


@pytest.mark.parametrize("k", [12, 33])
def test_no_edge_is_lost_at_any_group_boundary(k):
    adj = of_degrees([0, 1, 3, 4, 5, 0, 64, 65, 129], 130).with_values(None)
    kept = maxk(torch.randint(1, 5, (130, 40)).float(), k, backend="reference")
    grad = torch.randint(1, 5, (9, 40)).float()
    assert torch.equal(spgemm(adj, kept, backend="triton"), reference.spgemm(adj, kept.values, kept.index, 40))
    assert torch.equal(sspmm(adj, grad, kept.index, backend="triton"), reference.sspmm(adj, grad, kept.index))


def test_a_neighbour_that_is_not_there_adds_nothing():
    """Steps beyond a group's end read row 0 in masked lanes: its NaN must not leak."""
    adj = of_degrees([1], 3).with_values(None)
    adj.indices[0] = 2
    x = torch.ones(3, 8)
    x[0] = float("nan")
    assert torch.equal(spgemm(adj, maxk(x, 8, backend="reference"), backend="triton"), torch.ones(1, 8))


def test_gradient_runs_through_all_of_it():
    adj = heavy_tailed(40, 20)
    x = torch.randn(40, 30, requires_grad=True)
    kept = maxk(x, 6, backend="triton")
    (found,) = torch.autograd.grad(spgemm(adj, kept, backend="triton").square().sum(), x)
    kept = maxk(x, 6, backend="reference")
    (expected,) = torch.autograd.grad(spgemm(adj, kept, backend="reference").square().sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_graph_without_edges():
    adj = of_degrees([0, 0], 3)
    kept = maxk(torch.randn(3, 10), 3, backend="triton")
    assert torch.equal(spgemm(adj, kept, backend="triton"), torch.zeros(2, 10))
    assert torch.equal(sspmm(adj, torch.randn(2, 10), kept.index, backend="triton"), torch.zeros(3, 3))


def test_float64_is_refused_rather_than_rounded():
    with pytest.raises(TypeError, match="float32"):
        maxk(torch.randn(2, 8, dtype=torch.float64), 2, backend="triton")
