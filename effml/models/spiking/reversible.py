"""Blocks reversible in depth: a chain of them keeps nothing but its last output, however many there are.

    y1 = x1 + f(x2),  y2 = x2 + g(y1);    x2 = y2 - g(y1),  x1 = y1 - f(x2)

The residual halves are split along the channels, as in RevNet (arXiv 1707.04585) and, for spiking networks, RevSNN
(arXiv 2312.07922). Any modules that keep the shape serve as f and g; they see all T steps at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from effml.models.spiking.replay import Replay, parameters_of, refuse_hidden_state


class ReversibleBlock(nn.Module):
    """One coupling of two halves; by itself it is an ordinary module. Memory is saved by `ReversibleChain`."""

    def __init__(self, f: nn.Module, g: nn.Module, split_dim: int = 2) -> None:
        super().__init__()
        self.f, self.g, self.split_dim = f, g, split_dim
        refuse_hidden_state(self, "a reversible block")

    def forward(self, x: Tensor) -> Tensor:
        x1, x2 = x.chunk(2, self.split_dim)
        y1 = x1 + self.f(x2)
        return torch.cat((y1, x2 + self.g(y1)), self.split_dim)


class ReversibleChain(nn.Module):
    """Reversible blocks one after another; autograd keeps the last output and, per block, its random state.

    The inputs of each block are computed from its outputs in the backward, and f and g run once more, with the same
    random draws and without updating running statistics again. Rounding makes the recovered inputs differ from the
    original ones in the last places. Differentiable once.

    Raises:
        ValueError: an odd number of channels.
        RuntimeError: in the backward, when the output was written to.
    """

    def __init__(self, blocks: Sequence[ReversibleBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.split_dims = [block.split_dim for block in blocks]

    def forward(self, x: Float[Tensor, "T batch channels *rest"]) -> Float[Tensor, "T batch channels *rest"]:
        for axis in self.split_dims:
            if x.shape[axis] % 2:
                raise ValueError(f"{x.shape[axis]} channels cannot be halved: use an even number")
        if not torch.is_grad_enabled() or not self.blocks:
            for block in self.blocks:
                x = block(x)
            return x
        return _Chain.apply(x, list(self.blocks), *parameters_of(self))


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, blocks, *parameters):
        ctx.blocks, ctx.replays, ctx.parameters = blocks, [], parameters
        for block in blocks:
            before = Replay(x)
            x1, x2 = x.chunk(2, block.split_dim)
            y1 = x1 + block.f(x2)
            between = Replay(x)
            x = torch.cat((y1, x2 + block.g(y1)), block.split_dim)
            ctx.replays.append((before, between))
        ctx.save_for_backward(x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        found: dict[int, Tensor] = {}
        for block, (before, between) in zip(reversed(ctx.blocks), reversed(ctx.replays), strict=True):
            y1, y2 = y.chunk(2, block.split_dim)
            grad1, grad2 = grad.chunk(2, block.split_dim)
            residual, into_y1 = _run_again(block.g, y1, grad2, between, found)
            x2 = y2 - residual
            grad1 = grad1 + into_y1
            residual, into_x2 = _run_again(block.f, x2, grad1, before, found)
            y = torch.cat((y1 - residual, x2), block.split_dim)
            grad = torch.cat((grad1, grad2 + into_x2), block.split_dim)
        return grad, None, *(found.get(id(parameter)) for parameter in ctx.parameters)


def _run_again(module: nn.Module, x: Tensor, grad: Tensor, replay: Replay, found: dict[int, Tensor]):
    """The module's output and the gradient into `x`; its parameters' gradients are added to `found`."""
    parameters = parameters_of(module)
    with replay.again(module):
        leaf = x.detach().requires_grad_()
        output = module(leaf)
    gradients = torch.autograd.grad(output, (leaf, *parameters), grad, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients[1:], strict=True):
        if gradient is not None:
            known = found.get(id(parameter))
            found[id(parameter)] = gradient if known is None else known + gradient
    return output.detach(), torch.zeros_like(x) if gradients[0] is None else gradients[0]
