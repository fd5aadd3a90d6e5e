"""RevLIF as a layer: snntorch's conventions, learnt couplings, warnings, and the bound behind them."""

import copy
import math
import warnings

import pytest
import torch
from torch import nn

from effml.models.spiking.revlif import RevLIF, reset_states
from effml.models.spiking.stability import eigenvalues, is_stable, max_safe_steps


def drawn(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype) * 1.5 + 0.3


def stepped(neuron, x, state=None):
    outputs = []
    for now in x:
        y, state = neuron(now, state)
        outputs.append(y)
    return torch.stack(outputs), state


@pytest.mark.parametrize("mode", ["bits", "paper", "exact"])
def test_single_steps_equal_multi_step_with_gradients(mode):
    x, weights = drawn(6, 2, 4, 3), drawn(6, 2, 4, 3)
    results = []
    for multi_step in (False, True):
        leaf, start = x.clone().requires_grad_(), torch.full((2, 4, 3), 0.25, dtype=torch.float64, requires_grad=True)
        neuron = RevLIF(mode=mode, multi_step=multi_step, learn_alpha=mode != "exact")
        y, last = neuron(leaf, start) if multi_step else stepped(neuron, leaf, start)
        ((y * weights).sum() + last.sum()).backward()
        learnt = [neuron.alpha.grad] if mode != "exact" else []
        results.append((y.detach(), last.detach(), leaf.grad, start.grad, *learnt))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])
    for one, other in zip(results[0][2:4], results[1][2:4], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(results[0][4:], results[1][4:], rtol=1e-5, atol=1e-6)


def test_hidden_state_lives_on_the_module():
    x = drawn(5, 2, 4, dtype=torch.float32)
    neuron, explicit = RevLIF(init_hidden=True), RevLIF()
    outputs = [neuron(now) for now in x]
    expected, last = stepped(explicit, x)
    assert torch.equal(torch.stack(outputs), expected) and torch.equal(neuron.mem, last)
    with pytest.raises(TypeError, match="do not pass one"):
        neuron(x[0], last)
    assert torch.equal(neuron(x[0, :1]), stepped(explicit, x[:1, :1])[0][0]), "another batch size starts anew"
    reset_states(nn.Sequential(nn.Identity(), nn.ModuleList([neuron])))
    assert torch.equal(neuron(x[0]), expected[0]), "the state was not forgotten"
    y, mem = RevLIF(init_hidden=True, output=True)(x[0])
    assert y.shape == mem.shape == x[0].shape
    assert not list(neuron.state_dict()) or "mem" not in neuron.state_dict()


def test_state_carries_its_gradient_until_detached():
    x = drawn(2, 3, 4).requires_grad_()
    neuron = RevLIF(init_hidden=True)
    neuron(x[0])
    neuron(x[1]).sum().backward()
    assert float(x.grad[0].abs().sum()) > 0
    x.grad = None
    reset_states(neuron)
    neuron(x[0])
    neuron.detach_mem()
    neuron(x[1]).sum().backward()
    assert float(x.grad[0].abs().sum()) == 0 < float(x.grad[1].abs().sum())


def test_couplings_are_learnt():
    torch.manual_seed(5)
    neuron = RevLIF(alpha=0.3, beta=0.8, learn_alpha=True, learn_beta=True, multi_step=True)
    x, target = drawn(8, 16, 6, dtype=torch.float32), RevLIF(alpha=0.45, beta=0.5, multi_step=True)
    optimizer = torch.optim.Adam(neuron.parameters(), 0.02)
    with torch.no_grad():
        wanted = target(x)[0]
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (neuron(x)[0] - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]
    assert abs(float(neuron.beta.detach()) - 0.5) < 0.1
    assert copy.deepcopy(neuron).state_dict().keys() == {"alpha", "beta"}


def test_channels_can_lie_on_another_axis():
    x = drawn(3, 2, 5, 4)  # T, batch, odd, even
    y, _ = RevLIF(multi_step=True, split_dim=-1)(x)
    swapped, _ = RevLIF(multi_step=True)(x.transpose(2, 3))
    assert torch.equal(y, swapped.transpose(2, 3))
    with pytest.raises(ValueError, match="even number"):
        RevLIF(multi_step=True)(x)


def test_alpha_above_one_over_tau_is_warned_of_with_the_rule():
    with pytest.warns(UserWarning, match=r"above 1/tau = 0\.5"):
        RevLIF(tau=2.0, alpha=0.8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RevLIF(tau=2.0, alpha=0.5)


@pytest.mark.parametrize(("alpha", "tau"), [(0.5, 2.0), (0.3, 2.0), (0.6, 2.0), (1.0, 2.0), (0.25, 4.0), (0.4, 4.0)])
def test_state_is_bounded_exactly_below_one_over_tau(alpha, tau):
    """Without input nothing fires from below, and the state follows its matrix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        neuron = RevLIF(tau=tau, alpha=alpha, multi_step=True)
    start = -torch.rand(4, 6, dtype=torch.float64)
    _, last = neuron(torch.zeros(200, 4, 6, dtype=torch.float64), start)
    assert (float(last.abs().max()) <= 10) == is_stable(alpha, tau)
    k = 1 / tau
    matrix = torch.tensor([[1 - k, alpha], [(1 - k) ** 2 + alpha, alpha * (1 - k)]], dtype=torch.float64)
    moduli = torch.linalg.eigvals(matrix).abs().sort(descending=True).values
    torch.testing.assert_close(moduli, torch.tensor(eigenvalues(alpha, tau), dtype=torch.float64))


def gradient_error(steps, alpha, tau, dtype):
    """Relative error of the gradient that mode paper recovers."""
    x, weights = drawn(steps, 16, 256, dtype=torch.float64).to(dtype), torch.randn(steps, 16, 256, dtype=dtype)
    gradients = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mode in ("bits", "paper"):
            leaf = x.clone().requires_grad_()
            y, _ = RevLIF(tau=tau, alpha=alpha, mode=mode, multi_step=True)(leaf)
            (y * weights).sum().backward()
            gradients.append(leaf.grad)
    return float((gradients[1] - gradients[0]).norm() / gradients[0].norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("alpha", "tau"), [(0.5, 2.0), (0.25, 2.0), (0.5, 1.2), (0.25, 4.0), (1.0, 2.0)])
def test_gradient_is_right_within_the_safe_length_and_wrong_well_beyond(alpha, tau, dtype):
    safe = max_safe_steps(alpha, tau, dtype)
    assert gradient_error(safe, alpha, tau, dtype) < 1e-2
    # Rounding may be kind to one drawn input for a while; over several draws, three times the bound must show.
    errors = [gradient_error(3 * safe, alpha, tau, dtype) for _ in range(5)]
    assert not max(errors) < 2e-2, "a bound far too careful"


def test_the_bound_of_the_usual_node():
    assert max_safe_steps(0.5, 2.0, torch.float32) == 10 and max_safe_steps(0.5, 2.0, torch.float64) == 24
    assert max_safe_steps(1.0, 1.0) == math.inf and max_safe_steps(0.0, 2.0) == 0
    assert gradient_error(64, 0.9, 1.0, torch.float32) < 1e-5, "with tau = 1 the membrane forgets its state at once"


def test_too_many_steps_for_the_mode_are_warned_of_with_the_bound():
    x = drawn(32, 2, 4, dtype=torch.float32)
    with pytest.warns(UserWarning, match=r"inverts 32 steps.*about 10 come back right"):
        RevLIF(mode="paper", multi_step=True)(x)
    with pytest.warns(UserWarning, match="inverts 16 steps"):
        RevLIF(mode="anchor", anchor_every=16, multi_step=True)(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RevLIF(mode="paper", multi_step=True)(x[:10])
        RevLIF(mode="anchor", anchor_every=8, multi_step=True)(x)
        RevLIF(mode="bits", multi_step=True)(x)
        RevLIF(mode="exact", multi_step=True)(x)
        RevLIF(mode="paper", tau=1.0, multi_step=True)(x)
