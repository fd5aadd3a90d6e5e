"""The CSR matrix against scipy, which builds the same matrices by other means."""

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st

from effml.kernels.csr import Csr


@st.composite
def edge_lists(draw):
    nodes = draw(st.integers(1, 12))
    edges = draw(st.lists(st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1)), max_size=40))
    return nodes, torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T


def to_scipy(adj: Csr) -> scipy.sparse.csr_array:
    values = np.ones(adj.nnz) if adj.values is None else adj.values.double().numpy()
    return scipy.sparse.csr_array((values, adj.indices.numpy(), adj.indptr.numpy()), (adj.rows, adj.columns))


@given(edge_lists())
def test_row_holds_sources_of_its_incoming_edges(case):
    nodes, edges = case
    expected = np.zeros((nodes, nodes))
    expected[edges[1], edges[0]] = 1
    adj = Csr.from_edge_index(edges, nodes)
    assert adj.values is None and adj.indices.dtype == torch.int32 and adj.indptr.dtype == torch.int64
    assert np.array_equal(to_scipy(adj).toarray(), expected)
    assert adj.degrees.tolist() == expected.sum(1).tolist()


@given(edge_lists(), st.integers(0, 2**31))
def test_coalescing_sums_weights_of_duplicate_edges(case, draw):
    nodes, edges = case
    weight = torch.randint(-8, 8, (edges.shape[1],), generator=torch.Generator().manual_seed(draw)).double()
    expected = np.zeros((nodes, nodes))
    np.add.at(expected, (edges[1].numpy(), edges[0].numpy()), weight.numpy())
    adj = Csr.from_edge_index(edges, nodes, weight)
    assert np.array_equal(to_scipy(adj).toarray(), expected)
    for row in np.split(adj.indices.numpy(), adj.indptr[1:-1].numpy()):
        assert np.all(np.diff(row) > 0), "columns of a row are distinct and ascending"
    loose = Csr.from_edge_index(edges, nodes, weight, coalesce=False)
    assert loose.nnz == edges.shape[1] and np.array_equal(to_scipy(loose).toarray(), expected)


@given(edge_lists(), st.booleans())
def test_transpose_is_scipys_and_its_own_inverse(case, weighted):
    nodes, edges = case
    weight = torch.arange(1.0, edges.shape[1] + 1) if weighted else None
    adj = Csr.from_edge_index(edges, nodes, weight)
    turned = adj.transpose()
    assert (turned.values is None) == (not weighted)
    assert np.array_equal(to_scipy(turned).toarray(), to_scipy(adj).toarray().T)
    back = turned.transpose()
    assert torch.equal(back.indptr, adj.indptr) and torch.equal(back.indices, adj.indices)
    assert adj.transpose() is turned, "the transpose is built once"


def test_transpose_of_rectangle():
    adj = Csr(torch.tensor([0, 2, 2, 3]), torch.tensor([1, 4, 0], dtype=torch.int32), torch.tensor([1.0, 2.0, 3.0]), 5)
    turned = adj.transpose()
    assert (turned.rows, turned.columns) == (5, 3)
    assert np.array_equal(to_scipy(turned).toarray(), to_scipy(adj).toarray().T)


def test_torch_form_multiplies_alike_with_int32_indices(seed):
    adj = Csr.from_edge_index(torch.randint(0, 50, (2, 400)), 50, torch.rand(400))
    x = torch.randn(50, 7)
    as_torch = adj.to_torch()
    assert as_torch.col_indices().dtype == torch.int32
    np.testing.assert_allclose((as_torch @ x).numpy(), to_scipy(adj) @ x.double().numpy(), rtol=1e-5, atol=1e-5)


def test_empty_graph_has_rows_and_no_nonzeros():
    adj = Csr.from_edge_index(torch.zeros(2, 0, dtype=torch.int64), 3)
    assert (adj.rows, adj.nnz, adj.degrees.tolist()) == (3, 0, [0, 0, 0])
    assert adj.transpose().nnz == 0


def test_refuses_wrong_dtypes_shapes_and_ids():
    indptr, indices = torch.tensor([0, 1]), torch.tensor([0], dtype=torch.int32)
    with pytest.raises(TypeError, match="int64"):
        Csr(indptr.int(), indices, None, 1)
    with pytest.raises(TypeError, match="int32"):
        Csr(indptr, indices.long(), None, 1)
    with pytest.raises(ValueError, match="shape"):
        Csr(indptr, indices, torch.ones(2), 1)
    with pytest.raises(ValueError, match="outside"):
        Csr.from_edge_index(torch.tensor([[0], [3]]), 3)


def test_other_values_keep_the_pattern_and_drop_the_caches():
    adj = Csr.from_edge_index(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3)
    adj.transpose()
    weighted = adj.with_values(torch.tensor([2.0, 3.0, 4.0]))
    assert np.array_equal(to_scipy(weighted.transpose()).toarray(), to_scipy(weighted).toarray().T)


def test_from_torch_takes_every_layout_and_sums_duplicates():
    dense = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]])
    twice = torch.sparse_coo_tensor([[0, 0, 1, 1], [1, 1, 0, 2]], [1.5, 0.5, 1.0, 3.0], (2, 3))
    for matrix in (dense, dense.to_sparse(), twice, dense.to_sparse_csr(), dense.to_sparse_csc()):
        assert torch.equal(Csr.from_torch(matrix).to_torch().to_dense(), dense)
    with pytest.raises(ValueError, match=r"got shape \[3\]"):
        Csr.from_torch(torch.ones(3))


@pytest.mark.parametrize(
    ("edges", "options", "error", "told"),
    [
        (torch.zeros(4, 2, dtype=torch.int64), {}, ValueError, r"must be \[2, edges\], got \[4, 2\]"),
        (torch.tensor([[0.5], [1.9]]), {}, TypeError, "must be of integers, got torch.float32"),
        (torch.zeros(2, 3, dtype=torch.bool), {}, TypeError, "must be of integers"),
        (torch.zeros(2, 3, dtype=torch.int64), {"weight": torch.ones(2)}, ValueError, "one entry per edge: 3"),
        (torch.zeros(2, 0, dtype=torch.int64), {"num_nodes": -1}, ValueError, "must not be negative"),
    ],
)
def test_edges_that_are_none_are_refused(edges, options, error, told):
    with pytest.raises(error, match=told):
        Csr.from_edge_index(edges, **{"num_nodes": 2, **options})
