"""Images as what spiking networks see: T steps of spikes, the image itself at every step, or one pixel after another."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def coded(
    images: Float[Tensor, "batch channels h w"], coding: str, steps: int, flat: bool, generator: torch.Generator
) -> Tensor:
    """A batch of images, grey values from 0 to 1, ready for a network.

    Args:
        coding: "rate": a spike with the probability of the grey value at every step; "pixels": pixel after pixel in
            reading order, each shown for an equal share of the T steps, as spikes of its rate on two lines, its row's
            and its column's, as a scanning sensor would send them; "direct": as it is.
        flat: one axis of inputs instead of channels and rows (an mlp's).
        generator: of the spikes.

    Returns:
        [T, batch, ...] of 0 and 1, or [batch, ...] with "direct"; "pixels" has channels x (rows + columns) inputs.
    """
    if coding == "pixels":
        height, width = images.shape[2:]
        pixel = shown(steps, height * width)
        spikes = _spikes(images.flatten(2).permute(2, 0, 1)[pixel], generator)  # [T, batch, channels]
        lines = torch.zeros(steps, height + width, device=images.device)
        at = torch.arange(steps)
        lines[at, pixel // width] = lines[at, height + pixel % width] = 1
        return (spikes.unsqueeze(3) * lines[:, None, None]).flatten(2)
    images = images.flatten(1) if flat else images
    return images if coding == "direct" else _spikes(images.expand(steps, *images.shape), generator)


def shown(steps: int, pixels: int) -> Tensor:
    """The pixel that each step shows: all of them, in order, as evenly as T allows."""
    return torch.arange(steps) * pixels // steps


def _spikes(rates: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.rand(rates.shape, generator=generator).to(rates.device)
    return (drawn < rates).to(rates.dtype)
