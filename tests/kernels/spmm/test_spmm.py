"""The product against float64, its gradients, and what torch asks of an operator."""

import os
import subprocess
import sys

import pytest
import torch

from effml.kernels import Csr, spmm
from effml.kernels.spmm import cpu, spmm_reference
from effml.kernels.spmm.reference import sddmm_reference
from tests.kernels.spmm.cases import TOLERANCE, heavy_tailed, scaled_error

EVERY_WIDTH = [1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100, 128, 150, 200, 257]


@pytest.mark.parametrize(
    ("d", "weighted", "dtype"),
    [
        *((d, d % 3 == 0, torch.float32) for d in EVERY_WIDTH),
        *((d, True, torch.float64) for d in (1, 7, 33, 150)),
        *((d, d % 2 == 0, dtype) for d in (1, 33, 150, 200, 257) for dtype in (torch.bfloat16, torch.float16)),
    ],
)
def test_product_equals_float64_at_every_width(d, weighted, dtype):
    adj = heavy_tailed(120, 90, weighted=weighted)
    x = torch.randn(90, d, dtype=dtype)
    y = spmm(adj, x)
    assert y.dtype == dtype and y.shape == (120, d)
    assert scaled_error(adj, x, y) <= TOLERANCE[dtype]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_share_the_rows_and_the_pieces_of_hubs(threads, dtype):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        adj = heavy_tailed(20_000, 5_000, hub=60_000, weighted=True)
        x = torch.randn(5_000, 33, dtype=dtype)
        y = spmm(adj, x)
        assert torch.get_num_threads() == threads, "the kernel leaves torch's number of threads alone"
    finally:
        torch.set_num_threads(before)
    assert scaled_error(adj, x, y) <= TOLERANCE[dtype]


def test_results_larger_than_the_caches_are_streamed_whole(monkeypatch):
    monkeypatch.setattr(cpu, "STREAM_BYTES", 1)
    adj = heavy_tailed(5_000, 1_000, hub=100_000)
    x = torch.randn(1_000, 32)
    out = torch.full((adj.rows, 32), torch.nan)
    assert all(strip.streamed for strip, _, _ in cpu.strips(x, out, weighted=False, widest=4))
    cpu.multiply_into(adj, x, out)
    assert scaled_error(adj, x, out) <= TOLERANCE[torch.float32]


def test_host_without_half_conversions_goes_by_float32(monkeypatch):
    monkeypatch.setattr(cpu, "converts_halves", lambda: False)
    adj, x = heavy_tailed(40, 30), torch.randn(30, 20).half()
    y = spmm(adj, x)
    assert y.dtype == torch.float16 and scaled_error(adj, x, y) <= TOLERANCE[torch.float16]


@pytest.mark.slow
def test_hosts_with_narrower_vectors_get_the_same_numbers():
    environment = os.environ | {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}
    words = [sys.executable, "-m", "pytest", __file__, "-k", "every_width or bfloat16_sums or streamed or hub"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout


@pytest.mark.parametrize("bits", [0x7F800001, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 0x3F808000, 0x3F818000, 0x00000001])
def test_bfloat16_sums_round_as_torch_does(bits):
    value = torch.tensor([bits], dtype=torch.int64).to(torch.int32).view(torch.float32)
    one = Csr(torch.tensor([0, 1]), torch.tensor([0], dtype=torch.int32), value, 1)
    y = spmm(one, torch.ones(1, 1, dtype=torch.bfloat16))
    torch.testing.assert_close(y[0], value.bfloat16(), rtol=0, atol=0, equal_nan=True)


def test_hub_of_a_hundred_thousand_keeps_its_precision():
    adj = heavy_tailed(50, 300, hub=100_000, weighted=True)
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(300, 33, dtype=dtype)
        assert scaled_error(adj, x, spmm(adj, x)) <= TOLERANCE[dtype]


@pytest.mark.parametrize(("rows", "columns", "d"), [(5, 4, 3), (0, 4, 3), (5, 0, 3), (1, 1, 1), (5, 4, 0)])
def test_matrix_without_nonzeros_gives_zeros(rows, columns, d):
    empty = Csr(torch.zeros(rows + 1, dtype=torch.int64), torch.zeros(0, dtype=torch.int32), None, columns)
    assert torch.equal(spmm(empty, torch.randn(columns, d)), torch.zeros(rows, d))


def test_duplicate_nonzeros_add_up():
    twice = Csr(torch.tensor([0, 3]), torch.tensor([1, 1, 0], dtype=torch.int32), None, 2)
    assert torch.equal(spmm(twice, torch.tensor([[1.0], [10.0]])), torch.tensor([[21.0]]))


@pytest.mark.parametrize("layout", ["transposed", "strided", "offset"])
def test_layout_of_x_does_not_matter(layout):
    adj = heavy_tailed(80, 60)
    x = {"transposed": torch.randn(48, 60).T, "strided": torch.randn(60, 96)[:, ::2], "offset": torch.randn(61, 48)[1:]}
    assert torch.equal(spmm(adj, x[layout]), spmm(adj, x[layout].clone(memory_format=torch.contiguous_format)))


@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_and_second_derivatives(weighted):
    adj = Csr(torch.tensor([0, 3, 3, 5]), torch.tensor([1, 0, 1, 1, 0], dtype=torch.int32), None, 2)
    weights = torch.randn(adj.nnz, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    if weighted:
        product = lambda x, weights: spmm(adj.with_values(weights), x)  # noqa: E731
        assert torch.autograd.gradcheck(product, (x, weights))
        assert torch.autograd.gradgradcheck(product, (x, weights))
    else:
        assert torch.autograd.gradcheck(lambda x: spmm(adj, x), (x,))


def test_backward_is_the_adjoint():
    adj = heavy_tailed(300, 200, hub=5000, weighted=True)
    x, g = torch.randn(200, 40, requires_grad=True), torch.randn(300, 40)
    y = spmm(adj, x)
    (gradient,) = torch.autograd.grad(y, x, g)
    there, back = (y.double() * g.double()).sum(), (x.double() * gradient.double()).sum()
    assert abs(there - back) <= 1e-6 * (y.double() * g.double()).abs().sum()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_gradient_of_the_values_samples_the_pattern(dtype):
    adj = heavy_tailed(200, 150, hub=9000)
    weights = torch.randn(adj.nnz, requires_grad=True)
    x, g = torch.randn(150, 20, dtype=dtype), torch.randn(200, 20, dtype=dtype)
    (gradient,) = torch.autograd.grad(spmm(adj.with_values(weights), x), weights, g)
    exact = sddmm_reference(adj, g.double(), x.double())
    scale = sddmm_reference(adj, g.double().abs(), x.double().abs())
    assert gradient.dtype == torch.float32
    assert ((gradient - exact).abs() / scale).max() <= max(TOLERANCE[dtype], TOLERANCE[torch.float32])


def test_backward_outlives_the_matrix():
    adj = heavy_tailed(30, 20)
    x = torch.randn(20, 4, requires_grad=True)
    expected = torch.autograd.grad(spmm_reference(adj, x).sum(), x)[0]
    y = spmm(Csr(adj.indptr, adj.indices, None, 20), x)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], expected)


def test_backward_keeps_one_transpose():
    adj = heavy_tailed(30, 20)
    x = torch.randn(20, 4, requires_grad=True)
    spmm(adj, x).sum().backward()
    turned = adj.transpose()
    spmm(adj, x).sum().backward()
    assert adj.transpose() is turned


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_written_in_place_are_seen_both_ways(dtype):
    adj = heavy_tailed(30, 20).with_values(None)
    weights = torch.rand(adj.nnz, dtype=dtype)
    weighted, x = adj.with_values(weights), torch.randn(20, 4, requires_grad=True)
    for factor in (1.0, -2.0):
        weights.mul_(factor)
        expected = spmm_reference(weighted, x)
        y = spmm(weighted, x)
        torch.testing.assert_close(y, expected)
        torch.testing.assert_close(torch.autograd.grad(y.sum(), x), torch.autograd.grad(expected.sum(), x))


def test_torch_accepts_the_operator():
    adj = heavy_tailed(9, 7, weighted=True)
    x = torch.randn(7, 5, requires_grad=True)
    values = adj.values.clone().requires_grad_()
    for transposed, features in [(False, x), (True, torch.randn(9, 5, requires_grad=True))]:
        arguments = (features, values, adj.indptr, adj.indices, 7, adj.key, transposed)
        torch.library.opcheck(torch.ops.effml.spmm.default, arguments)
    torch.library.opcheck(torch.ops.effml.sddmm.default, (torch.randn(9, 5), x, adj.indptr, adj.indices, 7, adj.key))


def test_matrices_of_torch_compile():
    dense = (torch.rand(30, 30) < 0.2).float()
    x = torch.randn(30, 4)
    compiled = torch.compile(spmm, fullgraph=True, backend="aot_eager")
    for matrix in (dense, dense.to_sparse_csr(), dense.to_sparse_coo()):
        torch.testing.assert_close(compiled(Csr.from_torch(matrix), x), dense @ x)


def test_compiled_whole_gives_the_same_numbers():
    layer = torch.nn.Linear(6, 4)

    def loss(adj, x):
        return spmm(adj, layer(x).relu()).square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for adj in (heavy_tailed(30, 20), heavy_tailed(12, 20, weighted=True), heavy_tailed(40, 20)):
        x = torch.randn(20, 6, requires_grad=True)
        expected = torch.autograd.grad(loss(adj, x), [x, layer.weight])
        torch.testing.assert_close(torch.autograd.grad(compiled(adj, x), [x, layer.weight]), expected)


def test_edge_index_sums_messages_with_duplicates():
    edges = torch.tensor([[0, 1, 1, 2], [2, 2, 2, 0]])
    x = torch.randn(3, 4)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    torch.testing.assert_close(spmm(edges, x), torch.stack([x[2], torch.zeros(4), x[0] + 2 * x[1]]))
    y = spmm(edges, x, weight)
    torch.testing.assert_close(y, torch.stack([4 * x[2], torch.zeros(4), x[0] + 5 * x[1]]))
    y[2].sum().backward()
    torch.testing.assert_close(weight.grad, torch.stack([x[0].sum(), x[1].sum(), x[1].sum(), torch.tensor(0.0)]))


def test_edge_index_that_changed_is_read_again():
    edges, x = torch.tensor([[0], [1]]), torch.randn(2, 3)
    assert torch.equal(spmm(edges, x)[1], x[0])
    edges[0, 0] = 1
    assert torch.equal(spmm(edges, x)[1], x[1])


@pytest.mark.parametrize(
    ("indptr", "indices"), [([0, 2, 1], [0, 1]), ([1, 2, 2], [0, 1]), ([0, 1, 3], [0, 1]), ([0, 1, 2], [0, 3])]
)
def test_matrix_that_would_read_foreign_memory_is_refused(indptr, indices):
    broken = Csr(torch.tensor(indptr), torch.tensor(indices, dtype=torch.int32), None, 3)
    with pytest.raises(ValueError, match=r"ind(ptr|ices) must"):
        spmm(broken, torch.randn(3, 4))


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.randn(5, 3), ValueError, r"x must be \[7, d\]"),
        (torch.randn(7), ValueError, r"x must be \[7, d\]"),
        (torch.ones(7, 3, dtype=torch.int32), TypeError, "int32"),
        (torch.empty(7, 3, device="meta"), ValueError, "x is on meta"),
    ],
)
def test_misuse_is_named(x, error, words):
    with pytest.raises(error, match=words):
        spmm(heavy_tailed(9, 7), x)


@pytest.mark.parametrize(
    ("adj", "told"),
    [
        (torch.eye(2), "torch.float32, and no edge_index.*from_torch"),
        (torch.eye(2).to_sparse_csr(), "a sparse torch tensor.*from_torch"),
        ([[0], [1]], "a Csr or an edge_index, got list"),
    ],
)
def test_a_matrix_is_not_taken_for_edges(adj, told):
    with pytest.raises(TypeError, match=told):
        spmm(adj, torch.ones(2, 3))


@pytest.mark.parametrize("shape", [(3,), (4, 2), (3, 3), ()])
def test_edges_of_another_shape_are_named(shape):
    with pytest.raises(ValueError, match="must be"):
        spmm(torch.zeros(shape, dtype=torch.int64), torch.ones(4, 3))
