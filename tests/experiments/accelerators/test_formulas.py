"""Closed forms against brute force and torch's flop counter."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from effml.experiments.accelerators import cases, encoder, formulas

small = st.integers(1, 6)


@given(small, small, small)
def test_gemm_counts_every_multiplication_and_addition(m, n, k):
    operations = sum(2 for _ in itertools.product(range(m), range(n), range(k)))
    assert formulas.gemm_flops(m, n, k) == operations
    assert formulas.gemm_bytes(m, n, k, 4) == 4 * (m * k + k * n + m * n)


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(4, 9),
    st.integers(1, 3),
    st.sampled_from([1, 3]),
    st.integers(1, 2),
)
def test_conv_count_equals_brute_force_and_torch(batch, c, h, k, kernel, stride):
    padding = kernel // 2
    x, weight = torch.randn(batch, c, h, h), torch.randn(k, c, kernel, kernel)
    with FlopCounterMode(display=False) as counter:
        out = torch.nn.functional.conv2d(x, weight, stride=stride, padding=padding)
    p, q = out.shape[2:]
    assert (p, q) == (formulas.conv_out(h, kernel, stride, padding),) * 2
    brute = 2 * batch * k * p * q * c * kernel * kernel
    assert formulas.conv_flops(batch, c, k, p, q, kernel, kernel) == brute == counter.get_total_flops()


def test_depthwise_counts_one_channel_a_filter():
    layer = cases.Conv(1, 32, 8, 8, 32, 3, groups=32)
    assert layer.name.endswith("depthwise")
    assert formulas.conv_flops(1, 32, 32, 8, 8, 3, 3, groups=32) == 2 * 32 * 8 * 8 * 9


@pytest.mark.parametrize("n", [256, 512])
@pytest.mark.parametrize("ratio", range(1, 6))
def test_skew_keeps_the_work_and_is_symmetric(n, ratio):
    up, down = formulas.skewed(n, ratio), formulas.skewed(n, -ratio)
    assert up == tuple(reversed(down)) or (up[0], up[2]) == (down[2], down[0])
    assert formulas.gemm_flops(*up) == formulas.gemm_flops(*down) == formulas.gemm_flops(n, n, n)
    assert formulas.skewed(n, 0) == (n, n, n)


def test_intensities_of_the_sheet():
    assert round(formulas.gemm_flops(1024, 1024, 1024) / formulas.gemm_bytes(1024, 1024, 1024, 2), 1) == 341.3
    assert round(formulas.gemm_flops(1024, 1024, 1024) / formulas.gemm_bytes(1024, 1024, 1024, 4), 1) == 170.7
    assert formulas.stream_flops("square", 10) / formulas.stream_bytes("square", 10, 4) == 0.125


@given(st.sampled_from(list(formulas.STREAMS)), st.integers(1, 10**6))
def test_doubling_the_size_doubles_the_bytes(op, n):
    assert formulas.stream_bytes(op, 2 * n, 4) == 2 * formulas.stream_bytes(op, n, 4)


@pytest.mark.parametrize("step", ["forward", "train"])
def test_encoder_count_equals_torchs(step):
    """torch counts attention only under the MATH back end."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    size = encoder.SIZES["mini"]
    case = next(c for c in encoder.encoders(["mini"], 2, 16, ["fp32"]) if c.labels["step"] == step)
    inputs = case.build(torch.device("cpu"), torch.Generator().manual_seed(0))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        case.providers["torch"](*inputs)
    assert case.flops == counter.get_total_flops()
    assert case.flops == formulas.encoder_flops(size.layers, size.width, size.inner, 2, 16, train=step == "train")


def test_attention_count_equals_torchs():
    from torch.nn.attention import SDPBackend, sdpa_kernel

    q = torch.randn(2, 3, 16, 8)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        torch.nn.functional.scaled_dot_product_attention(q, q, q)
    assert formulas.attention_flops(2, 3, 16, 8) == counter.get_total_flops()
    assert formulas.attention_flops(2, 3, 16, 8, causal=True) * 2 == counter.get_total_flops()


def test_sparse_count_is_two_per_nonzero_and_column():
    adjacency = (torch.rand(7, 5) < 0.5).float()
    nnz = int(adjacency.sum())
    assert formulas.spmm_flops(nnz, 3) == sum(
        2 for i, j, n in itertools.product(range(7), range(5), range(3)) if adjacency[i, j]
    )
    assert formulas.spmm_bytes(7, 5, nnz, 3, 4) == nnz * 8 + 8 * 4 + 4 * min(5, nnz) * 3 + 4 * 7 * 3


@pytest.mark.parametrize("operator", ["gemm", "conv", "rnn"])
def test_listed_counts_equal_torchs(operator):
    """The least of DeepBench's shapes, carried out where torch counts; recurrent layers are counted by their steps."""
    from effml.experiments.accelerators import deepbench
    from effml.experiments.data import registry

    shapes = [shape for shape in registry.load("deepbench").value if shape.operator == operator]
    case = next(iter(deepbench.listed(shapes, operator, ["fp32"], "cpu", 2, 1e9)))
    inputs = case.build(torch.device("meta" if operator == "conv" else "cpu"), torch.Generator().manual_seed(0))
    if operator == "rnn":
        layer, x = inputs
        per_step = 2 * sum(weight.numel() for name, weight in layer.named_parameters() if "weight" in name) * x.shape[1]
        assert case.flops == per_step * len(x)
        return
    with FlopCounterMode(display=False) as counter:
        case.providers["torch"](*inputs)
    assert case.flops == counter.get_total_flops()


def test_stretched_rows_have_distinct_ascending_columns(seed):
    from effml.experiments.accelerators.sparse import stretched_csr

    adjacency = stretched_csr(50, 37, 5, "fp32", torch.Generator().manual_seed(seed))
    columns = adjacency.indices.view(50, 5)
    assert bool((columns.diff(dim=1) > 0).all()) and 0 <= int(columns.min()) <= int(columns.max()) < 37
    assert torch.equal(adjacency.indptr, torch.arange(51) * 5)
