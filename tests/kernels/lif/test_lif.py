"""The ordinary neuron against snntorch stepped one step at a time: spikes, membranes and every gradient."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from effml.kernels.lif import RESETS, lif
from effml.kernels.spiking import CODES, Surrogate
from tests.triton_aot import CAPABILITIES, check_interpreted, compile_for, interpreted_tests

INTERPRETED = Path(__file__).with_name("interpreted_lif.py")


def stepped(x, state, beta, threshold, reset, spike_grad):
    """(spikes, membrane) and the parameter beta of snntorch's Leaky run step by step."""
    import snntorch

    neuron = snntorch.Leaky(beta, threshold, spike_grad, reset_mechanism=reset, learn_beta=True)
    spikes, membrane = [], state
    for now in x:
        spike, membrane = neuron(now, membrane)
        spikes.append(spike)
    return torch.stack(spikes), membrane, neuron.beta


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("surrogate", ["atan", "fast_sigmoid", "sigmoid"])
def test_equals_snntorch_leaky(reset, surrogate, backend):
    import snntorch

    x, state, weights = torch.randn(9, 5, 7) * 1.5 + 0.3, torch.randn(5, 7), torch.randn(9, 5, 7)
    spike_grad = getattr(snntorch.surrogate, surrogate)(4.0)  # its sigmoid is inf/inf far from 0 at its own slope of 25
    results = []
    for ours in (False, True):
        leaf, start = x.clone().requires_grad_(), state.clone().requires_grad_()
        if ours:
            beta = torch.tensor(0.7, requires_grad=True)
            spikes, last = lif(leaf, start, beta, 0.8, reset, Surrogate(CODES[surrogate], 4.0), backend)
        else:
            spikes, last, beta = stepped(leaf, start, 0.7, 0.8, reset, spike_grad)
        ((spikes * weights).sum() + (last * weights[0]).sum()).backward()
        results.append((spikes.detach(), last.detach(), leaf.grad, start.grad, beta.grad))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])
    assert 0.1 < float(results[0][0].mean()) < 0.9
    for want, got in zip(results[0][2:], results[1][2:], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(RESETS), st.integers(1, 12), st.integers(0, 40), st.integers(0, 2**31))
def test_numba_equals_torch_on_every_shape(reset, steps, n, seed):
    torch.manual_seed(seed)
    x, grad = torch.randn(steps, n, dtype=torch.float64) + 0.3, torch.randn(n, steps, dtype=torch.float64).T
    results = []
    for backend in ("torch", "numba"):
        leaf, beta = x.clone().requires_grad_(), torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
        spikes, last = lif(leaf, None, beta, reset=reset, backend=backend)
        ((spikes * grad).sum() + last.sum()).backward()
        results.append((spikes.detach(), last.detach(), leaf.grad, beta.grad))
    for want, got in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@pytest.fixture
def two_threads():
    """As many as numba needs to take its parallel kernels, whatever the environment says."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_threads_do_not_change_the_result(two_threads):
    x = torch.randn(4, 40_003)
    whole, part = x.clone().requires_grad_(), x[:, 333:777].clone().requires_grad_()
    spikes, _ = lif(whole)
    few, _ = lif(part)
    spikes.sum().backward()
    few.sum().backward()
    assert torch.equal(spikes[:, 333:777], few) and torch.equal(whole.grad[:, 333:777], part.grad)


def test_what_cannot_work_is_refused():
    for call, error, words in [
        (lambda: lif(torch.zeros(0, 3)), ValueError, "no time step"),
        (lambda: lif(torch.zeros(2, 3).half()), TypeError, "autocast"),
        (lambda: lif(torch.zeros(2, 3), torch.zeros(4)), ValueError, "must match a step"),
        (lambda: lif(torch.zeros(2, 3), reset="soft"), ValueError, "none of subtract"),
        (lambda: lif(torch.zeros(2, 3), backend="jax"), ValueError, "none of torch, numba"),
        (lambda: lif(torch.zeros(2, 3), torch.zeros(3, device="meta")), ValueError, "on meta must match a step"),
        (lambda: lif(torch.zeros(2, 3), beta=torch.rand(3)), ValueError, "a number or a scalar tensor"),
        (lambda: lif([1.0]), TypeError, "must be a torch tensor"),
    ]:
        with pytest.raises(error, match=words):
            call()
    x = torch.randn(3, 4, requires_grad=True)
    gradient = torch.autograd.grad(lif(x)[0].square().sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="differentiable once"):
        gradient.sum().backward()


def test_is_a_well_behaved_operator():
    x, v = torch.randn(4, 6, requires_grad=True), torch.randn(6, requires_grad=True)
    args = (x, v, torch.tensor(0.5, requires_grad=True), 1.0, "zero", 0, 2.0, "numba")
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.effml.lif.default, args, test_utils=checks)


@pytest.mark.parametrize("name", interpreted_tests(INTERPRETED))
def test_interpreted(name):
    pytest.importorskip("triton")
    check_interpreted(INTERPRETED, name)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("kernel", ["forward_kernel", "backward_kernel"])
def test_compiles_without_spills(kernel, capability):
    pytest.importorskip("triton")
    from effml.kernels.lif import gpu

    fn = getattr(gpu, kernel)
    constexprs = {"THRESHOLD": 1.0, "RESET": 1, "HAS_STATE": True, "BLOCK": gpu.BLOCK}
    if kernel == "backward_kernel":
        constexprs |= {"SLOPE": 2.0, "SURROGATE": 0, "HAS_GRAD_V": True}
    numbers = ("steps", "n", "segment")
    signature = {name: "i32" if name in numbers else "*fp32" for name in fn.arg_names if name not in constexprs}
    aligned = tuple(name for name in signature if name not in ("steps", "segment"))
    info = compile_for(fn, signature, constexprs, capability, gpu.WARPS, divisible_by_16=aligned, fp_fusion=False)
    assert info.n_spills == 0 and "fma.rn.f32" not in info.ptx and "ld.global.v4" in info.ptx


@pytest.mark.gpu
@pytest.mark.parametrize("reset", RESETS)
def test_device_equals_reference(reset):
    x = torch.randn(11, 3000, device="cuda") + 0.3
    results = []
    for backend in ("torch", "triton"):
        leaf, beta = x.clone().requires_grad_(), torch.tensor(0.6, device="cuda", requires_grad=True)
        spikes, last = lif(leaf, None, beta, reset=reset, backend=backend)
        (spikes * x).sum().backward()
        results.append((spikes.detach(), last.detach(), leaf.grad, beta.grad))
    assert torch.equal(results[0][0], results[1][0])
    for want, got in zip(results[0][1:], results[1][1:], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
