"""Every form of retention is the same function: against the float64 recurrence, closed forms and exact identities."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effml.kernels import retention
from tests.kernels.retention.cases import NAMES, decays, problem, relative_error, solve

SHAPES = [(2, 37, 3, 20, 24), (1, 64, 2, 8, 8), (3, 1, 2, 4, 6), (1, 130, 4, 16, 48), (2, 0, 1, 4, 4), (0, 7, 2, 4, 4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("form,chunk", [("parallel", 64), *(("chunk", c) for c in (1, 5, 16, 64, 512))])
def test_forms_and_their_gradients_agree_to_1e_12(shape, form, chunk):
    inputs, gradients = problem(*shape)
    log_gamma = decays(shape[2])
    expected = solve(inputs, gradients, log_gamma, backend="recurrent")
    got = solve(inputs, gradients, log_gamma, backend=form, chunk=chunk)
    for name in NAMES:
        assert relative_error(got[name], expected[name]) < 1e-12, name
    assert relative_error(got["dlog_gamma"], expected["dlog_gamma"]) < 1e-9, "sums of canceling terms of order T^2"


@given(st.integers(0, 90), st.integers(0, 90), st.integers(1, 40), st.sampled_from(["chunk", "parallel", "recurrent"]))
def test_whole_equals_split_anywhere(first, second, chunk, form):
    (q, k, v, state), _ = problem(2, first + second, 2, 5, 7)
    log_gamma = decays(2)
    options = {"return_state": True, "chunk": chunk, "backend": form}
    whole, final = retention(q, k, v, log_gamma, initial_state=state, **options)
    left, between = retention(q[:, :first], k[:, :first], v[:, :first], log_gamma, initial_state=state, **options)
    right, end = retention(q[:, first:], k[:, first:], v[:, first:], log_gamma, initial_state=between, **options)
    torch.testing.assert_close(torch.cat([left, right], 1), whole, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(end, final, rtol=1e-11, atol=1e-11)


@given(st.lists(st.integers(0, 45), min_size=0, max_size=6), st.sampled_from([4, 16, 64]))
def test_packing_equals_one_sequence_at_a_time(sizes, chunk):
    bounds = [0, *torch.tensor(sizes, dtype=torch.long).cumsum(0).tolist()]
    inputs, gradients = problem(1, bounds[-1], 2, 5, 7, bounds=bounds)
    log_gamma = decays(2)
    packed = solve(inputs, gradients, log_gamma, bounds=bounds, chunk=chunk, backend="chunk")
    for n, (begin, end) in enumerate(itertools.pairwise(bounds)):
        alone_inputs = (*(x[:, begin:end] for x in inputs[:3]), inputs[3][n : n + 1])
        alone = solve(
            alone_inputs, (gradients[0][:, begin:end], gradients[1][n : n + 1]), log_gamma, backend="recurrent"
        )
        for name in ("o", "dq", "dk", "dv"):
            torch.testing.assert_close(packed[name][:, begin:end], alone[name], rtol=1e-11, atol=1e-11)
        for name in ("state", "dstate"):
            torch.testing.assert_close(packed[name][n : n + 1], alone[name], rtol=1e-11, atol=1e-11)


def test_packed_decay_gradient_counts_positions_per_sequence():
    bounds = [0, 5, 5, 42, 60]
    inputs, gradients = problem(1, 60, 3, 7, 5, bounds=bounds)
    expected = solve(inputs, gradients, decays(3), bounds=bounds, backend="parallel")
    got = solve(inputs, gradients, decays(3), bounds=bounds, backend="chunk", chunk=16)
    assert relative_error(got["dlog_gamma"], expected["dlog_gamma"]) < 1e-9


@pytest.mark.parametrize("T,chunk", [(37, 16), (64, 64), (100, 32)])
def test_sum_invariants(T, chunk):
    """Scaling q by c and k by 1/c changes nothing, nor does scaling v by c and k by 1/c (no initial state)."""
    inputs, gradients = problem(2, T, 3, 12, 20)
    a = solve(inputs, gradients, decays(3), backend="chunk", chunk=chunk)
    q, k, v, state = inputs

    def dot(x, y, dims):
        return (x * y).sum(dims)

    left = dot(q, a["dq"], (0, 1, 3)) + dot(a["state"], gradients[1], (0, 2, 3))
    right = dot(k, a["dk"], (0, 1, 3)) + dot(state, a["dstate"], (0, 2, 3))
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-9)
    torch.testing.assert_close(dot(v, a["dv"], (0, 1, 3)), dot(k, a["dk"], (0, 1, 3)), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("backend", ["recurrent", "parallel", "chunk"])
def test_constant_input_gives_the_geometric_sum(backend):
    one = torch.ones(1, 200, 8, 1, dtype=torch.float64)
    log_gamma = torch.log1p(-(2.0 ** (-5.0 - torch.arange(8, dtype=torch.float64))))
    o = retention(one, one, one, log_gamma, backend=backend)[0, :, :, 0]
    gamma, n = log_gamma.exp(), torch.arange(200, dtype=torch.float64)[:, None]
    torch.testing.assert_close(o, (1 - gamma ** (n + 1)) / (1 - gamma), rtol=1e-12, atol=0)


@pytest.mark.parametrize("backend", ["recurrent", "parallel", "chunk"])
def test_without_decay_it_is_causal_linear_attention(backend):
    (q, k, v, state), _ = problem(2, 50, 2, 6, 5)
    o = retention(q, k, v, torch.zeros(2, dtype=torch.float64), initial_state=state, backend=backend, chunk=16)
    memory = state[:, None] + torch.cumsum(k[..., :, None] * v[..., None, :], 1)
    torch.testing.assert_close(o, torch.einsum("bthk,bthkv->bthv", q, memory) / 6**0.5)


@pytest.mark.parametrize("backend", ["recurrent", "parallel", "chunk"])
@pytest.mark.parametrize("log_gamma", [-60.0, -800.0])
def test_total_decay_leaves_the_present_token_alone(backend, log_gamma):
    (q, k, v, state), _ = problem(2, 300, 1, 6, 5)
    o = retention(q, k, v, torch.full((1,), log_gamma), initial_state=state, backend=backend, scale=2.0)
    torch.testing.assert_close(o, 2 * (q * k).sum(-1, keepdim=True) * v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 8, 64])
def test_causality_is_exact(chunk):
    (q, k, v, _), _ = problem(1, 70, 2, 6, 5)
    before = retention(q, k, v, decays(2), chunk=chunk)
    k[:, 33] += 1
    v[:, 33] -= 1
    after = retention(q, k, v, decays(2), chunk=chunk)
    assert torch.equal(before[:, :33], after[:, :33])
    assert not torch.allclose(before[:, 33:], after[:, 33:])


@given(st.integers(1, 40), st.sampled_from("qkv"))
def test_linear_in_each_operand(T, operand):
    (q, k, v, _), _ = problem(1, T, 2, 4, 3)
    arguments = {"q": q, "k": k, "v": v}
    other = torch.randn_like(arguments[operand])
    mixed = {**arguments, operand: 2 * arguments[operand] - 3 * other}
    run = lambda given: retention(given["q"], given["k"], given["v"], decays(2), chunk=16)  # noqa: E731
    expected = 2 * run(arguments) - 3 * run({**arguments, operand: other})
    torch.testing.assert_close(run(mixed), expected, rtol=1e-10, atol=1e-10)


def test_rotating_all_positions_together_changes_nothing():
    """The scores depend on q and k through differences of positions alone."""
    (q, k, v, _), _ = problem(1, 40, 2, 8, 5)
    angle = torch.tensor(0.3 * 17, dtype=torch.float64)

    def rotate(x):
        even, odd = x[..., ::2], x[..., 1::2]
        return torch.stack(
            [even * angle.cos() - odd * angle.sin(), odd * angle.cos() + even * angle.sin()], -1
        ).flatten(-2)

    torch.testing.assert_close(retention(rotate(q), rotate(k), v, decays(2)), retention(q, k, v, decays(2)))


def test_non_contiguous_inputs():
    (q, k, v, state), _ = problem(2, 33, 3, 6, 8)
    turned = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    turned_state = state.transpose(2, 3).contiguous().transpose(2, 3)
    assert not turned[0].is_contiguous() and not turned_state.is_contiguous()
    expected = retention(q, k, v, decays(3), initial_state=state, return_state=True)
    got = retention(*turned, decays(3), initial_state=turned_state, return_state=True)
    for a, b in zip(got, expected, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype,bound", [(torch.float32, 1e-6), (torch.bfloat16, 1e-2), (torch.float16, 1e-3)])
def test_narrow_dtypes_on_the_cpu(dtype, bound):
    inputs, gradients = problem(2, 100, 3, 24, 40, dtype)
    expected = solve(inputs, gradients, decays(3), dtype=torch.float64, backend="recurrent")
    got = solve(inputs, gradients, decays(3), backend="chunk")
    assert got["o"].dtype == dtype and got["dk"].dtype == dtype and got["state"].dtype == torch.float32
    for name in NAMES:
        assert relative_error(got[name], expected[name]) < bound, name


def test_long_sequences_stay_accurate_in_float32():
    """65536 tokens in all eight heads of the paper's schedule, against the geometric sum."""
    one = torch.ones(1, 65536, 8, 1)
    log_gamma = torch.log1p(-(2.0 ** (-5.0 - torch.arange(8))))
    last = retention(one, one, one, log_gamma)[0, -1, :, 0].double()
    exact = 2.0 ** (5.0 + torch.arange(8, dtype=torch.float64))
    torch.testing.assert_close(last, exact * (1 - torch.exp(65536 * log_gamma.double())), rtol=2e-5, atol=0)
    assert math.isclose(float(last[0]), 32, rel_tol=1e-5)


def test_repeats_bitwise():
    inputs, gradients = problem(2, 100, 3, 24, 40, torch.float32)
    first = solve(inputs, gradients, decays(3))
    second = solve(inputs, gradients, decays(3))
    assert all(torch.equal(first[name], second[name]) for name in NAMES)
