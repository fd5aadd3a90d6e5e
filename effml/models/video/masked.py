"""The masked baseline (MaskGIT, MAGVIT): a transformer that sees both ways fills in all codes of a clip in a few rounds.

Trained to predict codes that are masked at the rates of a cosine schedule; sampled with diffusers' `AmusedScheduler`,
which keeps the surest codes of each round. Same layout, width and number of weights as the language models.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from effml.models.transformer import Transformer
from effml.models.video.language_model import Shape
from effml.models.video.layout import Layout


class MaskedVideoModel(nn.Module):
    """Logits of every code of a clip, given its caption and the codes that are not masked."""

    def __init__(self, layout: Layout, shape: Shape) -> None:
        super().__init__()
        self.layout, self.shape, self.kind = layout, shape, "masked"
        self.embedding = nn.Embedding(layout.tokens, shape.width)
        # A masked clip has no codes to count along, so the place in the clip is told by vectors of its own.
        self.frame_embedding = nn.Embedding(layout.frames, shape.width)
        self.place_embedding = nn.Embedding(layout.patches, shape.width)
        self.stack = Transformer(shape.width, shape.layers, shape.heads, causal=False, base=shape.base)
        self.head = nn.Linear(shape.width, layout.codes, bias=False)
        for table, std in ((self.embedding, 1.0), (self.frame_embedding, 0.5), (self.place_embedding, 0.5)):
            nn.init.normal_(table.weight, std=std)
        nn.init.normal_(self.head.weight, std=shape.width**-0.5)

    @property
    def mask(self) -> int:
        """The id that stands for a masked code: BOS, which no code sequence holds."""
        return self.layout.bos

    @property
    def parameters_count(self) -> int:
        return sum(weight.numel() for weight in self.parameters())

    def forward(self, text: Int[Tensor, "B P"], codes: Int[Tensor, "B F N"]) -> Float[Tensor, "B F N codes"]:
        """`codes` may hold `mask`."""
        _, frames, patches = codes.shape
        prefix = self.embedding(self.layout.text_prefix(text))
        place = self.frame_embedding.weight[:frames, None] + self.place_embedding.weight[:patches]
        x = torch.cat([prefix, (self.embedding(codes) + place).flatten(1, 2)], 1)
        hidden, _ = self.stack(x)
        return self.head(hidden[:, prefix.shape[1] :]).unflatten(1, (frames, patches))

    def loss(
        self, text: Int[Tensor, "B P"], codes: Int[Tensor, "B F N"], generator: torch.Generator | None = None
    ) -> Tensor:
        """Mean negative log likelihood of the masked codes, in nats; each clip is masked at its own rate."""
        rate = torch.cos(torch.rand(len(codes), generator=generator) * math.pi / 2).to(codes.device)
        noise = torch.rand(codes.shape, generator=generator).to(codes.device)
        masked = noise < rate[:, None, None].clamp(min=1 / codes[0].numel())
        logits = self(text, codes.masked_fill(masked, self.mask))
        return F.cross_entropy(logits[masked].float(), codes[masked]) if masked.any() else logits.sum() * 0

    @torch.no_grad()
    def generate(
        self,
        text: Int[Tensor, "B P"],
        frames: int,
        rounds: int = 12,
        temperature: float = 4.5,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "B F N"]:
        """Codes of whole clips in `rounds` forward passes; `temperature` blurs which codes count as sure."""
        from diffusers import AmusedScheduler

        if not 1 <= frames <= self.layout.frames:
            raise ValueError(f"{frames} frames cannot be generated; this model makes 1 to {self.layout.frames}")
        scheduler: Any = AmusedScheduler(mask_token_id=self.mask, masking_schedule="cosine")
        scheduler.set_timesteps(rounds, temperature=(temperature, 0), device=text.device)
        codes = torch.full((len(text), frames * self.layout.patches), self.mask, device=text.device)
        for timestep in scheduler.timesteps:
            logits = self(text, codes.unflatten(1, (frames, -1))).flatten(1, 2)
            codes = scheduler.step(logits, timestep, codes, generator=generator).prev_sample
        return codes.unflatten(1, (frames, -1))
