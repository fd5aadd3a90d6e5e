"""diffusers' DiT under the same exit interface as U-ViT: layers one by one, heads, uncertainty; no skips."""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import DiTTransformer2DModel
from diffusers.models.cache_utils import CacheMixin
from torch import Tensor, nn


class CachedDiT(DiTTransformer2DModel, CacheMixin):
    """diffusers' DiT with the caching hooks that the class itself lacks."""


class DiT(nn.Module):
    """A `DiTTransformer2DModel` as a `Layered` model whose exits are its blocks.

    What stays with each row is its time and class, side by side in the `time` tensor. The second half of the output
    channels (a learned variance), where there is one, is dropped.

    Args:
        transformer: diffusers' model.
        uem: whether to add an uncertainty head per block: one linear map of the patch tokens.
    """

    def __init__(self, transformer: DiTTransformer2DModel, *, uem: bool = True) -> None:
        super().__init__()
        self.transformer: Any = transformer
        c: Any = transformer.config  # type: ignore[attr-defined]  # registered at construction
        width, patch = c.num_attention_heads * c.attention_head_dim, c.patch_size**2 * c.in_channels
        self.uncertainty_heads = (
            nn.ModuleList([nn.Linear(width, patch) for _ in range(self.num_exits)]) if uem else None
        )

    @property
    def num_exits(self) -> int:
        return len(self.transformer.transformer_blocks)

    def takes_skip(self, layer: int) -> bool:
        return False

    def gives_skip(self, layer: int) -> bool:
        return False

    def embed(self, sample: Tensor, timestep: Any, class_labels: Tensor) -> tuple[Tensor, Tensor]:
        """Patch tokens, and `[B, 2]` time and class of each row."""
        t = torch.as_tensor(timestep, device=sample.device).expand(len(sample)).long()
        return self.transformer.pos_embed(sample), torch.stack([t, class_labels], dim=1)

    def block(self, layer: int, tokens: Tensor, time: Tensor, skip: Tensor | None) -> Tensor:
        return self.transformer.transformer_blocks[layer](tokens, timestep=time[:, 0], class_labels=time[:, 1])

    def head(self, layer: int, tokens: Tensor, time: Tensor) -> Tensor:
        """The output layer of DiT (adaptive norm, projection) on the tokens of any block."""
        t = self.transformer
        embedding = t.transformer_blocks[0].norm1.emb(time[:, 0], time[:, 1], hidden_dtype=tokens.dtype)
        shift, scale = t.proj_out_1(nn.functional.silu(embedding)).chunk(2, dim=1)
        patches = t.proj_out_2(t.norm_out(tokens) * (1 + scale[:, None]) + shift[:, None])
        return self._unpatchify(patches, t.config.out_channels)[:, : t.config.in_channels]

    def uncertainty(self, layer: int, tokens: Tensor, time: Tensor) -> Tensor:
        """u_i in [0, 1] for every value of the image or latent."""
        if self.uncertainty_heads is None:
            raise ValueError("this model was made without uncertainty heads")
        logits = self.uncertainty_heads[layer](tokens.detach().float())
        return self._unpatchify(torch.sigmoid(logits), self.transformer.config.in_channels)

    def forward(self, sample: Tensor, timestep: Any, class_labels: Tensor) -> Tensor:
        """diffusers' own forward, without exits."""
        t = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
        out = self.transformer(sample, timestep=t, class_labels=class_labels).sample
        return out[:, : self.transformer.config.in_channels]

    def _unpatchify(self, patches: Tensor, channels: int) -> Tensor:
        p, grid = self.transformer.config.patch_size, math.isqrt(patches.shape[1])
        image = patches.view(len(patches), grid, grid, p, p, channels)
        return image.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), channels, grid * p, grid * p)
