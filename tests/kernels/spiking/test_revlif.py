"""The reversible node: gradients against autograd of its equations, exact recovery, what it keeps, what it refuses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from effml.kernels.spiking import CODES, MODES, Rule, Surrogate, pack_bits, reference, revlif, surrogate_of, unpack_bits
from tests.kernels.spiking.oracle import node

HOST = ("torch", "numba")


def drawn(*shape, dtype=torch.float64):
    """Inputs under which about a third of the neurons fire."""
    return torch.randn(*shape, dtype=dtype) * 1.5 + 0.3


def gradients(run, x, v, alpha, beta, weights):
    leaves = [None if value is None else value.clone().requires_grad_() for value in (x, v, alpha, beta)]
    y, u = run(*leaves)
    ((y * weights).sum() + (u * weights[0]).sum()).backward()
    return y.detach(), u.detach(), *(leaf.grad for leaf in leaves if leaf is not None)


def relative(actual, expected):
    return float((actual - expected).norm() / expected.norm())


def both_ways(rule, x, v, backend, alpha=0.5, beta=1.0):
    alpha, beta = (torch.tensor(c, dtype=x.dtype) for c in (alpha, beta))
    weights = torch.randn_like(x)
    expected = gradients(lambda *leaves: node(*leaves, rule), x, v, alpha, beta, weights)
    actual = gradients(lambda *leaves: revlif(*leaves, rule, split_dim=2, backend=backend), x, v, alpha, beta, weights)
    return actual, expected


@pytest.mark.parametrize("backend", HOST)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("with_state", [True, False])
def test_gradient_equals_autograd_of_the_same_equations(mode, backend, with_state):
    x = drawn(8, 3, 2, 12)
    v = torch.randn(3, 2, 12, dtype=torch.float64) if with_state else None
    actual, expected = both_ways(Rule(mode=mode, anchor_every=3), x, v, backend)
    assert torch.equal(actual[0], expected[0]) and torch.equal(actual[1], expected[1]), "forward differs by a bit"
    for got, want in zip(actual[2:], expected[2:], strict=True):
        assert float((got - want).abs().max() / want.abs().max()) < 1e-9


@pytest.mark.parametrize("backend", HOST)
@pytest.mark.parametrize("mode", ["paper", "bits"])
@pytest.mark.parametrize("name", CODES)
def test_gradient_with_every_surrogate_and_reset(name, mode, backend):
    x = drawn(6, 2, 2, 7)
    # Taking a step back in `paper` multiplies an error by up to (1 + (1-k)(1 + (1-k)) / alpha) / alpha, here 15.7: 3e-9 in 6.
    bound = 1e-6 if mode == "paper" else 1e-9
    for detach in (False, True):
        rule = Rule(3.0, 0.7, surrogate_of(name), detach, mode)
        actual, expected = both_ways(rule, x, None, backend, alpha=0.3, beta=0.6)
        for got, want in zip(actual[2:], expected[2:], strict=True):
            assert relative(got, want) < bound


@pytest.mark.parametrize("backend", HOST)
def test_derivative_is_that_of_the_function_where_it_has_one(backend):
    """With a surrogate that is 0 off the threshold, finite differences see the same piecewise linear function."""
    rule = Rule(surrogate=Surrogate(CODES["fast_sigmoid"], 1e12))
    x = drawn(5, 2, 2, 3).requires_grad_()
    v = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    couplings = [torch.tensor(c, dtype=torch.float64, requires_grad=True) for c in (0.4, 0.7)]
    run = lambda *leaves: revlif(*leaves, rule, split_dim=2, backend=backend)  # noqa: E731
    assert torch.autograd.gradcheck(run, (x, v, *couplings), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("backend", HOST)
def test_bits_hold_in_float32_over_128_steps_where_paper_does_not(backend):
    x = drawn(128, 8, 2, 64, dtype=torch.float32)
    (_, _, of_x, *_), (_, _, expected, *_) = both_ways(Rule(mode="bits"), x, None, backend)
    assert relative(of_x, expected) < 1e-6
    (_, _, of_x, *_), (_, _, expected, *_) = both_ways(Rule(mode="paper"), x, None, backend)
    assert relative(of_x, expected) > 1e-2, "dividing by alpha 128 times must have lost the early steps"


@pytest.mark.parametrize("backend", HOST)
@pytest.mark.parametrize("tau", [1.5, 2.0])
def test_exact_recovers_start_and_input_bit_by_bit_over_1024_steps(backend, tau):
    steps, rule = 1024, Rule(tau=tau, mode="exact")
    x, v = drawn(steps, 2, 2, 16, dtype=torch.float32), drawn(2, 2, 16, dtype=torch.float32)
    alpha, beta = torch.tensor(0.5), torch.tensor(0.25)
    y, u, bits, anchors, _ = implementation(backend).forward(x, v, alpha, beta, rule)
    recovered = dict(reference.recovered_steps(y, u, None, bits, anchors, alpha, beta, rule))
    nearest = lambda value: torch.floor(value * 65536 + 0.5) / 65536  # noqa: E731
    assert all(torch.equal(recovered[t].x1, nearest(x[t, :, 0])) for t in range(steps))
    assert all(torch.equal(recovered[t].x2, nearest(x[t, :, 1])) for t in range(steps))
    assert torch.equal(recovered[0].v1, nearest(v[:, 0])) and torch.equal(recovered[0].v2, nearest(v[:, 1]))


def implementation(backend):
    from effml.kernels.spiking import cpu

    return {"torch": reference, "numba": cpu}[backend]


def test_exact_refuses_what_the_grid_cannot_hold():
    with pytest.raises(ValueError, match="scale the input down"):
        revlif(torch.full((3, 2, 4), 200.0), rule=Rule(mode="exact"))
    y, _ = revlif(torch.full((3, 2, 4), 200.0, dtype=torch.float64), rule=Rule(mode="exact"))
    assert float(y.max()) == 201, "float64 has room"


@pytest.mark.parametrize("mode", MODES)
def test_input_comes_back_within_an_ulp_over_beta(mode):
    rule, beta = Rule(mode=mode, anchor_every=4), torch.tensor(0.5)
    x = (drawn(8, 4, 2, 32, dtype=torch.float32) * 65536).round() / 65536
    y, u, bits, anchors, _ = reference.forward(x, None, torch.tensor(0.5), beta, rule)
    for t, back in reference.recovered_steps(y, u, None, bits, anchors, torch.tensor(0.5), beta, rule):
        for got, want, out in zip((back.x2, back.x1), x[t].unbind(1)[::-1], y[t].unbind(1), strict=True):
            ulp = torch.nextafter(out.abs() + 1, out.new_tensor(torch.inf)) - out.abs() - 1
            assert bool(((got - want).abs() <= ulp / beta).all())


@pytest.mark.parametrize("backend", HOST)
def test_group_one_is_an_ordinary_neuron_without_coupling(backend):
    """alpha = 0 and X2 = 0: group 1 is one hard-reset LIF, and group 2 another, fed by its spikes."""
    x = torch.stack((drawn(20, 5, 9), torch.zeros(20, 5, 9, dtype=torch.float64)), 2)
    y, u = revlif(x, alpha=0.0, beta=1.0, split_dim=2, backend=backend)
    v1 = v2 = torch.zeros(5, 9, dtype=torch.float64)
    for t in range(20):
        m1 = (v1 + x[t, :, 0]) / 2
        m2 = ((m1 * (m1 < 1)) + (m1 >= 1)) / 2
        assert torch.equal(y[t, :, 0], (m1 >= 1).double())
        assert torch.equal(y[t, :, 1] - x[t, :, 0] >= 0.5, m2 >= 1)
        v1, v2 = m1 * (m1 < 1), m2 * (m2 < 1)
    assert torch.allclose(u, torch.stack((v1, v2), 1), atol=1e-15)


@pytest.mark.parametrize("backend", HOST)
@pytest.mark.parametrize("mode", MODES)
def test_two_calls_with_carried_state_equal_one(mode, backend):
    rule = Rule(mode=mode, anchor_every=2)
    x, weights = drawn(7, 3, 8), drawn(7, 3, 8)
    run = lambda x, v: revlif(x, v, 0.5, 1.0, rule, backend=backend)  # noqa: E731
    whole, parts = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, u = run(whole, None)
    first, carried = run(parts[:3], None)
    second, last = run(parts[3:], carried)
    joined = torch.cat((first, second))
    assert torch.equal(joined, y) and torch.equal(last, u)
    ((y * weights).sum() + u.sum()).backward()
    ((joined * weights).sum() + last.sum()).backward()
    torch.testing.assert_close(parts.grad, whole.grad, rtol=1e-11, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(MODES), st.integers(1, 9), st.integers(0, 4), st.integers(1, 5), st.integers(0, 9),
    st.integers(1, 4), st.integers(0, 2**31),
)  # fmt: skip
def test_numba_equals_torch_on_every_shape(mode, steps, batch, pairs, width, anchor_every, seed):
    torch.manual_seed(seed)
    rule = Rule(mode=mode, anchor_every=anchor_every)
    x = drawn(steps, batch, 2 * pairs, width, dtype=torch.float32)
    grad = torch.randn(steps, width, 2 * pairs, batch).permute(0, 3, 2, 1)  # not contiguous
    results = []
    for backend in HOST:
        leaf = x.clone().requires_grad_()
        y, u = revlif(leaf, None, 0.5, 1.0, rule, split_dim=2, backend=backend)
        y.backward(grad)
        results.append((y.detach(), u.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])
    torch.testing.assert_close(results[1][2], results[0][2], rtol=1e-5, atol=1e-6)


@pytest.fixture
def two_threads():
    """As many as numba needs to take its parallel kernels, whatever the environment says."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("backend", HOST)
def test_threads_do_not_change_the_result(backend, two_threads):
    """Enough neurons that the parallel kernels run, in rows that blocks cross."""
    x = drawn(4, 90, 254, dtype=torch.float32)
    rule, leaf, alone = Rule(), x.clone().requires_grad_(), x[:, 7:9].clone().requires_grad_()
    y, _ = revlif(leaf, rule=rule, backend=backend)
    few, _ = revlif(alone, rule=rule, backend=backend)
    y.sum().backward()
    few.sum().backward()
    assert torch.equal(y[:, 7:9], few) and torch.equal(leaf.grad[:, 7:9], alone.grad)


def test_a_callable_surrogate_is_differentiated_by_autograd():
    import snntorch

    x = drawn(6, 2, 8, dtype=torch.float32)
    grads = []
    # A lambda around snntorch's function hides what it is, so that its derivative is found by autograd.
    for surrogate in (snntorch.surrogate.fast_sigmoid(9), lambda m: snntorch.surrogate.fast_sigmoid(9)(m)):
        leaf = x.clone().requires_grad_()
        revlif(leaf, rule=Rule(surrogate=surrogate_of(surrogate)))[0].square().sum().backward()
        grads.append(leaf.grad)
    assert surrogate_of(snntorch.surrogate.fast_sigmoid(9)) == Surrogate(CODES["fast_sigmoid"], 9.0)
    torch.testing.assert_close(grads[0], grads[1])


def test_what_cannot_work_is_refused():
    ok = torch.zeros(3, 2, 4)
    for call, error, words in [
        (lambda: revlif(torch.zeros(3, 2, 5)), ValueError, "even number"),
        (lambda: revlif(torch.zeros(0, 2, 4)), ValueError, "no time step"),
        (lambda: revlif(ok.bfloat16()), TypeError, "autocast"),
        (lambda: revlif(ok, torch.zeros(2, 6)), ValueError, "must match one step"),
        (lambda: revlif(ok, alpha=0.0, rule=Rule(mode="paper")), ValueError, "mode bits allows it"),
        (lambda: revlif(ok, beta=0.0), ValueError, "beta must not be 0"),
        (lambda: revlif(ok, alpha=0.25, rule=Rule(mode="exact")), ValueError, "alpha must be 0.5"),
        (lambda: revlif(ok, beta=0.3, rule=Rule(mode="exact")), ValueError, "power of two"),
        (lambda: revlif(ok, backend="cuda"), ValueError, "none of torch, numba, triton"),
        (lambda: revlif(ok, split_dim=9), ValueError, "split at 9"),
        (lambda: revlif([1.0]), TypeError, "must be a torch tensor"),
        (lambda: Rule(tau=0.5), ValueError, "at least 1"),
        (lambda: Rule(mode="bit"), ValueError, "none of paper, bits"),
        (lambda: surrogate_of("arctan"), ValueError, "none of atan"),
    ]:
        with pytest.raises(error, match=words):
            call()


def test_writing_to_the_output_is_caught():
    for mode in MODES:
        y, _ = revlif(drawn(3, 2, 4).requires_grad_(), rule=Rule(mode=mode))
        with torch.no_grad():
            y.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_backward_again_gives_the_same_and_twice_is_refused():
    x = drawn(5, 2, 4).requires_grad_()
    y, _ = revlif(x)
    first = torch.autograd.grad(y.square().sum(), x, retain_graph=True)[0]
    again = torch.autograd.grad(y.square().sum(), x, create_graph=True)[0]
    assert torch.equal(first, again)
    with pytest.raises(RuntimeError, match="differentiable once"):
        again.sum().backward()


def test_under_autocast_a_half_precision_input_is_refused_and_float_works():
    x = torch.randn(3, 2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        current = x @ torch.randn(4, 4)
        with pytest.raises(TypeError, match=r"\.float\(\)"):
            revlif(current)
        assert revlif(current.float())[0].dtype == torch.float32


@pytest.mark.parametrize("mode", MODES)
def test_is_a_well_behaved_operator(mode):
    x, v = drawn(4, 3, 2, 5).requires_grad_(), torch.randn(3, 2, 5, dtype=torch.float64, requires_grad=True)
    couplings = [torch.tensor(c, dtype=torch.float64, requires_grad=True) for c in (0.5, 1.0)]
    args = (x, v, *couplings, [0.0, 0.0], 2.0, 1.0, 0, 2.0, False, mode, 2, "numba")
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.effml.revlif.default, args, test_utils=checks)


def test_compiles_into_one_graph():
    layer = torch.nn.Linear(8, 8)
    run = lambda x: revlif(layer(x), alpha=0.4)[0].square().sum()  # noqa: E731
    x = torch.randn(4, 3, 8)
    grads = []
    for call in (run, torch.compile(run, fullgraph=True, backend="aot_eager")):
        grads.append(torch.autograd.grad(call(x), layer.weight)[0])
    torch.testing.assert_close(grads[0], grads[1])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=2), st.integers(0, 40), st.integers(0, 2**31))
def test_bits_come_back(rows, n, seed):
    spikes = torch.rand(*rows, n, generator=torch.Generator().manual_seed(seed)) < 0.3
    packed = pack_bits(spikes)
    assert packed.shape == (*rows, (n + 7) // 8)
    assert torch.equal(unpack_bits(packed, n), spikes)
    assert torch.equal(pack_bits(spikes.float()), packed)
