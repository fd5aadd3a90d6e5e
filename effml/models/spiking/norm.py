"""Batch normalisation whose backward needs no input: the normalised values are computed again from the output.

    z = gamma xhat + b   =>   xhat = (z - b) / gamma

The input is then nobody's to keep (the idea of In-Place ABN, arXiv 1712.02616). Alone it saves memory where the next
operation keeps its own input anyway, as `lif` does; fused with the reversible neuron, whose input follows from its
output, nothing is kept but that output and the spikes as bits. A channel whose gamma is nearly 0 cannot be divided by:
its xhat is kept as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from effml.kernels.spiking import Rule, node_backward, node_forward, node_input, surrogate_of

SMALL = 1e-3  # dividing by a smaller gamma would lose more than ten of float32's 24 bits


class RecomputedBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` over [N, C, H, W] or [T, N, C, H, W] (statistics over all but C), keeping its output.

    Same parameters, running statistics and results. Differentiable once; needs `affine=True`.

    Raises:
        TypeError: another dtype than float32 and float64, such as that of autocast.
        RuntimeError: in the backward, when the output was written to.
    """

    def forward(self, x: Float[Tensor, "*n channels h w"]) -> Float[Tensor, "*n channels h w"]:
        _check(self, x)
        return _Norm.apply(x, self.weight, self.bias, self)


class NormRevLIF(nn.Module):
    """Batch norm and reversible neuron in one, keeping the output and the spikes as bits alone.

    Takes [T, N, C, H, W] and returns Y of the same shape; the state starts at 0. Mode "bits" only, as its input comes
    back without a sweep.

    Args:
        channels: C, even.
        alpha, beta, tau, threshold, spike_grad, detach_reset: as in `RevLIF`; `spike_grad` must have a name.
        eps, momentum: of the norm.
    """

    def __init__(
        self,
        channels: int,
        alpha: float = 0.5,
        beta: float = 1.0,
        tau: float = 2.0,
        threshold: float = 1.0,
        spike_grad: str | Callable[[Tensor], Tensor] | None = None,
        detach_reset: bool = False,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError(f"{channels} channels cannot be halved: use an even number")
        self.norm = nn.BatchNorm2d(channels, eps, momentum)
        self.rule = Rule(tau, threshold, surrogate_of(spike_grad), detach_reset)
        self.rule.check_couplings(alpha, beta)
        if not self.rule.surrogate.in_kernels:
            raise ValueError("NormRevLIF takes the surrogates that have a name; use a norm and RevLIF for a callable")
        self.alpha, self.beta = float(alpha), float(beta)

    reversible = True

    def normalised(self, x: Float[Tensor, "T n channels h w"]) -> Float[Tensor, "T n channels h w"]:
        """What drives the neuron; running statistics stay as they are."""
        norm, by_batch = self.norm, _by_batch(self.norm)
        running = (None, None) if by_batch else (norm.running_mean, norm.running_var)
        z = F.batch_norm(x.flatten(0, 1), *running, norm.weight, norm.bias, by_batch, 0.0, norm.eps)
        return z.view(x.shape)

    def forward(self, x: Float[Tensor, "T n channels h w"]) -> Float[Tensor, "T n channels h w"]:
        _check(self.norm, x)
        return _NormRevLIF.apply(x, self.norm.weight, self.norm.bias, self.norm, self.rule, self.alpha, self.beta)


def _check(norm: nn.BatchNorm2d, x: Tensor) -> None:
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"a norm that is recomputed takes float32 or float64, got {x.dtype}; convert with .float()")
    if x.shape[0] == 0:
        raise ValueError(f"x is empty: {[*x.shape]}; pass at least one time step")
    if x.ndim < 4 or x.shape[-3] != norm.num_features:
        raise ValueError(f"the norm takes [..., {norm.num_features}, h, w], got {[*x.shape]}")


def _normalise(x: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z as `nn.BatchNorm2d` gives it; 1/standard deviation; the channels of small gamma, and their xhat."""
    share = norm.momentum
    if norm.training and norm.num_batches_tracked is not None and norm.track_running_stats:
        norm.num_batches_tracked.add_(1)
        share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    running = (norm.running_mean, norm.running_var) if norm.track_running_stats or not norm.training else (None, None)
    z, mean, scale = torch.native_batch_norm(
        x.flatten(0, -4), norm.weight, norm.bias, *running, _by_batch(norm), share or 0.0, norm.eps
    )
    if not norm.training and norm.running_mean is not None and norm.running_var is not None:
        mean, scale = norm.running_mean, torch.rsqrt(norm.running_var + norm.eps)
    small = (norm.weight.abs() < SMALL).nonzero().squeeze(1)
    kept = (x.index_select(-3, small) - _wide(mean[small])) * _wide(scale[small])
    return z.view(x.shape), scale, small, kept


def _by_batch(norm: nn.BatchNorm2d) -> bool:
    """Whether the batch's own statistics normalise it."""
    return norm.training or norm.running_mean is None


def _wide(per_channel: Tensor) -> Tensor:
    return per_channel[:, None, None]


def _norm_gradients(grad: Tensor, z: Tensor, kept_of_norm: tuple, by_batch: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias, from the output z and (weight, bias, scale, small, kept)."""
    weight, bias, scale, small, kept = kept_of_norm
    divisor = torch.where(weight.abs() < SMALL, torch.ones_like(weight), weight)
    xhat = (z - _wide(bias)) / _wide(divisor)
    if small.numel():
        xhat.index_copy_(z.ndim - 3, small, kept)
    axes = [axis for axis in range(z.ndim) if axis != z.ndim - 3]
    of_bias, of_weight = grad.sum(axes), (grad * xhat).sum(axes)
    if by_batch:
        count = z.numel() // z.shape[-3]
        grad = grad - _wide(of_bias / count) - xhat.mul_(_wide(of_weight / count))
    return grad * _wide(weight * scale), of_weight, of_bias


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, norm):
        z, scale, small, kept = _normalise(x, norm)
        ctx.by_batch = _by_batch(norm)
        ctx.save_for_backward(z, weight, bias, scale, small, kept)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        z, *kept_of_norm = ctx.saved_tensors
        return *_norm_gradients(grad, z, tuple(kept_of_norm), ctx.by_batch), None


class _NormRevLIF(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, norm, rule, alpha, beta):
        z, scale, small, kept = _normalise(x, norm)
        ctx.by_batch, ctx.node = _by_batch(norm), (alpha, beta, rule)
        y, _, bits, _ = node_forward(_halves(z), None, alpha, beta, rule)
        y = y.view(x.shape)
        ctx.save_for_backward(y, bits, weight, bias, scale, small, kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        y, bits, *kept_of_norm = ctx.saved_tensors
        halves = _halves(y)
        of_z = node_backward(halves, None, None, bits, None, _halves(grad), None, *ctx.node)[0]
        z = node_input(halves, bits, ctx.node[1]).view(y.shape)
        gradients = _norm_gradients(of_z.view(y.shape), z, tuple(kept_of_norm), ctx.by_batch)
        return *gradients, None, None, None, None


def _halves(x: Float[Tensor, "T n channels h w"]) -> Float[Tensor, "T n 2 half"]:
    steps, batch, channels, height, width = x.shape
    return x.reshape(steps, batch, 2, channels // 2 * height * width)
