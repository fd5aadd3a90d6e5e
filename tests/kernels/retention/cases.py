"""Random retention problems and their float64 answer, shared by the tests of every back end."""

from __future__ import annotations

import torch

from effml.kernels.retention import retention

NAMES = ("o", "state", "dq", "dk", "dv", "dstate")


def decays(heads: int, first: int = 1) -> torch.Tensor:
    """log gamma, float64, from a strong decay (gamma = 1 - 2^-first) to hardly any."""
    return torch.log1p(-(2.0 ** (-first - 2 * torch.arange(heads, dtype=torch.float64))))


def problem(B, T, H, K, V, dtype=torch.float64, bounds=None):
    """Inputs `(q, k, v, state)` in `dtype` (state at least float32) and the gradients of both outputs."""
    sequences = B if bounds is None else len(bounds) - 1
    wide = torch.promote_types(dtype, torch.float32)
    q, k, v = torch.randn(B, T, H, K), torch.randn(B, T, H, K), torch.randn(B, T, H, V)
    state, grad_state = torch.randn(sequences, H, K, V), torch.randn(sequences, H, K, V)
    inputs = q.to(dtype), k.to(dtype), v.to(dtype), state.to(wide)
    return inputs, (torch.randn(B, T, H, V).to(dtype), grad_state.to(wide))


def solve(inputs, gradients, log_gamma, *, dtype=None, bounds=None, **options):
    """Outputs and gradients by the names of `NAMES`, and `dlog_gamma`; `dtype` converts the problem first."""
    q, k, v, state = (x if dtype is None else x.to(dtype) for x in inputs)
    leaves = [x.detach().clone().requires_grad_() for x in (q, k, v, state, log_gamma)]
    cu_seqlens = None if bounds is None else torch.tensor(bounds)
    q, k, v, state, log_gamma = leaves
    o, final = retention(q, k, v, log_gamma, initial_state=state, return_state=True, cu_seqlens=cu_seqlens, **options)
    gradients = [g.to(x.dtype) for g, x in zip(gradients, (o, final), strict=True)]
    # Without a token the recurrence touches neither operand, and that gradient is zero.
    grads = torch.autograd.grad([o, final], leaves, gradients, materialize_grads=True)
    answer = dict(zip((*NAMES, "dlog_gamma"), (o, final, *grads), strict=True))
    return {name: x.detach() for name, x in answer.items()}


def relative_error(x: torch.Tensor, reference: torch.Tensor) -> float:
    if reference.numel() == 0:
        assert x.shape == reference.shape
        return 0.0
    assert torch.isfinite(x).all()
    return float((x.double() - reference).abs().max() / reference.abs().max().clamp(min=1e-12))
