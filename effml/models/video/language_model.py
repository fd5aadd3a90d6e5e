"""The video language model: next-token prediction over a captioned clip's sequence, with RetNet or a transformer inside.

Knows the layout of sequences but neither pixels nor words. The serial numbers of frames come in as tokens, as vectors
added to each token of a frame, or not at all (`layout.serial`). A token's place within its frame is always a vector added
to it: motion is a shift from place to place, which relative positions along the sequence tell only indirectly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from effml.models.retnet import RetNet
from effml.models.retnet import decay as schedules
from effml.models.transformer import Transformer
from effml.models.video.layout import IGNORE, Layout

KINDS = ("retnet", "transformer")


@dataclass(frozen=True)
class Shape:
    """Size of a model: `width` channels, `layers` blocks, `heads` heads; `decay` is RetNet's schedule, `base` the
    rotation's, which should not much exceed the length of a sequence: slower pairs of channels tell no positions apart."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    decay: str = "framewise"
    base: float = 10000.0


class VideoModel(nn.Module):
    """Logits of the next code. `kind` is "retnet" or "transformer"; both have the same number of weights.

    In evaluation the logits of everything that is not a code are absent, so that whatever is sampled can be decoded.
    """

    def __init__(self, layout: Layout, shape: Shape, kind: str = "retnet") -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind '{kind}' is none of {', '.join(KINDS)}")
        self.layout, self.shape, self.kind = layout, shape, kind
        self.embedding = nn.Embedding(layout.tokens, shape.width)
        self.place_embedding = nn.Embedding(layout.frame_tokens + 1, shape.width)
        self.frame_embedding = nn.Embedding(layout.frames + 1, shape.width) if layout.serial == "embedding" else None
        self.stack: Any = (
            RetNet(shape.width, shape.layers, log_gammas(layout, shape), shape.base)
            if kind == "retnet"
            else Transformer(shape.width, shape.layers, shape.heads, base=shape.base)
        )
        self.head = nn.Linear(shape.width, layout.codes, bias=False)
        nn.init.normal_(self.embedding.weight, std=1.0)
        nn.init.normal_(self.place_embedding.weight, std=0.5)
        if self.frame_embedding is not None:
            nn.init.normal_(self.frame_embedding.weight, std=0.1)
        nn.init.normal_(self.head.weight, std=shape.width**-0.5)

    @property
    def parameters_count(self) -> int:
        return sum(weight.numel() for weight in self.parameters())

    def embed(self, ids: Int[Tensor, "B T"], start: int = 0) -> Float[Tensor, "B T d"]:
        """Embeddings of the tokens at positions `start ...`."""
        span = (start, ids.shape[1], ids.device)
        x = self.embedding(ids) + self.place_embedding(self.layout.place_of(*span))
        if self.frame_embedding is not None:
            frame = self.layout.frame_of(*span)
            x = x + self.frame_embedding(frame.clamp(max=self.layout.frames))
        return x

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T codes"]:
        hidden, _ = self.stack(self.embed(ids))
        return self.head(hidden)

    def token_losses(self, text: Int[Tensor, "B P"], codes: Int[Tensor, "B F N"]) -> Float[Tensor, "B F N"]:
        """Negative log likelihood in nats of every code of every clip, given its caption and the codes before it."""
        logits = self(self.layout.sequence(text, codes)[:, :-1])
        targets = self.layout.targets(codes)
        wanted = targets != IGNORE  # skips the head's work on words and serial numbers
        wide = logits[wanted].to(torch.promote_types(logits.dtype, torch.float32))
        losses = F.cross_entropy(wide, targets[wanted], reduction="none")
        return losses.view(codes.shape)

    def loss(self, text: Int[Tensor, "B P"], codes: Int[Tensor, "B F N"]) -> Tensor:
        """Mean negative log likelihood of a code, in nats."""
        return self.token_losses(text, codes).mean()

    def read(self, ids: Int[Tensor, "B T"], state: Any) -> tuple[Float[Tensor, "B codes"], Any]:
        """Read T tokens in parallel into an empty or RetNet `state`: logits after the last one, and the state."""
        hidden, state = self.stack(self.embed(ids, state.position), state)
        return self.head(hidden[:, -1]), state

    def step(self, ids: Int[Tensor, " B"], state: Any) -> Float[Tensor, "B codes"]:
        """Read one token of each sequence, `state` in place: logits of the next code."""
        return self.head(self.stack.step(self.embed(ids[:, None], state.position)[:, 0], state))


def log_gammas(layout: Layout, shape: Shape) -> list[float]:
    """The decays of a RetNet of this shape on this layout."""
    if shape.decay == "retnet":
        return schedules.retnet(shape.heads)
    if shape.decay == "framewise":
        return schedules.framewise(shape.heads, layout.frame_tokens, layout.frames)
    raise ValueError(f"decay '{shape.decay}' is none of {', '.join(schedules.SCHEDULES)}")
