"""The reversible node in eager torch: an autograd function around the reference.

A custom op runs with autograd switched off beneath it, where a surrogate given as a callable could not be differentiated;
and its dispatch costs about as much as two steps of a small layer.
"""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from effml.kernels.spiking import reference
from effml.kernels.spiking.operator import scalar


class Eager(torch.autograd.Function):
    """(x [T, rows, 2, half], state, alpha, beta, rule) -> y, u. Of couplings that are numbers nothing is kept."""

    @staticmethod
    def forward(ctx, x, state, alpha, beta, rule):
        known = scalar(alpha, x), scalar(beta, x)
        y, u, bits, anchors, largest = reference.forward(x, state, *known, rule)
        rule.check_range(y, largest, known[1])
        ctx.rule, ctx.numbers = rule, (alpha, beta)
        learnt = [coupling if isinstance(coupling, torch.Tensor) else None for coupling in (alpha, beta)]
        inverts = rule.mode != "bits"
        ctx.save_for_backward(y, u if inverts else None, None if inverts else state, bits, anchors, *learnt)
        return y, u

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y, grad_u):
        y, u, state, bits, anchors, *learnt = ctx.saved_tensors
        needed = ctx.needs_input_grad
        pairs = zip(learnt, ctx.numbers, strict=True)
        alpha, beta = (scalar(number if tensor is None else tensor, y) for tensor, number in pairs)
        of_x, of_state, of_couplings = reference.backward(
            y, u, state, bits, anchors, grad_y, grad_u, alpha, beta, ctx.rule, needed[2] or needed[3]
        )
        found: list[torch.Tensor | None] = [of_x, of_state]
        for tensor, gradient in zip(learnt, of_couplings, strict=True):
            found.append(None if tensor is None else gradient.to(tensor.device, tensor.dtype))
        return *(g if wanted else None for g, wanted in zip(found, needed, strict=False)), None
