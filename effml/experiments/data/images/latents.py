"""`imagenet-latents` and `coco-latents`: images as a Stable Diffusion autoencoder encodes them, made by the user.

ImageNet: one .npz with `moments` [N, 8, 32, 32] (mean and log variance) or `latents` [N, 4, 32, 32], and `labels` [N].
COCO: the folder of U-ViT's feature extraction: `train/` and `val/` with `I.npy` (moments) and `I_K.npy` (captions encoded
by CLIP, 77 x 768), and `empty_context.npy`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from effml.experiments.data import checksum
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.places import reading, require

SCALE = 0.18215  # latents of this autoencoder have unit variance after this factor


@dataclass(eq=False)
class Latents:
    """N encoded images; `moments` [N, 8, H, W] or, for COCO, files read when drawn.

    Args:
        labels: `[N]` int64 classes, or None.
        contexts: files of the captions of each image, or ().
        empty: `[77, 768]` encoded empty caption, or None.
    """

    moments: Float[Tensor, "images 8 height width"] | tuple[Path, ...]
    labels: Int[Tensor, " images"] | None = None
    contexts: tuple[tuple[Path, ...], ...] = ()
    empty: Float[Tensor, "77 768"] | None = None

    def __len__(self) -> int:
        return len(self.moments)

    def draw(self, index: Tensor, generator: torch.Generator | None = None) -> Float[Tensor, "images 4 height width"]:
        """Scaled samples from the encoder's Gaussians."""
        if isinstance(self.moments, Tensor):
            moments = self.moments[index]
        else:
            moments = torch.stack([_array(self.moments[place], (8, None, None)) for place in index.tolist()])
        mean, log_variance = moments.float().chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=generator)
        return SCALE * (mean + (0.5 * log_variance.clamp(-30, 20)).exp() * noise)

    def caption(self, place: int, which: int = 0) -> Float[Tensor, "77 768"]:
        """The encoded caption `which` of an image."""
        return _array(self.contexts[place][which], (77, 768))


def imagenet(files: Files) -> Content:
    """One .npz; see the module."""
    path = files.own
    with reading(path, "an .npz of latents"), np.load(path, allow_pickle=False) as archive:
        held = {name: archive[name] for name in archive.files}
    require("moments" in held or "latents" in held, path, "it holds neither moments nor latents")
    if "moments" in held:
        moments = torch.from_numpy(held["moments"]).float()
    else:  # a latent alone is a Gaussian without width
        latents = torch.from_numpy(held["latents"]).float() / SCALE
        moments = torch.cat((latents, torch.full_like(latents, -30.0)), 1)
    require(moments.dim() == 4 and moments.shape[1] == 8, path, f"moments have shape {tuple(moments.shape)}")
    require(bool(moments.isfinite().all()), path, "a value is not finite")
    labels = torch.from_numpy(held["labels"]).long() if "labels" in held else None
    fits = labels is None or labels.shape == (len(moments),)
    require(fits, path, "labels and moments differ in number")
    return Content(Latents(moments, labels), checksum.of(moments, labels), f"{len(moments):,} latents")


def coco(files: Files, part: str = "train") -> Content:
    """A folder; see the module. Args: `part`, "train" or "val"."""
    root = files.own
    folder = root / part
    require(folder.is_dir(), root, f"it has no folder {part}/")
    names = sorted((path.stem for path in folder.glob("*.npy") if path.stem.isdigit()), key=int)
    require(bool(names), folder, "it holds no latents I.npy")
    require(
        names == [str(number) for number in range(len(names))], folder, "latents are not numbered from 0 without gap"
    )
    captions: list[list[Path]] = [[] for _ in names]
    for path in sorted(folder.glob("*_*.npy")):
        captions[int(path.stem.split("_")[0])].append(path)
    require(all(captions), folder, "an image has no caption I_K.npy")
    empty = _array(root / "empty_context.npy", (77, 768)) if (root / "empty_context.npy").is_file() else None
    moments = tuple(folder / f"{name}.npy" for name in names)
    listing = "".join(f"{path.name} {path.stat().st_size}\n" for path in moments)
    sha256 = hashlib.sha256(listing.encode()).hexdigest()
    return Content(
        Latents(moments, None, tuple(map(tuple, captions)), empty), sha256, f"{len(names):,} latents, {part}"
    )


def _array(path: Path, shape: tuple[int | None, ...]) -> Tensor:
    with reading(path, "an array"):
        array = np.load(path, allow_pickle=False)
    fits = len(array.shape) == len(shape) and all(e in (None, f) for e, f in zip(shape, array.shape, strict=True))
    require(fits, path, f"it has shape {array.shape}, expected {shape}")
    require(bool(np.isfinite(array).all()), path, "a value is not finite")
    return torch.from_numpy(array.astype(np.float32))
