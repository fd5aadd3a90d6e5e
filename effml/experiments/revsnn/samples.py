"""Training and test data as batches that a network takes: images coded over T steps, or recordings of events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from effml.errors import UserError
from effml.experiments.core.run import Run
from effml.experiments.data.events.spikes import Spikes
from effml.experiments.data.images.images import Images, Split
from effml.experiments.revsnn.coding import coded
from effml.experiments.revsnn.config import Config
from effml.models.reduction.batches import Batches


@dataclass
class Samples:
    """Labelled samples, ready for a network.

    Args:
        name: for the tables; `coding` and `steps` likewise.
        shape: of one sample at one step, one number for an mlp.
        training: endless batches by step; the draw depends on the seed alone.
        tests: every test sample once, in batches, the same each time.
    """

    name: str
    coding: str
    steps: int
    shape: tuple[int, ...]
    classes: int
    per_epoch: int
    training: Any
    tests: Any

    @property
    def inputs(self) -> int:
        """Channels, or inputs of an mlp."""
        return self.shape[0]


class _Unit:
    """Images of a split, grey values from 0 to 1, some of them, on a device."""

    def __init__(self, split: Split, chosen: Tensor, device: Any) -> None:
        self.split, self.chosen, self.device = split, chosen, device

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: Any, /) -> Tensor:
        return self.split.unit(self.chosen[index]).to(self.device)


def of_images(images: Images, config: Config, run: Run) -> Samples:
    """Images coded as `train.coding` says."""
    options, device, flat = config.train, run.device, config.train.net == "mlp"
    count = min(options.images or len(images.train), len(images.train))
    chosen = torch.from_numpy(run.numpy("images").permutation(len(images.train))[:count].copy())
    flip = options.augment and config.dataset.name != "digits"  # a digit's mirror image is none
    batches = Batches(
        _Unit(images.train, chosen, device), images.train.labels[chosen], min(options.batch, count),
        int(run.numpy("batches").integers(2**31)), images.shape[1] // 8 if options.augment else 0, flip,
    )  # fmt: skip
    tests = _Unit(images.test, torch.arange(len(images.test)), device)

    def code(pixels: Tensor, generator: torch.Generator) -> Tensor:
        return coded(pixels, options.coding, options.steps, flat, generator)

    def training(generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        step = 0
        while True:
            pixels, labels = batches(step)
            yield code(pixels, generator), labels.to(device)
            step += 1

    def testing() -> Iterator[tuple[Tensor, Tensor]]:
        generator = run.generator("test spikes")
        for part in torch.arange(len(tests)).split(256):
            yield code(tests[part], generator), images.test.labels[part].to(device)

    channels = images.shape[0]
    shape: tuple[int, ...] = images.shape
    if flat:
        height, width = images.shape[1:]
        shape = (channels * (height + width if options.coding == "pixels" else height * width),)
    if options.coding == "pixels" and options.steps < images.shape[1] * images.shape[2]:
        run.log(
            f"{options.steps} steps show {options.steps} of {images.shape[1] * images.shape[2]} pixels: use "
            "train.steps of at least as many"
        )
    return Samples(
        images.name, options.coding, options.steps, shape, images.num_classes, batches.per_epoch, training, testing
    )


def of_recordings(spikes: Spikes, config: Config, run: Run) -> Samples:
    """Labelled recordings, their events counted by bin."""
    if spikes.labels is None:
        raise UserError(f"{spikes.name} has neither classes nor target spikes")
    options, flat = config.train, config.train.net == "mlp"
    labels = spikes.labels
    members, held = spikes.train.nonzero().squeeze(1), spikes.test.nonzero().squeeze(1)
    if not len(held):
        raise UserError(f"{spikes.name} has classes but no test recording")
    members = members[torch.from_numpy(run.numpy("images").permutation(len(members))[: options.images].copy())]
    size = min(options.batch, len(members))
    one = tuple(spikes.inputs.shape[2:])
    if not flat and len(one) != 3:
        raise UserError(f"{spikes.name} has inputs of shape {[*one]}, which are no frames; use train.net=mlp")
    order_seed = int(run.numpy("batches").integers(2**31))

    def code(index: Tensor) -> Tensor:
        x = spikes.batch(index).to(run.device)
        return x.flatten(2) if flat else x

    def training(_generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.Generator().manual_seed(order_seed)
        while True:
            for part in members[torch.randperm(len(members), generator=order)].split(size):
                if len(part) == size:
                    yield code(part), labels[part].to(run.device)

    def testing() -> Iterator[tuple[Tensor, Tensor]]:
        for part in held.split(64):
            yield code(part), labels[part].to(run.device)

    shape = (int(torch.tensor(one).prod()),) if flat else one
    return Samples(
        spikes.name, "events", spikes.steps, shape, len(spikes.classes), max(1, len(members) // size), training, testing
    )
