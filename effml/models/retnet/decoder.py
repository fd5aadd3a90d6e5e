"""RetNet as a stack over embeddings: whole sequences in parallel, or one token at a time from a state of fixed size.

Knows nothing of vocabularies or what the tokens mean. Both ways compute the same function, so that a prompt may be read
in parallel and continued token by token. `effml.models.transformer` has the same interface over attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from effml.models.retnet.layers import FeedForward, MultiScaleRetention
from effml.models.retnet.rotation import Rotation


@dataclass
class RetNetState:
    """What is kept of all tokens so far: one `[B, H, K, V]` tensor a layer, and their number."""

    layers: list[Tensor]
    position: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of memory; the same after one token and after a million."""
        return sum(state.untyped_storage().nbytes() for state in self.layers)

    def copy(self, repeats: int = 1) -> RetNetState:
        """A copy that may be continued on its own, each sequence `repeats` times in a row."""
        layers = [state.repeat_interleave(repeats, 0) if repeats > 1 else state.clone() for state in self.layers]
        return RetNetState(layers, self.position)


class RetNetBlock(nn.Module):
    """`Y = X + MSR(norm X)`, `Y + FFN(norm Y)` (arXiv 2307.08621, eq. 9)."""

    def __init__(self, width: int, log_gammas: Sequence[float]) -> None:
        super().__init__()
        self.mix_norm, self.feed_norm = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.mix = MultiScaleRetention(width, log_gammas)
        self.feed = FeedForward(width, 2 * width)

    def forward(self, x: Tensor, turn: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        mixed, state = self.mix(self.mix_norm(x), turn, state)
        x = x + mixed
        return x + self.feed(self.feed_norm(x)), state

    def step(self, x: Tensor, turn: Tensor, state: Tensor) -> Tensor:
        x = x + self.mix.step(self.mix_norm(x), turn, state)
        return x + self.feed(self.feed_norm(x))


class RetNet(nn.Module):
    """A stack of `layers` blocks of `width` channels; the heads' decays are `log_gammas`, the same in every layer.

    `base` is the rotation's: the slowest pair of channels turns once in about 6 `base` tokens.
    """

    def __init__(self, width: int, layers: int, log_gammas: Sequence[float], base: float = 10000.0) -> None:
        super().__init__()
        self.width = width
        self.blocks: Any = nn.ModuleList(RetNetBlock(width, log_gammas) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        self.rotation = Rotation(width // len(log_gammas), base)

    def start(self, batch: int, capacity: int = 0) -> RetNetState:
        """The state before the first token of `batch` sequences; it needs no `capacity`."""
        return RetNetState([block.mix.empty_state(batch) for block in self.blocks])

    def forward(
        self, x: Float[Tensor, "B T d"], state: RetNetState | None = None
    ) -> tuple[Float[Tensor, "B T d"], RetNetState]:
        """Outputs for T more tokens after `state` (from the beginning without one), and the state after them."""
        start = state.position if state else 0
        turn = self.rotation.at(start, x.shape[1], x)
        states = []
        for index, block in enumerate(self.blocks):
            x, after = block(x, turn, state.layers[index] if state else None)
            states.append(after)
        return self.norm(x), RetNetState(states, start + x.shape[1])

    @torch.no_grad()
    def step(self, x: Float[Tensor, "B d"], state: RetNetState) -> Float[Tensor, "B d"]:
        """Outputs for one more token of each sequence; `state` is updated in place."""
        turn = self.rotation.at(state.position, 1, x)
        for block, layer in zip(self.blocks, state.layers, strict=True):
            x = block.step(x, turn, layer)
        state.position += 1
        return self.norm(x)
