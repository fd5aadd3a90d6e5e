"""A small GPT: pre-norm blocks, rotary positions, tied embeddings. It knows nothing of text or tasks.

B batch, T tokens, H heads, D width of a head, W = H * D width. `forward` serves training on whole rows; `extend` adds
tokens to rows whose keys and values are cached.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Size of the model; `context` is the longest text in tokens."""

    vocabulary: int
    layers: int = 3
    heads: int = 4
    width: int = 96
    context: int = 160


def rotate(x: Float[Tensor, "*B H T D"], cos: Float[Tensor, "*B T half"], sin: Float[Tensor, "*B T half"]) -> Tensor:
    """Rotary position embedding: pairs (x1, x2) turned by an angle that grows with the position."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos.unsqueeze(-3), sin.unsqueeze(-3)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)


class Block(nn.Module):
    """Attention and a feed-forward layer of four times the width, each after a norm and added to the stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)
        self.norm_forward = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def split(self, x: Float[Tensor, "B T W"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [B, H, T, D]."""
        q, k, v = self.qkv(self.norm_attention(x)).chunk(3, dim=-1)
        return tuple(each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (q, k, v))  # type: ignore

    def finish(self, x: Float[Tensor, "B T W"], mixed: Float[Tensor, "B H T D"]) -> Float[Tensor, "B T W"]:
        x = x + self.project(mixed.transpose(1, 2).flatten(-2))
        return x + self.down(F.gelu(self.up(self.norm_forward(x))))


class GPT(nn.Module):
    """Next-token logits [B, T, vocabulary] for token rows [B, T]."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        half = shape.width // shape.heads // 2
        angles = torch.outer(torch.arange(shape.context), 1000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def initialise(self, generator: torch.Generator, values: Mapping[int, int] | None = None) -> None:
        """Draw all weights from `generator`: deviation 0.02, smaller where a layer adds to the stream.

        values: tokens that are numbers. Half of their embedding starts as waves of the value (periods from 2 to 200), in
        which a sum is a rotation; a small model learns arithmetic from them several times faster than from noise.
        """
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                deep = name.endswith(("project.weight", "down.weight"))
                scale = 0.02 / (2 * self.shape.layers) ** 0.5 if deep else 0.02
                with torch.no_grad():
                    parameter.normal_(0.0, scale, generator=generator)
        if values:
            tokens = torch.tensor(list(values))
            waves = self.shape.width // 4
            periods = 2.0 * 100.0 ** (torch.arange(waves) / (waves - 1))
            angles = 2 * math.pi * torch.tensor([float(v) for v in values.values()])[:, None] / periods
            with torch.no_grad():
                self.embed.weight[tokens, : 2 * waves] = 0.02 * 2**0.5 * torch.cat((angles.cos(), angles.sin()), dim=1)

    def layers(self) -> list[Block]:
        return cast(list[Block], list(self.blocks))

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T vocabulary"]:
        length = tokens.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        x = self.embed(tokens)
        for block in self.layers():
            q, k, v = block.split(x)
            mixed = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
            x = block.finish(x, mixed)
        return self.norm(x) @ self.embed.weight.T

    def extend(
        self,
        tokens: Int[Tensor, "B T"],
        cache: list[tuple[Tensor, Tensor]],
        place: int,
        visible: Bool[Tensor, "B 1 T past"],
    ) -> Float[Tensor, "B vocabulary"]:
        """Logits after the last of `tokens`, which stand at positions `place` and on; `cache` holds keys and values
        [B, H, length, D] of every layer and is filled in there. `visible`: which of the first place + T positions each
        token may look at."""
        end = place + tokens.shape[1]
        cos, sin = self.cos[place:end], self.sin[place:end]
        x = self.embed(tokens)
        for block, (keys, values) in zip(self.layers(), cache, strict=True):
            q, k, v = block.split(x)
            keys[:, :, place:end] = rotate(k, cos, sin)
            values[:, :, place:end] = v
            mixed = F.scaled_dot_product_attention(
                rotate(q, cos, sin), keys[:, :, :end], values[:, :, :end], attn_mask=visible
            )
            x = block.finish(x, mixed)
        return self.norm(x[:, -1]) @ self.embed.weight.T
