"""One gated site: counting, gradients, metering, calibration."""

import pytest
import torch
from torch.nn import functional as F

from effml.models.gated import FixedGate, GatedActivation, HysteresisGate, Meter, Polynomial, dapa
from effml.models.gated.dapa import WIDE


def test_starts_as_relu_bit_for_bit():
    z = torch.randn(3, 4, 5, 5)
    assert torch.equal(GatedActivation((4, 5, 5))(z), z.relu())


@pytest.mark.parametrize(("gates", "multiplicity"), [("pixel", 1), ("channel", 25), ("node", 20), ("layer", 100)])
def test_kept_counts_scalar_sites(gates, multiplicity):
    activation = GatedActivation((4, 5, 5), gates)
    assert (activation.size, activation.kept, activation.sites_per_gate) == (100, 100, multiplicity)
    state = activation.gate.state.clone()
    state.view(-1)[0] = False
    activation.gate = FixedGate(state)
    assert activation.kept == 100 - multiplicity


def test_gradient_of_gate_weights_is_the_closed_form():
    activation = GatedActivation((4, 5, 5))
    activation.polynomial.set(torch.randn(3, 4, 1, 1))
    activation.gate = HysteresisGate((4, 5, 5), low=-1, high=1)
    z, grad = torch.randn(6, 4, 5, 5), torch.randn(6, 4, 5, 5)
    activation(z).backward(grad)
    c0, c1, c2 = activation.polynomial().detach()
    difference = z.relu() - (c0 + c1 * z + c2 * z**2)
    weight = activation.gate.weight
    expected = F.softplus(weight.detach()) * (grad * difference).sum(0)
    torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-5)
    assert 0 < activation.kept < 100, "both states should have been met"


def test_closed_linear_gates_make_an_affine_map():
    activation = GatedActivation((4, 5, 5), degree=1).double()
    activation.polynomial.set(torch.randn(2, 4, 1, 1))
    activation.gate = FixedGate(torch.zeros(4, 5, 5))
    a, b = torch.randn(2, 3, 4, 5, 5, dtype=torch.float64)
    f = activation
    torch.testing.assert_close(f(2 * a - 3 * b), 2 * f(a) - 3 * f(b) + 2 * f(0 * a), rtol=1e-12, atol=1e-12)


def test_meter_does_not_depend_on_batching():
    z = 3 + torch.randn(60, 4, 5, 6)
    whole, parts = Meter((4, 1, 1)), Meter((4, 1, 1))
    whole.observe(z)
    for part in z.split([1, 20, 39]):
        parts.observe(part)
    torch.testing.assert_close(parts.mean.ravel(), z.double().mean((0, 2, 3)), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(parts.std.ravel(), z.double().std((0, 2, 3), correction=0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(parts.variance, whole.variance, rtol=1e-6, atol=1e-6)
    assert parts.largest.ravel().tolist() == z.abs().amax((0, 2, 3)).tolist()


@pytest.mark.parametrize("variant, times", [("exact", 1), ("wide", WIDE)])
@pytest.mark.parametrize("degree", [1, 2])
def test_calibration_sets_the_optimal_polynomial(degree, variant, times):
    activation = GatedActivation((4, 5, 5), degree=degree)
    activation.metering = True
    z = torch.tensor([0.3, -1, 0, 2]).view(4, 1, 1) + torch.tensor([0.7, 2, 1, 0.5]).view(4, 1, 1) * torch.randn(
        50, 4, 5, 5
    )
    activation(z)
    activation.calibrate(variant)
    expected = dapa(z.mean((0, 2, 3)), times * z.std((0, 2, 3), correction=0), degree)
    torch.testing.assert_close(activation.polynomial().detach().flatten(1), expected, rtol=1e-4, atol=1e-5)


def test_calibration_needs_data():
    with pytest.raises(ValueError, match="metering = True"):
        GatedActivation((4, 5, 5)).calibrate()
    with pytest.raises(ValueError, match="exact, wide, authors or identity"):
        activation = GatedActivation((4, 5, 5))
        activation.meter.observe(torch.randn(2, 4, 5, 5))
        activation.calibrate("nearly")


def test_identity_calibration_needs_none():
    activation = GatedActivation((2, 3, 3))
    activation.gate = FixedGate(torch.zeros(2, 3, 3))
    activation.calibrate("identity")
    z = torch.randn(2, 2, 3, 3)
    assert torch.equal(activation(z), z)


def test_polynomial_limit_and_scale():
    polynomial = Polynomial((3,), square_scale=0.01, limit=2.0, constant=False)
    polynomial.set(torch.tensor([[0.0] * 3, [5.0] * 3, [0.5] * 3]))
    assert polynomial().tolist() == [[0.0] * 3, [2.0] * 3, pytest.approx([0.02] * 3)]
    assert not polynomial.c0.requires_grad
