"""Distribution-aware polynomials against quadrature, least squares and the published values."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import norm

from effml.models.gated import dapa, dapa_as_published, residual


def tensors(*values):
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        (0.0, 1.0, (0.1994711, 0.5, 0.1994711)),
        (0.3, 0.7, (0.15077, 0.50991, 0.25996)),
        (-1.0, 2.0, (0.44008, 0.48457, 0.08802)),
    ],
)
def test_known_values(mean, std, expected):
    digits = 7 if mean == 0 else 5
    np.testing.assert_allclose(dapa(*tensors(mean, std)).numpy(), expected, atol=0.6 * 10**-digits)


means, deviations = st.floats(-3, 3), st.floats(0.1, 3)


@given(mean=means, std=deviations, degree=st.integers(0, 2))
def test_is_the_projection(mean, std, degree):
    """The error of the best polynomial is orthogonal to every polynomial of its degree."""
    coefficients = dapa(*tensors(mean, std), degree).numpy()

    def error(t):
        z = mean + std * t
        return (max(z, 0.0) - np.polyval(coefficients[::-1], z)) * norm.pdf(t)

    corner = [-mean / std] if abs(mean / std) < 8 else None
    for power in range(degree + 1):
        value, _ = integrate.quad(lambda t, power=power: error(t) * t**power, -8, 8, points=corner, limit=200)
        assert abs(value) < 1e-7 * max(1, std)


@given(mean=means, std=deviations, degree=st.integers(0, 2))
def test_residual_is_the_mean_square_error(mean, std, degree):
    coefficients = dapa(*tensors(mean, std), degree).numpy()

    def square(t):
        z = mean + std * t
        return (max(z, 0.0) - np.polyval(coefficients[::-1], z)) ** 2 * norm.pdf(t)

    value, _ = integrate.quad(square, -8, 8, points=[-mean / std] if abs(mean / std) < 8 else None, limit=200)
    assert math.isclose(value, residual(*tensors(mean, std), degree), abs_tol=1e-7 * std**2)


def test_residual_of_the_standard_normal():
    assert math.isclose(residual(*tensors(0.0, 1.0), 2), 0.0112676, abs_tol=1e-7)
    assert math.isclose(residual(*tensors(0.0, 1.0), 1), 0.0908451, abs_tol=1e-7)


def test_equals_least_squares_on_samples():
    z = 0.4 + 1.3 * torch.randn(400_000, dtype=torch.float64)
    fit = torch.linalg.lstsq(torch.stack([z**0, z, z**2], 1), z.relu()[:, None]).solution.ravel()
    torch.testing.assert_close(dapa(*tensors(0.4, 1.3)), fit, rtol=0, atol=4e-3)


@given(mean=means, std=deviations, factor=st.floats(0.5, 4))
def test_scaling(mean, std, factor):
    scaled, plain = dapa(*tensors(factor * mean, factor * std)), dapa(*tensors(mean, std))
    torch.testing.assert_close(
        scaled, plain * torch.tensor([factor, 1, 1 / factor], dtype=torch.float64), rtol=1e-9, atol=1e-12
    )


def test_limits_are_identity_and_zero():
    torch.testing.assert_close(dapa(*tensors(40.0, 1.0)), torch.tensor([0.0, 1, 0], dtype=torch.float64))
    torch.testing.assert_close(dapa(*tensors(-40.0, 1.0)), torch.zeros(3, dtype=torch.float64))


def test_no_deviation_gives_finite_coefficients():
    assert dapa(*tensors(0.0, 0.0)).isfinite().all()


def test_published_program_takes_variance_for_deviation():
    mean, variance = tensors(0.3, 0.7**2)
    c0, c1, c2 = dapa_as_published(mean, variance, square_scale=10.0, least_variance=0.0)
    np.testing.assert_allclose([5 * c0, c1, c2], [0.111, 0.527, 0.3375], atol=6e-4)
    c0, _, c2 = dapa_as_published(*tensors(-1.0, 4.0), square_scale=10.0)
    np.testing.assert_allclose([5 * c0, c2], [0.822, 0.0483], atol=6e-4)


def test_published_program_shrinks_to_a_hundredth():
    published, right = dapa_as_published(*tensors(0.0, 1.0)), dapa(*tensors(0.0, 1.0))
    torch.testing.assert_close(published / right, torch.tensor([0.2, 1, 0.01], dtype=torch.float64))


def test_degree_three_is_refused():
    with pytest.raises(ValueError, match="degree 0, 1 or 2, not 3"):
        dapa(*tensors(0.0, 1.0), 3)
