"""The reversible node for a surrogate given as a callable: plain autograd around the torch reference.

A custom op runs with autograd switched off beneath it, where such a callable could not be differentiated.
"""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from effml.kernels.spiking import reference


class Eager(torch.autograd.Function):
    """(x [T, rows, 2, half], state, alpha, beta, rule) -> y, u."""

    @staticmethod
    def forward(ctx, x, state, alpha, beta, rule):
        y, u, bits, anchors, largest = reference.forward(x, state, alpha, beta, rule)
        rule.check_range(y, largest, beta)
        ctx.rule = rule
        inverts = rule.mode != "bits"
        ctx.save_for_backward(y, u if inverts else None, None if inverts else state, bits, anchors, alpha, beta)
        return y, u

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y, grad_u):
        y, u, state, bits, anchors, alpha, beta = ctx.saved_tensors
        of_x, of_state, (of_alpha, of_beta) = reference.backward(
            y, u, state, bits, anchors, grad_y, grad_u, alpha, beta, ctx.rule
        )
        found = (of_x, of_state, of_alpha, of_beta)
        return *(g if needed else None for g, needed in zip(found, ctx.needs_input_grad, strict=False)), None
