"""What the suites share: trained networks, the judge of images, and samples from the same noise for every contender."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from effml.experiments.core.run import Run
from effml.experiments.deediff import train as training
from effml.experiments.deediff.config import Config
from effml.experiments.deediff.quality import Judge, Pixels, accuracy, train_classifier
from effml.models.exits.sampling import Network, Trajectory, sample
from effml.models.uvit import UViT
from effml.models.uvit.convert import load_public

SMALL_IMAGE = 8  # up to this edge the pixels themselves are the features


def network(run: Run, config: Config, task: training.Task, name: str, **change: Any) -> UViT:
    """A trained network, from the run's own stage, or from a public checkpoint."""
    layerwise = change.pop("layerwise", True)
    torch.manual_seed(run.seed)
    net = training.network(task, config.model, **change)
    if config.checkpoint:
        missing = load_public(net, Path(config.checkpoint).expanduser())
        run.log(f"checkpoint lacks {len(missing)} tensors (uncertainty heads); they are trained here")
    generator = run.generator(f"train {name}")

    def build() -> dict[str, Tensor]:
        told = lambda **values: run.step(network=name, **values)  # noqa: E731
        progress = lambda steps: run.progress(steps, f"training {name}", config.train.steps)  # noqa: E731
        return training.train(net, task, config.train, generator, progress, told, layerwise=layerwise)

    state = run.stage(f"network-{name}", build)
    net.load_state_dict(state)
    return net.to(task.images.device).eval()  # type: ignore[arg-type]  # diffusers wraps it without a type


def backbone(net: UViT) -> int:
    return sum(p.numel() for name, p in net.named_parameters() if not name.startswith("uncertainty_heads"))


def model_name(config: Config) -> str:
    model = config.model
    return f"p{model.patch} d{model.width} n{model.depth + 1}"


def judge_and_floor(run: Run, task: training.Task, test: Tensor, test_labels: Tensor) -> tuple[Judge, float]:
    """Quality in pixels for tiny images, in features of a classifier otherwise; and the floor: real against real."""
    extractor: Any = Pixels()
    if task.images.shape[-1] > SMALL_IMAGE:
        extractor = train_classifier(task.images, task.labels, task.classes, 400, run.generator("classifier"))
        run.log(
            f"features: classifier trained here, accuracy {accuracy(extractor, test, test_labels):.3f} on held-out images"
        )
    order = torch.randperm(len(task.images), generator=run.generator("floor"))
    half = len(order) // 2
    floor = Judge(extractor, task.images[order[:half]])(task.images[order[half:]]).fd
    return Judge(extractor, task.images), floor


def _start(run: Run, config: Config, task: training.Task) -> tuple[Tensor, Tensor]:
    """The noise and labels that every policy begins from."""
    generator = run.generator("noise")
    noise = torch.randn((config.sample.images, *task.images.shape[1:]), generator=generator).to(task.images.device)
    labels = torch.arange(config.sample.images) % task.classes
    return noise, labels.to(task.images.device)


def sampled(run: Run, config: Config, task: training.Task, network: Network, steps: int | None = None) -> Trajectory:
    noise, labels = _start(run, config, task)
    guidance = config.sample.guidance
    null = task.given(labels, null=True) if guidance else None
    return sample(
        network, noise, config.sample.solver, steps or config.sample.steps, condition=task.given(labels), null=null,
        guidance=guidance, seed=run.seed,
    )  # fmt: skip
