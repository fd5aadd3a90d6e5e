"""A transformer stack over embeddings with the interface of `effml.models.retnet`: in parallel, or token by token from a
key-value cache. Without `causal` it sees both ways and has no cache.

A fair baseline: attention is torch's fused one, the cache is allocated once at full capacity and written in place.
A block has 4 d^2 weights in attention and 8 d^2 in the feed-forward layer, 12 d^2 as in RetNet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from effml.models.retnet.layers import FeedForward
from effml.models.retnet.rotation import Rotation, rotate


@dataclass
class KeyValueCache:
    """Keys and values of all tokens so far: `[B, H, capacity, K]` twice a layer, of which `position` are filled."""

    keys: list[Tensor]
    values: list[Tensor]
    position: int = 0

    @property
    def capacity(self) -> int:
        return self.keys[0].shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes that the tokens so far take up; linear in their number."""
        return sum(x[:, :, : self.position].numel() * x.element_size() for x in self.keys + self.values)

    def copy(self, repeats: int = 1) -> KeyValueCache:
        """A copy that may be continued on its own, each sequence `repeats` times in a row."""
        keys, values = ([x.repeat_interleave(repeats, 0) for x in part] for part in (self.keys, self.values))
        return KeyValueCache(keys, values, self.position)


class Attention(nn.Module):
    """Multi-head attention with rotated queries and keys."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        if width % (2 * heads):
            raise ValueError(f"width {width} does not split into {heads} heads of an even number of channels")
        self.heads, self.causal = heads, causal
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        for part in self.project.weight.chunk(3):
            nn.init.xavier_uniform_(part)
        nn.init.xavier_uniform_(self.out.weight, gain=0.5)

    def forward(self, x: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs `[B, T, d]`, and the keys and values `[B, H, T, K]` for a cache."""
        q, k, v = self._split(x, turn)
        o = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(o.transpose(1, 2).flatten(-2)), k, v

    def step(self, x: Tensor, turn: Tensor, keys: Tensor, values: Tensor, position: int) -> Tensor:
        q, k, v = self._split(x[:, None], turn)
        keys[:, :, position] = k[:, :, 0]
        values[:, :, position] = v[:, :, 0]
        # One query sees everything so far: no mask (is_causal would align it to the first key).
        o = F.scaled_dot_product_attention(q, keys[:, :, : position + 1], values[:, :, : position + 1])
        return self.out(o.transpose(1, 2).flatten(-2))[:, 0]

    def _split(self, x: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.project(x).unflatten(-1, (3, self.heads, -1)).unbind(2)
        return rotate(q, turn).transpose(1, 2), rotate(k, turn).transpose(1, 2), v.transpose(1, 2)


class TransformerBlock(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.mix_norm, self.feed_norm = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.mix = Attention(width, heads, causal)
        self.feed = FeedForward(width, 4 * width)

    def forward(self, x: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mixed, keys, values = self.mix(self.mix_norm(x), turn)
        x = x + mixed
        return x + self.feed(self.feed_norm(x)), keys, values

    def step(self, x: Tensor, turn: Tensor, keys: Tensor, values: Tensor, position: int) -> Tensor:
        x = x + self.mix.step(self.mix_norm(x), turn, keys, values, position)
        return x + self.feed(self.feed_norm(x))


class Transformer(nn.Module):
    """A stack of `layers` blocks of `width` channels and `heads` heads; `base` is the rotation's."""

    def __init__(self, width: int, layers: int, heads: int, causal: bool = True, base: float = 10000.0) -> None:
        super().__init__()
        self.width, self.heads, self.causal = width, heads, causal
        self.blocks: Any = nn.ModuleList(TransformerBlock(width, heads, causal) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        self.rotation = Rotation(width // heads, base)

    def start(self, batch: int, capacity: int) -> KeyValueCache:
        """An empty cache for up to `capacity` tokens of `batch` sequences."""
        if not self.causal:
            raise ValueError("a transformer that sees both ways cannot generate token by token")
        like = self.norm.weight
        shape = (batch, self.heads, capacity, self.width // self.heads)
        keys, values = (
            [torch.zeros(shape, dtype=like.dtype, device=like.device) for _ in self.blocks] for _ in range(2)
        )
        return KeyValueCache(keys, values)

    def forward(
        self, x: Float[Tensor, "B T d"], state: KeyValueCache | None = None
    ) -> tuple[Float[Tensor, "B T d"], KeyValueCache | None]:
        """Outputs for T tokens from the beginning; an empty `state` is filled with their keys and values.

        Raises:
            ValueError: `state` holds tokens already, or has no room for these.
        """
        if state is not None and (state.position or state.capacity < x.shape[1]):
            raise ValueError(
                f"the cache holds {state.position} of {state.capacity} tokens; {x.shape[1]} can be read in parallel only "
                "into an empty cache of at least that capacity"
            )
        turn = self.rotation.at(0, x.shape[1], x)
        for index, block in enumerate(self.blocks):
            x, keys, values = block(x, turn)
            if state is not None:
                state.keys[index][:, :, : x.shape[1]] = keys
                state.values[index][:, :, : x.shape[1]] = values
        if state is not None:
            state.position = x.shape[1]
        return self.norm(x), state

    @torch.no_grad()
    def step(self, x: Float[Tensor, "B d"], state: KeyValueCache) -> Float[Tensor, "B d"]:
        """Outputs for one more token of each sequence; `state` is extended in place.

        Raises:
            ValueError: the cache is full.
        """
        if state.position >= state.capacity:
            raise ValueError(f"the key-value cache is full with {state.capacity} tokens; start it with more capacity")
        turn = self.rotation.at(state.position, 1, x)
        for block, keys, values in zip(self.blocks, state.keys, state.values, strict=True):
            x = block.step(x, turn, keys, values, state.position)
        state.position += 1
        return self.norm(x)
