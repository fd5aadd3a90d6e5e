"""Gates: the hysteresis trace, its invariants, and the straight-through gradient."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from effml.models.gated import HysteresisGate, SoftGate, hysteresis, straight_through


def trace(weights, threshold, state=True):
    state = torch.tensor(state)
    states = []
    for weight in weights:
        state = hysteresis(state, torch.tensor(weight), threshold)
        states.append(int(state))
    return states


def test_trace_of_one_site():
    assert trace([0.1, -0.002, -0.004, 0.002, 0.004], 0.003) == [1, 1, 0, 0, 1]


def test_edges_belong_to_the_closed_side():
    assert trace([-0.25], 0.25, state=True) == [0]
    assert trace([0.25], 0.25, state=False) == [0]


def test_small_oscillation_flips_only_without_a_dead_band():
    swing = [(-1) ** step * 0.0015 for step in range(1, 11)]
    count = lambda states: sum(a != b for a, b in pairwise([1, *states]))  # noqa: E731
    assert count(trace(swing, 0.003)) == 0
    assert count(trace(swing, 0.0)) == 10


def test_update_is_idempotent():
    gate = HysteresisGate((4, 5), threshold=0.3, low=-1, high=1)
    gate.state.copy_(torch.rand(4, 5) < 0.5)
    gate.update()
    once, flips = gate.state.clone(), int(gate.flips)
    gate.update()
    assert torch.equal(gate.state, once) and int(gate.flips) == flips > 0


def test_evaluation_never_changes_the_state():
    gate = HysteresisGate((10,), low=-1, high=-0.5).eval()
    assert gate().sum() == 10
    assert gate.train()().sum() == 0


def test_gradient_is_softplus_times_gradient_for_both_states():
    weight = torch.randn(6, 7, requires_grad=True)
    state, grad = torch.rand(6, 7) < 0.5, torch.randn(6, 7)
    value = straight_through(weight, state)
    assert torch.equal(value, state.float())
    value.backward(grad)
    assert torch.equal(weight.grad, F.softplus(weight.detach()) * grad)


def test_softplus_curve_of_the_paper():
    weight = torch.tensor([-2.0, 0.0, 2.0], requires_grad=True)
    straight_through(weight, weight > 0).sum().backward()
    torch.testing.assert_close(weight.grad, torch.tensor([0.1269, 0.6931, 2.1269]), rtol=0, atol=1e-4)


def test_flips_fall_as_the_dead_band_widens(seed):
    generator = torch.Generator().manual_seed(seed)
    steps = 0.004 * torch.randn(200, 50, generator=generator)
    flips = []
    for threshold in (0.0, 0.001, 0.003, 0.01, 0.03):
        gate = HysteresisGate((50,), threshold, 0.0, 0.01, generator=torch.Generator().manual_seed(seed))
        for step in steps:
            with torch.no_grad():
                gate.weight += step
            gate.update()
        flips.append(int(gate.flips))
    assert flips == sorted(flips, reverse=True) and flips[0] > 2 * flips[-1]


def test_weights_stay_within_their_limit():
    gate = HysteresisGate((3,), limit=3.0)
    with torch.no_grad():
        gate.weight.copy_(torch.tensor([-10.0, 0.5, 10.0]))
    gate.train()()
    assert gate.weight.tolist() == [-3.0, 0.5, 3.0]


@pytest.mark.parametrize(("start", "end"), [(1.5, 1.0), (-0.5, 0.0), (0.25, 0.25)])
def test_soft_gate_is_projected_and_keeps_its_gradient(start, end):
    gate = SoftGate((2,))
    with torch.no_grad():
        gate.weight.fill_(start)
    gate.train()().sum().backward()
    assert gate.weight.tolist() == [end] * 2 and gate.weight.grad.tolist() == [1.0, 1.0]
