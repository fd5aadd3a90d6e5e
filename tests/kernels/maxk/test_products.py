"""`A @ CBSR` and its sampled gradient: against float64, against each other (adjoint), and on graphs that break kernels."""

import importlib.util

import numpy as np
import pytest
import torch

from effml.kernels.csr import Csr
from effml.kernels.maxk import Cbsr, avx512, cpu, maxk, ops, reference, spgemm, sspmm, vectors
from tests.kernels.maxk.graphs import WEIGHTINGS, heavy_tailed, of_degrees, random_graph

BACKENDS = ["reference", "numba"]


@pytest.fixture(params=["vector", "portable"])
def instructions(request, monkeypatch):
    """Both backward kernels, whatever this machine would choose."""
    if request.param == "portable":
        monkeypatch.setattr(vectors, "supported", lambda: False)
    elif not vectors.supported():
        pytest.skip("no AVX-512 here")


def test_every_back_end_that_can_be_named_is_there():
    for name, module in ops.BACKENDS.items():
        assert importlib.util.find_spec(f"effml.kernels.maxk.{module}") is not None, name


def scaled_error(result, exact, scale):
    """Largest error in units of the sum of magnitudes that went into each entry (summation order is free)."""
    return float(((result.double() - exact).abs() / scale.clamp(min=1e-30)).max())


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize(("columns", "k"), [(256, 1), (256, 8), (256, 32), (256, 256), (100, 17), (384, 96), (3, 2)])
@pytest.mark.parametrize("graph", [random_graph, heavy_tailed])
def test_numba_equals_float64(graph, columns, k):
    adj = graph()
    kept = maxk(torch.randn(adj.columns, columns), k)
    grad = torch.randn(adj.rows, columns)
    exact = reference.spgemm(adj, kept.values.double(), kept.index, columns)
    scale = reference.spgemm(adj, kept.values.double().abs(), kept.index, columns)
    assert scaled_error(spgemm(adj, kept), exact, scale) < 1e-5
    exact, scale = (reference.sspmm(adj, g.double(), kept.index) for g in (grad, grad.abs()))
    assert scaled_error(sspmm(adj, grad, kept.index), exact, scale) < 1e-5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("k", [1, 8, 16, 32, 64, 256])
def test_backward_is_the_adjoint_of_forward(backend, weighting, k):
    """<A X, G> = <X, SSpMM(G)>: holds only if the backward samples the very places that the forward stored."""
    adj = WEIGHTINGS[weighting](heavy_tailed())
    kept = maxk(torch.randn(adj.columns, 256), k)
    grad = torch.randn(adj.rows, 256)
    forward = spgemm(adj, kept, backend=backend)
    back = sspmm(adj, grad, kept.index, backend=backend)
    left, right = (forward.double() * grad).sum(), (kept.values.double() * back).sum()
    assert abs(left - right) / (forward.norm() * grad.norm()) < 1e-5


@pytest.mark.usefixtures("instructions")
def test_integers_come_out_exact_whatever_the_order_of_summation():
    adj = heavy_tailed()
    x = torch.randint(-9, 10, (adj.columns, 256)).float()
    grad = torch.randint(-9, 10, (adj.rows, 256)).float()
    kept = maxk(x, 20)
    assert torch.equal(spgemm(adj, kept), spgemm(adj, kept, backend="reference"))
    assert torch.equal(sspmm(adj, grad, kept.index), sspmm(adj, grad, kept.index, backend="reference"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_keeping_all_is_the_dense_product_and_its_transposed_gradient(backend):
    adj, x = random_graph(), torch.randn(60, 48)
    dense = reference_dense(adj)
    kept = maxk(x, 48)
    torch.testing.assert_close(spgemm(adj, kept, backend=backend), (dense @ x.double()).float(), rtol=1e-5, atol=1e-5)
    grad = torch.randn(60, 48)
    back = sspmm(adj, grad, kept.index, backend=backend)
    torch.testing.assert_close(back, (dense.T @ grad.double()).float(), rtol=1e-5, atol=1e-5)


def reference_dense(adj: Csr) -> torch.Tensor:
    dense = torch.zeros(adj.rows, adj.columns, dtype=torch.float64)
    rows = torch.repeat_interleave(torch.arange(adj.rows), adj.degrees)
    weight = torch.ones(adj.nnz) if adj.values is None else adj.values
    return dense.index_put_((rows, adj.indices.long()), weight.double(), accumulate=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_linear_in_the_adjacency(backend):
    adj, other = random_graph(), torch.rand(1)
    kept = maxk(torch.randn(60, 64), 9)
    both = spgemm(adj.with_values(adj.values * 2 + other), kept, backend=backend)
    apart = 2 * spgemm(adj, kept, backend=backend) + other * spgemm(adj.with_values(None), kept, backend=backend)
    torch.testing.assert_close(both, apart, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_renaming_nodes_renames_results(backend):
    edges, x = torch.randint(0, 50, (2, 500)), torch.randint(-9, 10, (50, 30)).float()
    order = torch.randperm(50)  # old name of each new node
    renamed = torch.argsort(order)[edges]
    plain = spgemm(Csr.from_edge_index(edges, 50), maxk(x, 6), backend=backend)
    moved = spgemm(Csr.from_edge_index(renamed, 50), maxk(x[order], 6), backend=backend)
    assert torch.equal(moved, plain[order])


@pytest.mark.parametrize("backend", BACKENDS)
def test_mean_of_equal_rows_is_that_row_and_isolated_nodes_are_zero(backend):
    adj = of_degrees([0, 3, 0, 1, 17, 0], 20)
    kept = maxk(torch.randn(1, 40).expand(20, 40), 8)
    y = spgemm(WEIGHTINGS["mean"](adj), kept, backend=backend)
    row = kept.to_dense()[0]
    torch.testing.assert_close(y[[1, 3, 4]], row.expand(3, 40), rtol=1e-6, atol=1e-6)
    assert torch.equal(y[[0, 2, 5]], torch.zeros(3, 40)), "a node without neighbours must not divide by zero"


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize("k", [1, 2, 8, 12, 16, 24, 31, 32, 33, 64])
def test_no_edge_is_lost_at_any_degree(k):
    """Degrees 0 .. 130 pass every boundary of blocks, groups and prefetches, the last rows of the graph among them."""
    adj = of_degrees(list(range(131)), 140).with_values(None)
    x = torch.randint(1, 5, (140, 80)).float()
    kept = maxk(x, k)
    assert torch.equal(spgemm(adj, kept), spgemm(adj, kept, backend="reference"))
    grad = torch.randint(1, 5, (131, 80)).float()
    assert torch.equal(sspmm(adj, grad, kept.index), sspmm(adj, grad, kept.index, backend="reference"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_graph_without_edges(backend):
    adj = of_degrees([0, 0, 0], 4)
    kept = maxk(torch.randn(4, 10), 3)
    assert torch.equal(spgemm(adj, kept, backend=backend), torch.zeros(3, 10))
    assert torch.equal(sspmm(adj, torch.randn(3, 10), kept.index, backend=backend), torch.zeros(4, 3))


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize("threads", [1, 2, 3, 20])
def test_same_result_however_the_work_is_divided(threads, monkeypatch):
    """20 workers are more than there are column blocks: they share rows, too, and add up partial results."""
    adj = heavy_tailed()
    kept, grad = maxk(torch.randint(-9, 9, (200, 64)).float(), 5), torch.randint(-9, 9, (200, 64)).float()
    monkeypatch.setattr(cpu, "_threads", lambda work: threads)
    assert torch.equal(sspmm(adj, grad, kept.index), sspmm(adj, grad, kept.index, backend="reference"))
    assert torch.equal(spgemm(adj, kept), spgemm(adj, kept, backend="reference"))


def test_column_split_covers_every_edge_once():
    adj = heavy_tailed()
    split = cpu.column_split(adj, 3)
    assert torch.equal(split[:, 0], adj.indptr[:-1]) and torch.equal(split[:, -1], adj.indptr[1:])
    assert bool((split.diff(dim=1) >= 0).all())
    owner = torch.full((adj.columns,), -1)
    for block in range(3):
        inside = torch.cat([adj.indices[a:b] for a, b in zip(split[:, block], split[:, block + 1], strict=True)]).long()
        assert bool(((owner[inside] == -1) | (owner[inside] == block)).all()), "two threads would add to one row"
        owner[inside] = block
    assert cpu.column_split(adj, 3) is split, "built once"


def test_unsorted_columns_are_refused_by_the_cpu_backward():
    adj = Csr(torch.tensor([0, 2]), torch.tensor([3, 1], dtype=torch.int32), None, 4)
    with pytest.raises(ValueError, match="ascending"):
        sspmm(adj, torch.randn(1, 8), maxk(torch.randn(4, 8), 2).index)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sixteen_bit_values_are_summed_in_float32(dtype):
    """21,000 neighbours: summed in the values' own dtype the total would be far off (bf16) or infinite (fp16)."""
    adj = of_degrees([21_000], 21_000).with_values(torch.full((21_000,), 1 / 21_000))
    kept = maxk((torch.rand(21_000, 8) * 50 + 100).to(dtype), 8)
    y = spgemm(adj, kept)
    assert y.dtype == dtype
    exact = kept.to_dense().double().mean(0)
    assert float(((y[0].double() - exact) / exact).abs().max()) < torch.finfo(dtype).eps


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_agree_with_finite_differences(backend):
    adj = random_graph(4, 10, torch.float64)
    x = torch.randperm(20).double().view(4, 5).requires_grad_()  # far from any tie

    def layer(x):
        return spgemm(adj, maxk(x, 2, backend=backend), backend=backend)

    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(lambda x: layer(x) ** 2, x)


def test_dropped_values_keep_their_slots():
    adj, kept = random_graph(), maxk(torch.randn(60, 32), 6)
    thinned = kept.with_values(kept.values * (torch.rand(60, 6) > 0.5))
    assert thinned.index is kept.index
    dense = reference_dense(adj) @ thinned.to_dense().double()
    torch.testing.assert_close(spgemm(adj, thinned), dense.float(), rtol=1e-5, atol=1e-5)


def sparse_file(path, dtype, size):
    """An array of zeros that takes no room until it is written or read."""
    return np.memmap(path, dtype=dtype, mode="w+", shape=(size,))


@pytest.mark.usefixtures("instructions")
def test_offsets_beyond_two_to_the_thirty_one(tmp_path):
    """nnz * k and N * H pass 2^31 on published graphs: the last row of operands of 2^31 entries and more is reached."""
    columns, k = 256, 256
    rows = 2**31 // columns + 2
    position = rows * columns - 1
    assert position > 2**31
    floats = sparse_file(tmp_path / "floats", np.float32, rows * columns)
    bytes_ = sparse_file(tmp_path / "bytes", np.uint8, rows * k)
    floats[position], bytes_[-k:] = 3.0, np.arange(k)
    last, one = np.array([rows - 1], dtype=np.int32), np.ones(1, np.float32)

    out = np.full(columns, np.nan, np.float32)  # one row of A, whose only neighbour is the last row of X
    ends = np.array([0, 1])
    cpu._spgemm(ends, last, one, 1, floats, bytes_, columns, k, ends, out)
    assert out[-1] == 3.0 and not out[:-1].any()

    kernel = avx512.sspmm if vectors.supported() else cpu._sspmm
    split = np.broadcast_to(np.zeros(1, np.int64), (rows, 2)).copy()  # no edges, but for the last row of A
    split[-1] = 0, 1
    back = np.zeros((1, k), np.float32)
    first = np.zeros(1, np.int32)
    kernel(split, np.array([0, rows]), 1, first, one, 1, floats, bytes_[-k:], columns, k, back)
    assert back[0, -1] == 3.0 and not back[0, :-1].any()


@pytest.mark.parametrize(
    "call",
    [
        lambda a, c, g: spgemm(a, maxk(torch.randn(5, 8), 2)),
        lambda a, c, g: sspmm(a, g[:-1], c.index),
        lambda a, c, g: sspmm(a, g, c.index[:-1]),
        lambda a, c, g: spgemm(a.with_values(a.values.requires_grad_()), c),
    ],
)
def test_mismatches_are_refused(call):
    adj = random_graph()
    with pytest.raises(ValueError, match=r"columns|row|constants"):
        call(adj, maxk(torch.randn(60, 8), 2), torch.randn(60, 8))


def test_index_of_the_wrong_width_is_refused():
    adj, kept = random_graph(), maxk(torch.randn(60, 8), 2)
    with pytest.raises(TypeError, match="300 columns"):
        sspmm(adj, torch.randn(60, 300), kept.index)


def test_torch_sees_through_the_operators():
    """Schema, fake kernels and gradient registration, by torch's own checker; and one compiled graph without a break."""
    adj, x = random_graph(), torch.randn(60, 24)
    kept = maxk(x, 5)
    structure = adj.indptr, adj.indices, adj.values
    of = torch.ops.effml
    values, x = kept.values.clone().requires_grad_(), x.requires_grad_()
    torch.library.opcheck(of.maxk_select.default, (x, 5, "numba"))
    torch.library.opcheck(of.cbsr_unpack.default, (values, kept.index, 24, "numba"))
    torch.library.opcheck(of.cbsr_spgemm.default, (values, kept.index, *structure, 24, adj.key, "numba"))
    torch.library.opcheck(of.cbsr_sspmm.default, (x, kept.index, *structure, adj.key, "numba"))

    def layer(x):
        return spgemm(adj, maxk(x, 5))

    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    (expected,) = torch.autograd.grad(layer(x).square().sum(), x)
    (found,) = torch.autograd.grad(compiled(x).square().sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_backward_outlives_the_adjacency_object():
    adj = random_graph()
    x = torch.randn(60, 24, requires_grad=True)
    y = spgemm(adj.with_values(adj.values), maxk(x, 5))  # that matrix is garbage from here on
    (found,) = torch.autograd.grad(y.sum(), x)
    (expected,) = torch.autograd.grad(spgemm(adj, maxk(x, 5)).sum(), x)
    assert torch.equal(found, expected)
    assert ops.resolve(None, x.device) == "numba"


def test_kinds_of_argument_are_named():
    x, adj = torch.ones(2, 4), Csr.from_torch(torch.eye(2))
    for k in (2.0, "2", True):
        with pytest.raises(TypeError, match="k must be an integer"):
            maxk(x, k)
    with pytest.raises(TypeError, match=r"CBSR form.*got Tensor"):
        spgemm(adj, x)
    with pytest.raises(TypeError, match="adj must be a Csr, got Tensor"):
        spgemm(torch.eye(2), maxk(x, 2))


@pytest.mark.parametrize("place", [-1, 30_000])
def test_places_beyond_the_columns_never_reach_a_kernel(place):
    adj = random_graph()
    index = torch.full((adj.columns, 4), place, dtype=torch.int16)
    for product in (lambda x: spgemm(adj, x), Cbsr.to_dense):
        with pytest.raises(ValueError, match="and the matrix 257 columns"):
            product(Cbsr(torch.ones(adj.columns, 4), index, 257))


def test_places_beyond_the_gradient_are_refused():
    adj = random_graph()
    index = maxk(torch.randn(adj.columns, 16), 4).index
    with pytest.raises(ValueError, match="and the matrix 3 columns"):
        sspmm(adj, torch.randn(adj.rows, 3), index)
    with pytest.raises(TypeError, match="grad must be floating point"):
        sspmm(adj, torch.ones(adj.rows, 16, dtype=torch.int32), index)
