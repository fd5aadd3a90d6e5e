"""The fused gated polynomial against its formula in float64."""

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effml.kernels.gated import cpu, gated_polynomial, gated_polynomial_reference, provider
from effml.kernels.gated.cpu import BLOCK

SITES = {
    "pixel": ((5, 4, 3), (5, 1, 1)),
    "channel": ((5, 1, 1), (5, 1, 1)),
    "node": ((1, 1, 3), (1, 1, 3)),
    "layer": ((), ()),
}


def draw(batch, site, gate, group, terms=3, dtype=torch.float64, soft=False):
    z = torch.randn(batch, *site, dtype=dtype)
    keep = torch.rand(gate, dtype=dtype) if soft else (torch.rand(gate) < 0.5).to(dtype)
    return z, keep, torch.randn(terms, *group, dtype=dtype)


def outputs(function, z, keep, coefficients, grad):
    inputs = [tensor.detach().requires_grad_() for tensor in (z, keep, coefficients)]
    y = function(*inputs)
    return y, *torch.autograd.grad(y, inputs, grad)


@pytest.mark.parametrize("terms", [1, 2, 3])
@pytest.mark.parametrize("granularity", SITES)
def test_values_and_gradients_equal_formula(granularity, terms):
    gate, group = SITES[granularity]
    drawn = draw(7, (5, 4, 3), gate, group, terms, soft=True)
    grad = torch.randn(7, 5, 4, 3, dtype=torch.float64)
    for ours, right in zip(
        outputs(gated_polynomial, *drawn, grad), outputs(gated_polynomial_reference, *drawn, grad), strict=True
    ):
        torch.testing.assert_close(ours, right, rtol=1e-12, atol=1e-12)


@given(batch=st.integers(0, 9), sites=st.sampled_from([0, 1, 3, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7]))
def test_any_size_equals_formula(batch, sites):
    drawn = draw(batch, (sites,), (sites,), (sites,))
    grad = torch.randn(batch, sites, dtype=torch.float64)
    for ours, right in zip(
        outputs(gated_polynomial, *drawn, grad), outputs(gated_polynomial_reference, *drawn, grad), strict=True
    ):
        torch.testing.assert_close(ours, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("batch", "sites"), [(1, 1), (2, 5), (9, 3 * BLOCK + 7), (200, 40)])
def test_threads_change_nothing(batch, sites, monkeypatch):
    drawn = draw(batch, (sites,), (sites,), (sites,))
    grad = torch.randn(batch, sites, dtype=torch.float64)
    one = outputs(gated_polynomial, *drawn, grad)
    monkeypatch.setattr(cpu, "_threads", lambda elements: 2)
    for ours, right in zip(outputs(gated_polynomial, *drawn, grad), one, strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-12, atol=1e-12)


def test_gradcheck():
    z, keep, coefficients = draw(3, (2, 2, 3), (2, 2, 3), (2, 1, 1), soft=True)
    z = z + 0.05 * z.sign()  # away from the corner of ReLU
    inputs = [tensor.requires_grad_() for tensor in (z, keep, coefficients)]
    assert torch.autograd.gradcheck(gated_polynomial, inputs)


def test_float32_within_1e_6_of_float64_formula():
    z, keep, coefficients = draw(64, (64, 32, 32), (64, 32, 32), (64, 1, 1), dtype=torch.float32)
    coefficients /= 4
    grad = torch.randn_like(z) / 64
    right = outputs(gated_polynomial_reference, z.double(), keep.double(), coefficients.double(), grad.double())
    for ours, exact in zip(outputs(gated_polynomial, z, keep, coefficients, grad), right, strict=True):
        error = (ours.double() - exact).abs() / exact.abs().max()
        assert error.max() < 1e-6


@pytest.mark.parametrize("layout", ["channels_last", "strided", "expanded"])
def test_memory_layouts(layout):
    z, keep, coefficients = draw(6, (5, 4, 3), (5, 4, 3), (5, 1, 1))
    if layout == "channels_last":
        z = z.to(memory_format=torch.channels_last)
    elif layout == "strided":
        z = torch.randn(6, 3, 4, 10, dtype=torch.float64)[..., ::2].transpose(1, 3)
    else:
        z = z[:, :1].expand(6, 5, 4, 3)
    grad = torch.randn(6, 5, 4, 3, dtype=torch.float64)
    ours = outputs(gated_polynomial, z, keep, coefficients, grad)
    for mine, right in zip(ours, outputs(gated_polynomial_reference, z, keep, coefficients, grad), strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-12, atol=1e-12)
    if layout == "channels_last":
        assert ours[0].is_contiguous(memory_format=torch.channels_last)


def test_open_gates_are_relu_bit_for_bit():
    z = torch.randn(8, 3, 5, 5)
    z[0, 0, 0, :3] = torch.tensor([0.0, 3e38, -3e38])  # whose square overflows
    y = gated_polynomial(z, torch.ones(3, 5, 5), torch.randn(3, 3, 1, 1))
    assert torch.equal(y, torch.relu(z))


def test_half_precision_is_computed_in_float32():
    z, keep, coefficients = draw(8, (4, 3, 3), (4, 3, 3), (4, 1, 1), dtype=torch.float32)
    z = z.bfloat16()
    y = gated_polynomial(z, keep, coefficients)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, gated_polynomial_reference(z.float(), keep, coefficients).bfloat16())


def test_custom_op_obeys_torch():
    z, table = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6, requires_grad=True)
    torch.library.opcheck(torch.ops.effml.gated_polynomial.default, (z, table), raise_exception=True)


def test_compiles_whole():
    z, keep, coefficients = draw(4, (5, 4, 3), (5, 4, 3), (5, 1, 1))
    compiled = torch.compile(gated_polynomial, fullgraph=True, backend="aot_eager")
    for layout in (torch.contiguous_format, torch.channels_last):
        given = z.to(memory_format=layout)
        expected = gated_polynomial(given, keep, coefficients)
        torch.testing.assert_close(compiled(given, keep, coefficients), expected, rtol=0, atol=0)


def test_other_devices_compute_the_formula():
    assert provider(torch.device("mps")) == "reference" and provider(torch.device("cpu")) == "numba"


@pytest.mark.parametrize(
    ("keep", "coefficients", "error", "words"),
    [
        (torch.ones(5, 4, 3, dtype=torch.bool), torch.ones(3, 5, 1, 1), TypeError, r"bool mask with .float\(\)"),
        (torch.ones(5, 4, 3), torch.ones(4, 5, 1, 1), ValueError, "degree 0 to 2"),
        (torch.ones(4, 4, 3), torch.ones(3, 5, 1, 1), ValueError, "do not broadcast to the site shape"),
        (torch.ones(5, 4, 3), torch.tensor(1.0), ValueError, r"coefficients \[terms, \*group\]"),
    ],
)
def test_wrong_arguments_are_named(keep, coefficients, error, words):
    with pytest.raises(error, match=words):
        gated_polynomial(torch.randn(2, 5, 4, 3), keep, coefficients)


@pytest.mark.slow
def test_at_least_twice_as_fast_as_the_formula_in_autograd():
    z, keep, coefficients = draw(64, (64, 32, 32), (64, 32, 32), (64, 1, 1), dtype=torch.float32)
    grad, ratios = torch.randn_like(z), []
    for _ in range(12):
        seconds = []
        for function in (gated_polynomial_reference, gated_polynomial):
            start = time.perf_counter()
            outputs(function, z, keep, coefficients, grad)
            seconds.append(time.perf_counter() - start)
        ratios.append(seconds[0] / seconds[1])
    assert sorted(ratios[2:])[5] >= 2, ratios
