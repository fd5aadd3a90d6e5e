"""The Triton programs, interpreted, against the float64 recurrence. bfloat16 is left to a GPU: Triton 3.9 interprets its
products wrongly."""

import pytest
import torch

from effml.kernels.retention import retention
from tests.kernels.retention.cases import NAMES, decays, problem, relative_error, solve

BOUNDS = {torch.float32: 1e-6, torch.float16: 1e-3}
CASES = [
    ((2, 37, 3, 20, 24), 16, None),
    ((1, 70, 2, 48, 80), 32, None),  # more than one tile of V
    ((1, 128, 2, 64, 64), 64, None),
    ((1, 130, 1, 96, 192), 128, None),  # float32 and the backward pass work in 64 rows here
    ((1, 5, 1, 256, 256), 64, None),
    ((1, 60, 2, 20, 24), 16, [0, 5, 5, 42, 60]),
    ((1, 1, 2, 3, 2), 16, None),
    ((2, 0, 2, 4, 4), 16, None),
]


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("shape,chunk,bounds", CASES, ids=str)
def test_matches_reference(shape, chunk, bounds, dtype):
    inputs, gradients = problem(*shape, dtype, bounds=bounds)
    log_gamma = decays(shape[2])
    expected = solve(inputs, gradients, log_gamma, dtype=torch.float64, bounds=bounds, backend="recurrent")
    got = solve(inputs, gradients, log_gamma, bounds=bounds, backend="triton", chunk=chunk)
    for name in NAMES:
        assert relative_error(got[name], expected[name]) < BOUNDS[dtype], name
    if dtype == torch.float32:
        # Terms of order T^2 cancel in it, so its error is measured against them.
        assert relative_error(got["dlog_gamma"], expected["dlog_gamma"]) < 1e-4


def test_strong_decay_stays_finite():
    inputs, gradients = problem(1, 40, 2, 16, 16, torch.float32)
    log_gamma = torch.tensor([-800.0, -30.0], dtype=torch.float64)
    expected = solve(inputs, gradients, log_gamma, dtype=torch.float64, backend="recurrent")
    got = solve(inputs, gradients, log_gamma, backend="triton", chunk=16)
    for name in NAMES:
        assert relative_error(got[name], expected[name]) < 1e-6, name


def test_float16_state_beyond_its_range():
    """The slowest head of the paper's schedule piles up 4096 tokens; the state passes 65504 and must not overflow."""
    q, k = torch.full((1, 400, 1, 16), 0.1).half(), torch.full((1, 400, 1, 16), 8.0).half()
    v = torch.full((1, 400, 1, 16), 60.0).half()
    log_gamma = torch.log1p(torch.tensor([-(2.0**-12)], dtype=torch.float64))
    o, state = retention(q, k, v, log_gamma, scale=1e-3, return_state=True, backend="triton", chunk=64)
    expected = retention(q.double(), k.double(), v.double(), log_gamma, scale=1e-3, backend="parallel")
    assert float(state.max()) > 65504 and relative_error(o, expected) < 2e-3


def test_repeats_bitwise():
    inputs, gradients = problem(1, 50, 2, 20, 24, torch.float32)
    first, second = (solve(inputs, gradients, decays(2), backend="triton", chunk=16) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in NAMES)


@pytest.mark.parametrize("K,V", [(3, 5), (20, 72), (64, 64)])
def test_step_matches_reference(K, V):
    from effml.kernels.retention import gpu

    (q, k, v, state), _ = problem(2, 3, 2, K, V, torch.float32)
    expected, final = retention(
        q.double(),
        k.double(),
        v.double(),
        decays(2),
        initial_state=state.double(),
        return_state=True,
        backend="recurrent",
    )
    for n in range(3):
        o = torch.empty(2, 2, V)
        gpu.step(state, q[:, n].contiguous(), k[:, n].contiguous(), v[:, n].contiguous(), decays(2), K**-0.5, o)
        assert relative_error(o, expected[:, n]) < 1e-6
    assert relative_error(state, final) < 1e-6
