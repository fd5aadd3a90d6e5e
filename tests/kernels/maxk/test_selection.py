"""MaxK selection: which entries are kept, exactly, and the CBSR form they are kept in."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from effml.kernels.maxk import Cbsr, maxk, reference

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]

# Few distinct values, so that ties are the rule; with both zeros, infinities, NaN and the smallest denormals.
AWKWARD = [0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf"), float("nan"), 1e-45, -1e-45, 3.0, -3.4e38, 3.4e38]


def expected_rows(x: np.ndarray, k: int) -> list[list[int]]:
    """The kept columns of each row by the definition, one comparison at a time."""
    rows = []
    for row in x:
        rank = [(0 if np.isnan(v) else 1, 0.0 if np.isnan(v) else -v, c) for c, v in enumerate(row)]
        rows.append(sorted(c for *_, c in sorted(rank)[:k]))
    return rows


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 20)), elements=st.sampled_from(AWKWARD)),
    st.data(),
)
@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_keeps_the_largest_and_of_equals_the_first(backend, x, data):
    k = data.draw(st.integers(1, x.shape[1]))
    kept = maxk(torch.from_numpy(x), k, backend=backend)
    assert kept.index.tolist() == expected_rows(x, k)
    rows = np.arange(len(x))[:, None]
    assert kept.values.numpy().tobytes() == x[rows, kept.index.numpy()].tobytes(), "values are copied bit by bit"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("columns", "k"), [(256, 8), (256, 256), (257, 32), (384, 96), (1000, 1), (33, 17), (1, 1)])
def test_numba_equals_reference(dtype, columns, k):
    x = torch.randn(50, columns).to(dtype)  # 16-bit values of 1000 columns are full of ties
    values, index = reference.select(x, k)
    kept = maxk(x, k)
    assert torch.equal(kept.values, values) and torch.equal(kept.index, index)
    kept.check()


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_every_kept_value_is_at_least_every_dropped_one(backend):
    x = torch.randn(300, 96)
    kept = maxk(x, 10, backend=backend)
    dropped = x.scatter(1, kept.index.long(), float("-inf"))
    assert bool((kept.values.min(1).values >= dropped.max(1).values).all())


def test_negative_values_are_kept_where_they_are_the_largest():
    x = -torch.rand(20, 12) - 1
    kept = maxk(x, 3)
    assert bool((kept.values < -1).all()) and torch.equal(
        kept.values.sort(1).values, x.topk(3, 1).values.sort(1).values
    )


@pytest.mark.parametrize("value", [0.0, -0.0, float("nan"), float("inf"), float("-inf"), 7.5])
def test_all_equal_row_keeps_the_first_columns(value):
    kept = maxk(torch.full((4, 40), value), 9)
    assert kept.index.tolist() == [list(range(9))] * 4


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_unpacking_what_was_packed_is_the_masked_matrix(dtype):
    x = torch.randn(70, 300).to(dtype)
    kept = maxk(x, 21)
    mask = torch.zeros_like(x, dtype=torch.bool).scatter(1, kept.index.long(), True)
    assert int(mask.sum()) == 70 * 21 and torch.equal(kept.to_dense(), torch.where(mask, x, 0))


def test_keeping_all_is_the_identity():
    x = torch.randn(9, 256)
    assert torch.equal(maxk(x, 256).to_dense(), x)


def test_reads_any_strides():
    x = torch.randn(40, 60)
    turned = x.T
    assert torch.equal(maxk(turned, 5).to_dense(), maxk(turned.contiguous(), 5).to_dense())
    every_other = x[:, ::2]
    assert torch.equal(maxk(every_other, 5).index, maxk(every_other.clone(), 5).index)


def test_no_rows_no_work():
    kept = maxk(torch.zeros(0, 16), 4)
    assert kept.shape == (0, 16) and kept.to_dense().shape == (0, 16)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_gradient_passes_at_kept_places_alone(backend):
    x = torch.randn(30, 40, requires_grad=True)
    weight = torch.randn(30, 7)
    kept = maxk(x, 7, backend=backend)
    (kept.values * weight).sum().backward()
    assert torch.equal(x.grad, torch.zeros(30, 40).scatter_(1, kept.index.long(), weight))


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_gradients_agree_with_finite_differences(backend):
    x = torch.randperm(15).double().view(3, 5).requires_grad_()  # far from any tie
    assert torch.autograd.gradcheck(lambda x: maxk(x, 2, backend=backend).to_dense(), x)
    assert torch.autograd.gradgradcheck(lambda x: maxk(x, 2, backend=backend).to_dense() ** 2, x)


def test_index_is_eight_bits_to_256_columns_and_sixteen_beyond():
    assert maxk(torch.randn(2, 256), 3).index.dtype == torch.uint8
    wide = torch.zeros(1, 32768)
    wide[0, 32767], wide[0, 256] = 2.0, 1.0
    kept = maxk(wide, 2)
    assert kept.index.dtype == torch.int16 and kept.index.tolist() == [[256, 32767]]
    with pytest.raises(ValueError, match="16 bits"):
        maxk(torch.zeros(1, 32769), 2)


def test_an_index_that_could_wrap_is_refused():
    with pytest.raises(TypeError, match=r"300 columns is torch\.int16, got torch\.uint8"):
        Cbsr(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.uint8), 300)


def test_check_finds_what_breaks_the_form():
    values = torch.zeros(1, 3)
    for bad in ([0, 2, 2], [2, 1, 5], [0, 1, 7]):
        with pytest.raises(ValueError, match=r"distinct|outside"):
            Cbsr(values, torch.tensor([bad], dtype=torch.uint8), 6).check()
    Cbsr(values, torch.tensor([[0, 2, 5]], dtype=torch.uint8), 6).check()


@pytest.mark.parametrize("k", [0, -1, 17])
def test_k_outside_the_row_is_refused(k):
    with pytest.raises(ValueError, match=r"1\.\.16"):
        maxk(torch.randn(3, 16), k)


def test_back_end_that_cannot_run_here_is_an_error_and_not_another_ones_work():
    x = torch.randn(3, 16)
    with pytest.raises(ValueError, match="triton back end works on cuda"):
        maxk(x, 2, backend="triton")
    with pytest.raises(ValueError, match="reference, numba, triton"):
        maxk(x, 2, backend="nubma")
    with pytest.raises(TypeError, match="floating"):
        maxk(x.int(), 2)


def test_bytes_are_five_k_a_row_against_four_h():
    assert maxk(torch.randn(100, 256), 32).nbytes == 100 * 5 * 32
