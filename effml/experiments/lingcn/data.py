"""Skeletons as ST-GCN takes them: resampled, centred, split; training sequences turned, scaled and cropped at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from effml.errors import UserError
from effml.experiments.core.run import Run
from effml.experiments.data.images.images import held_out
from effml.experiments.data.skeletons.skeletons import Skeletons
from effml.experiments.lingcn.config import Config
from effml.models.reduction.batches import Batches
from effml.models.stgcn.graph import spatial_adjacency

TURN, SCALE, CROP = 0.35, 0.1, 0.2  # radians about the vertical; share of the size; share of the frames


@dataclass(frozen=True)
class Actions:
    """A data set ready to train on.

    Attributes:
        name: for tables.
        told: one line for the log.
        batches: training batches `[N, 3, T, V]`, or `[N, 3, T, V, M]` where there are two people or more.
        held_out, test: sequences in the same form, with labels.
        adjacency: `[3, V, V]`.
        classes: how many.
    """

    name: str
    told: str
    batches: Batches
    held_out: tuple[Float[Tensor, "n 3 t nodes *persons"], Int[Tensor, " n"]]
    test: tuple[Float[Tensor, "n 3 t nodes *persons"], Int[Tensor, " n"]]
    adjacency: Float[Tensor, "3 nodes nodes"]
    classes: int


@dataclass(frozen=True)
class Moved(Batches):
    """Batches whose sequences are moved at random, as far as another sensor or another person would move them."""

    moving: bool = True

    def _augment(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        if not self.moving:
            return images
        draws = torch.from_numpy(rng.random((4, len(images)))).to(images)
        return crop(turn(images, (2 * draws[0] - 1) * TURN) * _each(1 + (2 * draws[1] - 1) * SCALE, images), draws[2:])


def turn(
    x: Float[Tensor, "n 3 t nodes *persons"], angles: Float[Tensor, " n"]
) -> Float[Tensor, "n 3 t nodes *persons"]:
    """Turn each sequence about the vertical axis (y)."""
    cos, sin = _each(angles.cos(), x[:, 0]), _each(angles.sin(), x[:, 0])
    across, up, away = x.unbind(1)
    return torch.stack([cos * across + sin * away, up, cos * away - sin * across], 1)


def crop(
    x: Float[Tensor, "n 3 t nodes *persons"], draws: Float[Tensor, "2 n"]
) -> Float[Tensor, "n 3 t nodes *persons"]:
    """A stretch of `1 - CROP` to all of each sequence, resampled to as many frames; `draws` in [0, 1): length and place."""
    frames = x.shape[2]
    length = (frames - 1) * (1 - CROP * draws[0])
    begin = (frames - 1 - length) * draws[1]
    place = begin[:, None] + length[:, None] * torch.linspace(0, 1, frames, device=x.device, dtype=x.dtype)
    low = place.floor().long().clamp(0, frames - 1)
    high = (low + 1).clamp_max(frames - 1)
    example = torch.arange(len(x), device=x.device)[:, None]
    by_time = x.transpose(1, 2)
    found = torch.lerp(
        by_time[example, low], by_time[example, high], (place - low).reshape(*place.shape, *[1] * (x.dim() - 2))
    )
    return found.transpose(1, 2).contiguous()


def _each(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _name(config: Config, skeletons: Skeletons) -> str:
    """The data set's name, with what was chosen about it."""
    dataset = config.dataset
    chosen = [dataset.layout, f"across {dataset.split}s" if dataset.split else None]
    chosen += [
        f"{count} {what}" for count, what in ((dataset.classes, "classes"), (dataset.repeats, "repeats")) if count
    ]
    return " ".join([skeletons.name, *(text for text in chosen if text)])


def prepare(config: Config, run: Run) -> Actions:
    """Load, resample, and split held-out sequences off the training ones by the seed, class by class."""
    skeletons: Skeletons = run.load(config.dataset)
    x = skeletons.tensor(config.model.frames).to(run.device)
    if x.shape[4] == 1:
        x = x[..., 0]
    labels = skeletons.labels.to(run.device)
    train, test = (mask.nonzero()[:, 0] for mask in (skeletons.train, skeletons.test))
    held = held_out(skeletons.labels[train], config.train.held_out, int(run.numpy("held-out").integers(2**31)))
    used, held = train[~held], train[held]
    for name, found in (("training", used), ("held-out", held), ("test", test)):
        if len(found) < 2:
            raise UserError(f"data set {config.dataset.name} leaves {len(found)} {name} sequences; expected at least 2")
    size = min(config.train.batch, len(used))
    seed = int(run.numpy("batches").integers(2**31))
    adjacency = spatial_adjacency(skeletons.bones, skeletons.centre, skeletons.num_joints)
    name = _name(config, skeletons)
    return Actions(
        name,
        f"{name}: {len(used)} training, {len(held)} held-out, {len(test)} test sequences of {x.shape[2]} frames, "
        f"{skeletons.num_joints} joints, {skeletons.num_classes} classes",
        Moved(x[used], labels[used], size, seed, moving=config.train.augment),
        (x[held], labels[held]),
        (x[test], labels[test]),
        torch.from_numpy(adjacency).float().to(run.device),
        skeletons.num_classes,
    )
