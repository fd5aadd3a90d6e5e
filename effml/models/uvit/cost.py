"""Multiply-accumulates of a U-ViT by closed form (what the paper prints as "GFLOPs"; twice as many operations)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from effml.models.uvit.model import UViT


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates per sample of each part."""

    embed: int
    block: int
    skip: int
    head: int
    uem: int

    def executed(self, layers: int, *, skips: int, heads: int = 1, checks: int = 0) -> int:
        """Of a pass through `layers` blocks, `skips` of which read a skip, with heads and uncertainty checks counted."""
        return self.embed + layers * self.block + skips * self.skip + heads * self.head + checks * self.uem


def cost(model: UViT) -> Cost:
    """Cost per sample; both attention products are counted, norms, biases and the time table are not."""
    c: Any = model.config
    patches = (c.sample_size // c.patch_size) ** 2
    length, width, patch = model.extras + patches, c.width, c.patch_size**2 * c.in_channels
    text = c.text_tokens * c.text_width * width if c.text_tokens else 0
    return Cost(
        embed=patches * patch * width + text,
        block=12 * length * width * width + 2 * length * length * width,
        skip=2 * length * width * width,
        head=length * width * patch + 9 * c.in_channels**2 * c.sample_size**2,
        uem=patches * width * patch + (width * patch if c.uem == "concat" else 0),
    )


def whole(model: UViT) -> int:
    """Multiply-accumulates of the whole network for one sample."""
    return cost(model).executed(model.num_exits, skips=model.middle)


def until(model: UViT, layer: int, *, checks: int) -> int:
    """Of a pass that stops after block `layer` (0-based) having checked its uncertainty `checks` times."""
    skips = max(0, layer - model.middle)
    return cost(model).executed(layer + 1, skips=skips, checks=checks)
