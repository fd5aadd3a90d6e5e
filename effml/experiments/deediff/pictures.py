"""Pictures of a run: sample grids, exit depth against time, uncertainty maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from effml.experiments.deediff.train import Task
    from effml.models.exits.sampling import Trajectory
    from effml.models.uvit import UViT


def grid(path: Path, images: Tensor, edge: int = 10, scale: int = 4) -> None:
    """Up to edge^2 images in [-1, 1] as one PNG, pixels enlarged without smoothing."""
    from PIL import Image

    images = ((images[: edge * edge].detach().cpu().clamp(-1, 1) + 1) * 127.5).byte()
    count, channels, h, w = images.shape
    rows = (count + edge - 1) // edge
    sheet = torch.zeros(channels, rows * (h + 1), edge * (w + 1), dtype=torch.uint8)
    for i, image in enumerate(images):
        top, left = i // edge * (h + 1), i % edge * (w + 1)
        sheet[:, top : top + h, left : left + w] = image
    array = sheet.permute(1, 2, 0).numpy()
    picture = Image.fromarray(array[..., 0] if channels == 1 else array[..., :3])
    picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST).save(path)


def depths(path: Path, trajectories: list[tuple[str, Trajectory]], exits: int) -> None:
    """Mean exit block against timestep, one line per threshold, spread over samples shaded."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
    for name, trajectory in trajectories:
        layers = trajectory.layers.float() + 1
        mean, spread = layers.mean(1), layers.std(1)
        axes.plot(trajectory.timesteps, mean, marker="o", markersize=3, label=f"u < {name}")
        axes.fill_between(trajectory.timesteps, mean - spread, mean + spread, alpha=0.15)
    axes.set(title="Exit depth against time", xlabel="timestep (noise grows to the right)", ylabel="blocks executed")
    axes.set_ylim(0, exits + 0.5)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


@torch.no_grad()
def maps(path: Path, net: UViT, task: Task, generator: torch.Generator) -> None:
    """Predicted uncertainty of the first, middle and last block, for a few images at three times."""
    from effml.experiments.deediff.train import noised

    images, labels = task.images[:6], task.labels[:6]
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    rows = [images]
    for step in (50, 300, 800):
        t = torch.full((len(images),), step, device=images.device)
        tokens, time = net.layers(noised(images, noise, t), t, **task.given(labels))
        for layer in (0, net.num_exits // 2, net.num_exits - 1):
            u = net.uncertainty(layer, tokens[layer], time).mean(1, keepdim=True)
            rows.append((u * 2 - 1).expand_as(images))
    grid(path, torch.cat(rows), edge=len(images))
