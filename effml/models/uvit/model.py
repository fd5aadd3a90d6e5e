"""The backbone: everything is a token, the second half of the blocks also sees what the first half made (a U of skips).

Letters: B batch, L tokens, D width, N = depth + 1 blocks (and exits), p patch size, C channels. Knows no exit policy:
it offers its layers one by one (`embed`, `blocks`, `head`, `uncertainty`), and a plain `forward`.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from effml.kernels import mean_uncertainty


class Block(nn.Module):
    """Pre-norm attention and MLP; with `skip`, first a projection of the tokens beside an earlier block's tokens."""

    def __init__(self, width: int, heads: int, *, skip: bool) -> None:
        super().__init__()
        self.heads = heads
        self.skip_linear = nn.Linear(2 * width, width) if skip else None
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(
        self, hidden_states: Float[Tensor, "B L D"], skip: Float[Tensor, "B L D"] | None = None
    ) -> Float[Tensor, "B L D"]:
        x = hidden_states
        if self.skip_linear is not None:
            x = self.skip_linear(torch.cat([x, skip], dim=-1))  # type: ignore[list-item]
        b, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, length, width)
        x = x + self.proj(attended)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


# Lets diffusers' caching hooks (first-block cache and its kin) work on these blocks.
TransformerBlockRegistry.register(Block, TransformerBlockMetadata(return_hidden_states_index=0))


class UViT(ModelMixin, ConfigMixin, CacheMixin):  # type: ignore[misc]  # diffusers' own pair of bases
    """U-ViT that predicts noise, with N = depth + 1 exits.

    Args:
        sample_size: height and width of the image (or latent).
        patch_size: p; L = (sample_size / p)^2 image tokens.
        in_channels: C.
        width, depth, heads: D, N - 1, attention heads; depth is even.
        num_classes: classes including the null class of guidance, 0 for none.
        text_tokens, text_width: length and width of a caption's embedding, 0 for none.
        uem: input of the uncertainty heads: "tokens" (the authors' code) or "concat" (the paper: tokens and time).
        head: "shared" output head for all exits (the authors'), or "per_layer".
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        patch_size: int = 2,
        in_channels: int = 3,
        width: int = 512,
        depth: int = 12,
        heads: int = 8,
        num_classes: int = 0,
        text_tokens: int = 0,
        text_width: int = 768,
        uem: str = "tokens",
        head: str = "shared",
    ) -> None:
        super().__init__()
        if depth % 2 or sample_size % patch_size or width % heads:
            raise ValueError("depth must be even, sample_size divisible by patch_size, width by heads")
        if uem not in ("none", "tokens", "concat") or head not in ("shared", "per_layer"):
            raise ValueError("uem is none, tokens or concat; head is shared or per_layer")
        self.extras = 1 + (num_classes > 0) + text_tokens
        self.tokens_width, self.middle = width, depth // 2
        self.patch, self.channels = patch_size, in_channels
        self.per_layer, self.with_time = head == "per_layer", uem == "concat"
        grid = sample_size // patch_size
        self.patch_embed = nn.Conv2d(in_channels, width, patch_size, stride=patch_size)
        self.label_embed = nn.Embedding(num_classes, width) if num_classes else None
        self.text_embed = nn.Linear(text_width, width) if text_tokens else None
        self.pos_embed = nn.Parameter(torch.empty(1, self.extras + grid * grid, width))
        self.blocks = nn.ModuleList([Block(width, heads, skip=i > self.middle) for i in range(depth + 1)])
        exits = 1 if head == "shared" else depth + 1
        patch = patch_size**2 * in_channels
        self.norm = nn.ModuleList([nn.LayerNorm(width) for _ in range(exits)])
        self.decoder_pred = nn.ModuleList([nn.Linear(width, patch) for _ in range(exits)])
        self.final_layer = nn.ModuleList([nn.Conv2d(in_channels, in_channels, 3, padding=1) for _ in range(exits)])
        inputs = {"none": 0, "tokens": width, "concat": 2 * width}[uem]
        self.uncertainty_heads = nn.ModuleList([nn.Linear(inputs, patch) for _ in range(depth + 1)]) if inputs else None
        # The published 0.02 belongs to width 512. A sum of `width` terms needs larger ones when they are fewer: at width 64
        # and 0.02 every block begins as almost nothing, and a short training never gets attention to work.
        std = 0.02 * math.sqrt(512 / width)
        self.apply(partial(_initialise, std=std))
        nn.init.trunc_normal_(self.pos_embed, std=std)

    @property
    def num_exits(self) -> int:
        """N: blocks, after each of which the network may stop."""
        return len(self.blocks)

    def embed(
        self, sample: Float[Tensor, "B C H W"], timestep: Float[Tensor, " B"] | Int[Tensor, " B"] | float | int,
        class_labels: Int[Tensor, " B"] | None = None, text: Float[Tensor, "B S W"] | None = None,
    ) -> tuple[Float[Tensor, "B L D"], Float[Tensor, "B D"]]:  # fmt: skip
        """Tokens (condition, time, patches; positions added) and the embedding of time."""
        b = sample.shape[0]
        t = torch.as_tensor(timestep, device=sample.device).expand(b)
        time = sinusoid(t, self.tokens_width).to(sample.dtype)
        tokens = [time[:, None]]
        if self.label_embed is not None:
            if class_labels is None:
                raise ValueError("this model is conditioned on classes; pass class_labels (the null class for none)")
            tokens.insert(0, self.label_embed(class_labels)[:, None])
        if self.text_embed is not None:
            if text is None:
                raise ValueError("this model is conditioned on text; pass text embeddings")
            tokens.insert(0, self.text_embed(text))
        tokens.append(self.patch_embed(sample).flatten(2).transpose(1, 2))
        return torch.cat(tokens, dim=1) + self.pos_embed, time

    def takes_skip(self, layer: int) -> bool:
        """Whether block `layer` reads an earlier block's tokens."""
        return layer > self.middle

    def gives_skip(self, layer: int) -> bool:
        """Whether a later block reads the tokens of block `layer`."""
        return layer < self.middle

    def block(self, layer: int, tokens: Tensor, time: Tensor, skip: Tensor | None) -> Float[Tensor, "B L D"]:
        """One block on whichever rows are alive; time is a token here, so `time` is not looked at."""
        return self.blocks[layer](tokens) if skip is None else self.blocks[layer](tokens, skip)

    def head(self, layer: int, tokens: Float[Tensor, "B L D"], time: Tensor | None = None) -> Float[Tensor, "B C H W"]:
        """g_i: the noise that the network would predict if it stopped after block `layer`."""
        i = layer if self.per_layer else 0
        patches = self.decoder_pred[i](self.norm[i](tokens))[:, self.extras :]
        return self.final_layer[i](self._unpatchify(patches))

    def uncertainty_logits(
        self, layer: int, tokens: Float[Tensor, "B L D"], time: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B P Q"]:
        """Logits of the uncertainty map per patch (P patches, Q = p^2 C values); the tokens are detached, float32.

        With "concat", W [x; e_t] + b is computed as W_x x + (W_t e_t + b): the time part is one vector per sample.
        """
        module, patches = self._uncertainty_head(layer), tokens[:, self.extras :].detach().float()
        if not self.with_time:
            return F.linear(patches, module.weight.float(), module.bias.float())
        weight_tokens, weight_time = module.weight.float().split(self.tokens_width, dim=1)
        bias = F.linear(time.detach().float(), weight_time, module.bias.float())
        return F.linear(patches, weight_tokens) + bias[:, None]

    def uncertainty(
        self, layer: int, tokens: Float[Tensor, "B L D"], time: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B C H W"]:
        """u_i in [0, 1] for every value of the image (paper eq. 5)."""
        return self._unpatchify(torch.sigmoid(self.uncertainty_logits(layer, tokens, time)))

    def mean_uncertainty(
        self, layer: int, tokens: Float[Tensor, "B L D"], time: Float[Tensor, "B D"]
    ) -> Float[Tensor, " B"]:
        """The mean of `uncertainty` per sample, fused: all that an exit decision needs."""
        module = self._uncertainty_head(layer)
        weight, bias = module.weight.float(), module.bias.float()
        if self.with_time:
            weight, weight_time = weight.split(self.tokens_width, dim=1)
            bias = F.linear(time.float(), weight_time, bias)
        return mean_uncertainty(tokens[:, self.extras :], weight, bias)

    def forward(
        self, sample: Float[Tensor, "B C H W"], timestep: Tensor | float | int,
        class_labels: Int[Tensor, " B"] | None = None, text: Float[Tensor, "B S W"] | None = None,
    ) -> Float[Tensor, "B C H W"]:  # fmt: skip
        """The whole network; no uncertainty, no early head."""
        tokens, _ = self.embed(sample, timestep, class_labels, text)
        skips: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, skips.pop()) if self.takes_skip(i) else block(tokens)
            if self.gives_skip(i):
                skips.append(tokens)
        return self.head(len(self.blocks) - 1, tokens)

    def layers(
        self, sample: Float[Tensor, "B C H W"], timestep: Tensor | float | int,
        class_labels: Int[Tensor, " B"] | None = None, text: Float[Tensor, "B S W"] | None = None,
    ) -> tuple[list[Tensor], Tensor]:  # fmt: skip
        """Tokens after every block, and the embedding of time: what training the exits needs."""
        tokens, time = self.embed(sample, timestep, class_labels, text)
        skips: list[Tensor] = []
        found = []
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, skips.pop()) if self.takes_skip(i) else block(tokens)
            if self.gives_skip(i):
                skips.append(tokens)
            found.append(tokens)
        return found, time

    def _uncertainty_head(self, layer: int) -> nn.Linear:
        if self.uncertainty_heads is None:
            raise ValueError("this model was made without uncertainty heads (uem='none')")
        head = self.uncertainty_heads[layer]
        assert isinstance(head, nn.Linear)
        return head

    def _unpatchify(self, patches: Float[Tensor, "B P Q"]) -> Float[Tensor, "B C H W"]:
        p, c = self.patch, self.channels
        b, count, _ = patches.shape
        grid = math.isqrt(count)
        image = patches.view(b, grid, grid, p, p, c)
        return image.permute(0, 5, 1, 3, 2, 4).reshape(b, c, grid * p, grid * p)


def sinusoid(t: Tensor, width: int) -> Float[Tensor, "B D"]:
    """Cosines, then sines, of t over periods up to 10,000."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _initialise(module: nn.Module, std: float) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
