"""Frames to codes and back with a convolutional VQ auto-encoder: diffusers' `VQModel`, trained here.

The loss is the VQ-VAE paper's (arXiv 1711.00937), computed here, because the one that `VQModel` returns has the weights
of its two codebook terms exchanged. The codebook starts from k-means over the outputs of an encoder that has been trained
for a while without one: from its uniform start most codes would never be chosen again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class VQTokenizer(nn.Module):
    """`VQModel` with `stride` 2, 4, 8 ... pixels a code.

    Args:
        channels: C of the frames.
        codes: codebook size.
        stride: pixels per code, a power of two.
        width: channels of the widest level (a multiple of 16).
        latent: channels of a code vector.
    """

    def __init__(self, channels: int, codes: int, stride: int = 4, width: int = 64, latent: int = 4) -> None:
        super().__init__()
        from diffusers import VQModel

        levels = stride.bit_length() - 1
        if stride != 1 << levels or levels < 1:
            raise ValueError(f"stride {stride} is no power of two from 2 on")
        self.codes, self.stride = codes, stride
        widths = [max(width // 2, 16)] * levels + [width]
        self.net: Any = VQModel(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=tuple(widths),
            layers_per_block=1,
            latent_channels=latent,
            num_vq_embeddings=codes,
            norm_num_groups=8,
            mid_block_add_attention=False,
        )

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of codes of a frame."""
        return height // self.stride, width // self.stride

    def loss(self, frames: Float[Tensor, "frames C H W"], quantized: bool = True) -> Tensor:
        """Reconstruction + codebook + 0.25 commitment, of frames from 0 to 1; reconstruction alone if not `quantized`."""
        h = self.net.encode(frames * 2 - 1).latents
        if not quantized:
            return F.mse_loss(self._rebuild(h), frames * 2 - 1)
        chosen = self._vectors(self._nearest(h))
        rebuilt = self._rebuild(h + (chosen - h).detach())  # straight through: the decoder's gradient passes to h
        codebook, commitment = F.mse_loss(chosen, h.detach()), F.mse_loss(h, chosen.detach())
        return F.mse_loss(rebuilt, frames * 2 - 1) + codebook + 0.25 * commitment

    def fit(
        self, batches: Sequence[Float[Tensor, "frames C H W"]], rate: float = 2e-3, plain: float = 0.2, seed: int = 0
    ) -> list[float]:
        """Train on `batches`, the first share `plain` of them without a codebook; the loss of each step."""
        optimizer = torch.optim.AdamW(self.parameters(), rate, betas=(0.9, 0.95))
        begin = round(plain * len(batches))
        losses = []
        for step, frames in enumerate(batches):
            if step == begin:
                self._seed_codebook(frames, seed)
            loss = self.loss(frames, quantized=step >= begin)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "frames C H W"]) -> Int[Tensor, "frames rows columns"]:
        self._check(frames)
        return torch.cat([self._nearest(self.net.encode(part * 2 - 1).latents) for part in frames.split(256)])

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "frames rows columns"]) -> Float[Tensor, "frames C H W"]:
        parts = [self._rebuild(self._vectors(part)) for part in codes.split(256)]
        return (torch.cat(parts) / 2 + 0.5).clamp(0, 1)

    def _check(self, frames: Tensor) -> None:
        height, width = frames.shape[2:]
        if height % self.stride or width % self.stride:
            raise ValueError(f"frames of {height} x {width} do not divide into codes of {self.stride} x {self.stride}")

    def _nearest(self, h: Tensor) -> Tensor:
        """`[frames, rows, columns]` codes of latents `[frames, latent, rows, columns]`."""
        flat = h.permute(0, 2, 3, 1)
        table = self.net.quantize.embedding.weight
        return torch.cdist(flat.reshape(-1, flat.shape[-1]), table).argmin(1).view(flat.shape[:3])

    def _rebuild(self, vectors: Tensor) -> Tensor:
        return self.net.decode(vectors, force_not_quantize=True).sample

    def _vectors(self, codes: Tensor) -> Tensor:
        return self.net.quantize.embedding(codes).permute(0, 3, 1, 2)

    @torch.no_grad()
    def _seed_codebook(self, frames: Tensor, seed: int) -> None:
        from sklearn.cluster import MiniBatchKMeans

        h = self.net.encode(frames * 2 - 1).latents
        vectors = h.permute(0, 2, 3, 1).reshape(-1, h.shape[1]).cpu().numpy()
        means = MiniBatchKMeans(min(self.codes, len(vectors)), random_state=seed, n_init=1).fit(vectors)
        centres = torch.from_numpy(means.cluster_centers_).to(h)
        self.net.quantize.embedding.weight[: len(centres)] = centres
