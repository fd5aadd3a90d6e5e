"""The node's equations written out for autograd, with nothing clever: what every gradient is compared with."""

import torch

GRID = 65536.0


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, surrogate):
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * ctx.surrogate.derivative(x), None


class Floor(torch.autograd.Function):
    """Rounding down to a multiple of 1/GRID, passed straight through by the gradient."""

    @staticmethod
    def forward(ctx, x):
        return torch.floor(x * GRID) / GRID

    @staticmethod
    def backward(ctx, grad):
        return grad


def node(x, v, alpha, beta, rule):
    """x [T, rows, 2, half] -> y, u; mode `exact` rounds X to the nearest, M and alpha V down to the grid."""
    rounded = Floor.apply if rule.mode == "exact" else lambda value: value
    nudge = 0.5 / GRID if rule.mode == "exact" else 0
    k = rule.k
    v1, v2 = (torch.zeros_like(x[0, :, 0]),) * 2 if v is None else rounded(v + nudge).unbind(1)
    outputs = []
    for now in rounded(x + nudge):
        x1, x2 = now.unbind(1)
        m1 = rounded((1 - k) * v1 + k * x1)
        s1 = Spike.apply(m1 - rule.threshold, rule.surrogate)
        y1 = s1 + beta * x2
        r1 = s1.detach() if rule.detach_reset else s1
        u1 = (1 - r1) * m1 + rounded(alpha * v2)
        m2 = rounded((1 - k) * u1 + k * y1)
        s2 = Spike.apply(m2 - rule.threshold, rule.surrogate)
        y2 = s2 + beta * x1
        r2 = s2.detach() if rule.detach_reset else s2
        u2 = (1 - r2) * m2 + rounded(alpha * v1)
        outputs.append(torch.stack((y1, y2), 1))
        v1, v2 = u1, u2
    return torch.stack(outputs), torch.stack((v1, v2), 1)
