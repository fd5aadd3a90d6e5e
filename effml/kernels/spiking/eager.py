"""The reversible node in eager torch: an autograd function around the reference.

A custom op runs with autograd switched off beneath it, where a surrogate given as a callable could not be differentiated;
and its dispatch costs about as much as two steps of a small layer.
"""

from __future__ import annotations

import torch

from effml.kernels.spiking import reference
from effml.kernels.spiking.operator import refuse_twice, scalar


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
    def backward(ctx, grad_y, grad_u):
        with torch.no_grad():
            found = Eager.gradients(ctx, grad_y, grad_u)
        if torch.is_grad_enabled():  # create_graph=True: a second derivative is refused when asked for
            y = ctx.saved_tensors[0]
            found = [None if gradient is None else _Once.apply(gradient, y, grad_y) for gradient in found]
        return *found, None

    @staticmethod
    def gradients(ctx, grad_y, grad_u) -> list[torch.Tensor | None]:
        """Of x, state, alpha and beta."""
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
        return [g if wanted else None for g, wanted in zip(found, needed, strict=False)]


class _Once(torch.autograd.Function):
    """A gradient as it is, tied to what it was made from."""

    @staticmethod
    def forward(ctx, gradient, *_):
        return gradient.clone()

    backward = staticmethod(refuse_twice)
