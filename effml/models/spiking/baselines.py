"""What the reversible neuron is measured against: itself kept whole by autograd, itself recovered the usual way (inverse,
then a second forward), checkpointed layers, and training without a gradient through time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from effml.kernels.spiking import Rule, Surrogate, reference, revlif
from effml.models.spiking.revlif import reset_states


class Spike(torch.autograd.Function):
    """H(m), with the surrogate's derivative."""

    @staticmethod
    def forward(ctx, m: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(m)
        ctx.surrogate = surrogate
        return (m >= 0).to(m.dtype)

    @staticmethod
    def backward(ctx, grad):
        (m,) = ctx.saved_tensors
        return grad * ctx.surrogate.derivative(m), None


def differentiable_step(inputs: Sequence[Tensor], alpha, beta, rule: Rule) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`reference.step` of (x1, x2, v1, v2) without its flags, for autograd to follow (modes but `exact`)."""
    x1, x2, v1, v2 = inputs
    k = rule.k
    m1 = (1 - k) * v1 + k * x1
    s1 = Spike.apply(m1 - rule.threshold, rule.surrogate)
    y1 = s1 + beta * x2
    u1 = (1 - (s1.detach() if rule.detach_reset else s1)) * m1 + alpha * v2
    m2 = (1 - k) * u1 + k * y1
    s2 = Spike.apply(m2 - rule.threshold, rule.surrogate)
    u2 = (1 - (s2.detach() if rule.detach_reset else s2)) * m2 + alpha * v1
    return y1, s2 + beta * x1, u1, u2


class RevSpikes(nn.Module):
    """The reversible node of which the spikes S alone are handed on: what it is worth as a spiking neuron.

    S = Y - beta X' is 0 or 1 and its gradient that of Y less beta that of X'. Without X' in the output nothing can be
    inverted, so the node's own Y is kept besides: this saves no memory.
    """

    def __init__(self, alpha: float = 0.5, beta: float = 1.0, rule: Rule | None = None) -> None:
        super().__init__()
        self.alpha, self.beta, self.rule = alpha, beta, rule or Rule()

    def forward(self, x: Float[Tensor, "T batch channels *rest"]) -> Float[Tensor, "T batch channels *rest"]:
        y, _ = revlif(x, None, self.alpha, self.beta, self.rule, split_dim=2)
        nearly = y - self.beta * torch.cat(x.chunk(2, 2)[::-1], 2)
        return nearly + (nearly.round() - nearly).detach()  # exact: the difference of neighbours is


class WholeRevLIF(nn.Module):
    """The reversible node followed by autograd, which keeps everything: [T, batch, channels, ...] to the same shape."""

    reversible = True

    def __init__(self, alpha: float = 0.5, beta: float = 1.0, rule: Rule | None = None) -> None:
        super().__init__()
        self.alpha, self.beta, self.rule = alpha, beta, rule or Rule()

    def forward(self, x: Float[Tensor, "T batch channels *rest"]) -> Float[Tensor, "T batch channels *rest"]:
        _check(x)
        outputs = []
        v1, v2 = (torch.zeros_like(half) for half in x[0].chunk(2, 1))
        for now in x:
            y1, y2, v1, v2 = differentiable_step((*now.chunk(2, 1), v1, v2), self.alpha, self.beta, self.rule)
            outputs.append(torch.cat((y1, y2), 1))
        return torch.stack(outputs)


class DoubleRevLIF(nn.Module):
    """The reversible node recovered as general tools for reversible networks do (MemCNN): at every step the inverse
    without a gradient, then the forward once more with one, then autograd's backward. Keeps what mode `paper` keeps.
    """

    reversible = True

    def __init__(self, alpha: float = 0.5, beta: float = 1.0, rule: Rule | None = None) -> None:
        super().__init__()
        self.alpha, self.beta, self.rule = alpha, beta, rule or Rule(mode="paper")

    def forward(self, x: Float[Tensor, "T batch channels *rest"]) -> Float[Tensor, "T batch channels *rest"]:
        _check(x)
        halves = x.reshape(x.shape[0], x.shape[1], 2, -1)
        return _Double.apply(halves, self.alpha, self.beta, self.rule).view(x.shape)


def _check(x: Tensor) -> None:
    if x.ndim < 3 or x.shape[0] == 0:
        raise ValueError(f"x must be [T, batch, channels, ...] with at least one step, got {[*x.shape]}")
    if x.shape[2] % 2:
        raise ValueError(f"x has {x.shape[2]} channels: the two groups need an even number")


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, alpha, beta, rule):
        ctx.constants = alpha, beta, rule
        y, u, *_ = reference.forward(x, None, alpha, beta, rule)
        ctx.save_for_backward(y, u)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y):
        y, u = ctx.saved_tensors
        alpha, beta, rule = ctx.constants
        grad_x = torch.empty_like(y)
        u1, u2 = u.unbind(1)
        d1, d2 = torch.zeros_like(u1), torch.zeros_like(u2)
        for t in reversed(range(len(y))):
            back = reference.inverse(y[t, :, 0], y[t, :, 1], u1, u2, alpha, beta, rule)
            with torch.enable_grad():
                leaves = [leaf.detach().requires_grad_() for leaf in (back.x1, back.x2, back.v1, back.v2)]
                outputs = differentiable_step(leaves, alpha, beta, rule)
            x1, x2, d1, d2 = torch.autograd.grad(outputs, leaves, (grad_y[t, :, 0], grad_y[t, :, 1], d1, d2))
            grad_x[t, :, 0], grad_x[t, :, 1] = x1, x2
            u1, u2 = back.v1, back.v2
        return grad_x, None, None, None


class Checkpointed(nn.Module):
    """A layer under `torch.utils.checkpoint`: its input is kept as it is, and the layer runs again backwards.

    Running statistics of a batch norm inside are updated by both runs, as that tool does.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.layer, x, use_reentrant=False)


def spatial_backward(
    net: nn.Module, x: Float[Tensor, "T batch *rest"], loss_of: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Training without a gradient through time (SLTT, arXiv 2302.14311): forward and backward one step at a time.

    Gradients are added to the parameters' `.grad`; they are those of the spatial paths alone, hence biased. Memory does
    not grow with T. The neurons must carry their membranes from call to call (`LeakySteps(carry=True)`).

    Args:
        net: one step at a time, [1, batch, ...], to logits [batch, classes].
        loss_of: loss of the logits of one step, [batch, classes].

    Returns:
        The loss, averaged over steps, and the logits, summed over them.
    """
    reset_states(net)
    total = logits = torch.zeros((), device=x.device)
    for t in range(len(x)):
        now = net(x[t : t + 1])
        loss = loss_of(now) / len(x)
        loss.backward()
        total, logits = total + loss.detach(), logits + now.detach()
    reset_states(net)
    return total, logits
