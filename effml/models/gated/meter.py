"""A meter on pre-activations: mean, deviation and largest magnitude of each channel (or node), pooled over batches.

Statistics are merged exactly (Chan's update), in float64, so that they do not depend on how the data came in batches.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Meter(nn.Module):
    """Args: shape: group shape, broadcastable to a site's shape: `[C, 1, 1]` pools over batch, height and width."""

    count: Tensor
    mean: Tensor
    scatter: Tensor
    largest: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        for name in ("count", "mean", "scatter", "largest"):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def reset(self) -> None:
        for buffer in self.buffers():
            buffer.zero_()

    @torch.no_grad()
    def observe(self, z: Float[Tensor, " batch *site"]) -> None:
        """Take a batch in. Half precisions are summed in float32 or better."""
        offset = z.dim() - len(self.shape)
        axes = [axis for axis in range(z.dim()) if axis < offset or self.shape[axis - offset] == 1]
        variance, mean = torch.var_mean(z.float() if z.dtype != torch.float64 else z, axes, correction=0, keepdim=True)
        added = float(z.numel() // mean.numel())
        mean, variance = mean.reshape(self.shape).double(), variance.reshape(self.shape).double()
        total = self.count + added
        shift = mean - self.mean
        self.scatter += variance * added + shift**2 * self.count * added / total
        self.mean += shift * added / total
        self.largest = torch.maximum(self.largest, z.abs().amax(axes, keepdim=True).reshape(self.shape).double())
        self.count.copy_(total)

    @property
    def variance(self) -> Float[Tensor, "*group"]:
        """Population variance; 0 before anything was observed."""
        return self.scatter / self.count.clamp_min(1)

    @property
    def std(self) -> Float[Tensor, "*group"]:
        return self.variance.sqrt()
