"""Expansion in registers: the same sums as the scatter to the last bit of an integer, at every width and k."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effml.kernels.maxk import cpu, expansion, maxk, reference, spgemm, sspmm, vectors
from effml.kernels.maxk.cbsr import Cbsr
from tests.kernels.maxk.graphs import heavy_tailed

needs_vectors = pytest.mark.skipif(not vectors.supported(), reason="no AVX-512 here")


@needs_vectors
@pytest.mark.parametrize(
    ("columns", "k"), [(256, 40), (256, 128), (256, 256), (255, 255), (129, 64), (128, 20), (65, 30), (64, 10), (3, 3)]
)
def test_integers_come_out_exact(columns, k, monkeypatch):
    adj = heavy_tailed()
    kept = maxk(torch.randint(-9, 10, (adj.columns, columns)).float(), k)
    exact = spgemm(adj, kept, backend="reference")
    for chosen in (True, False):
        monkeypatch.setattr(expansion, "pays", lambda k, columns, chosen=chosen: chosen)
        assert torch.equal(spgemm(adj, kept), exact)


@needs_vectors
def test_columns_in_another_order_are_scattered():
    """Expansion goes by rank; a matrix whose columns do not ascend must not be taken for one whose columns do."""
    adj = heavy_tailed()
    kept = maxk(torch.randint(-9, 10, (adj.columns, 256)).float(), 128)
    turned = Cbsr(kept.values.flip(1).contiguous(), kept.index.flip(1).contiguous(), 256)
    assert expansion.column_masks(turned.index.view(-1).numpy(), adj.columns, 128, 256, 4) is None
    assert torch.equal(spgemm(adj, turned), spgemm(adj, kept))


@given(st.integers(1, 256), st.data())
def test_masks_have_the_bits_of_the_index(columns, data):
    k = data.draw(st.integers(1, columns))
    rows = [sorted(data.draw(st.permutations(range(columns)))[:k]) for _ in range(3)]
    masks = expansion.column_masks(np.array(rows, np.uint8).ravel(), 3, k, columns, 2)
    words = expansion.words(columns)
    for row, kept in enumerate(rows):
        bits = sum(int(word) << 16 * place for place, word in enumerate(masks[row * words : (row + 1) * words]))
        assert bits == sum(1 << column for column in kept)


@pytest.mark.parametrize("share", [0.0, 256.0])
def test_backward_by_the_dense_product_samples_the_same(share, monkeypatch):
    monkeypatch.setattr(cpu, "_DENSE_SHARE", share)
    monkeypatch.setattr(cpu, "_SMALLEST_PARALLEL", 0)
    adj = heavy_tailed()
    kept = maxk(torch.randint(-9, 10, (adj.columns, 96)).float(), 33)
    grad = torch.randint(-9, 10, (adj.rows, 96)).float()
    exact = reference.sspmm(adj, grad.double(), kept.index)
    assert torch.equal(sspmm(adj, grad, kept.index).double(), exact)
