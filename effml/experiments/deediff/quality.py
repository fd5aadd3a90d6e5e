"""Quality of generated images without downloaded weights: Fréchet and kernel distances on stated features, PSNR.

Never called FID: that name means Inception features. With Inception weights at hand torchmetrics takes the same path.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Pixels(nn.Module):
    """The pixels themselves as features: right for images of few pixels, where samples far outnumber dimensions."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


class SmallCnn(nn.Module):
    """Features of a small classifier trained in the run on the real training images."""

    def __init__(self, channels: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(64, width, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.classify = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images)


def train_classifier(images: Tensor, labels: Tensor, classes: int, steps: int, generator: torch.Generator) -> SmallCnn:
    """A few hundred steps of Adam on images in [-1, 1]."""
    net = SmallCnn(images.shape[1], classes).to(images.device)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(steps):
        index = torch.randint(len(images), (128,), generator=generator)
        loss = F.cross_entropy(net.classify(net(images[index])), labels[index])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


@torch.no_grad()
def accuracy(net: SmallCnn, images: Tensor, labels: Tensor) -> float:
    """Share of right answers."""
    right = sum(
        int((net.classify(net(x)).argmax(1) == y).sum())
        for x, y in zip(images.split(512), labels.split(512), strict=True)
    )
    return right / len(images)


@dataclass(frozen=True)
class Quality:
    """Distances of a set of images to the real ones, in the features of `Judge`."""

    fd: float
    kid: float


class Judge:
    """Compares generated images with real ones in one feature space.

    Args:
        extractor: images -> features.
        real: real images to compare with.
    """

    def __init__(self, extractor: nn.Module, real: Tensor) -> None:
        self.extractor = extractor.eval()
        self.real = self._features(real)

    @torch.no_grad()
    def _features(self, images: Tensor) -> Tensor:
        return torch.cat([self.extractor(chunk) for chunk in images.split(512)]).double().cpu()

    def __call__(self, images: Tensor) -> Quality:
        found = self._features(images)
        return Quality(frechet(self.real, found), kernel_distance(self.real, found))


def frechet(real: Tensor, found: Tensor) -> float:
    """Fréchet distance between Gaussians fitted to two sets of features, by torchmetrics' own formula."""
    from torchmetrics.image.fid import _compute_fid

    means = [x.mean(0) for x in (real, found)]
    covariances = [torch.cov(x.T).reshape(x.shape[1], x.shape[1]) for x in (real, found)]
    return float(_compute_fid(means[0], covariances[0], means[1], covariances[1]))


def kernel_distance(real: Tensor, found: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy with the cubic kernel of KID, on equally many of both."""
    from torchmetrics.image.kid import poly_mmd

    count = min(len(real), len(found))
    return float(poly_mmd(real[:count], found[:count]))


def psnr(images: Tensor, reference: Tensor) -> float:
    """Decibels to the full model's images from the same noise, range [-1, 1] clipped."""
    error = (images.clamp(-1, 1) - reference.clamp(-1, 1)).square().mean()
    return float(10 * torch.log10(4.0 / error.clamp_min(1e-12)))
