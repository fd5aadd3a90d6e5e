"""What the suites share: trained networks, the judge of images, and samples from the same noise for every contender."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from effml.experiments.core.run import Run
from effml.experiments.deediff import train as training
from effml.experiments.deediff.config import Config
from effml.experiments.deediff.quality import Judge, Pixels, SmallCnn, accuracy, train_classifier
from effml.models.exits.sampling import Network, Trajectory, sample
from effml.models.uvit import UViT
from effml.models.uvit.convert import load_public

SMALL_IMAGE = 8  # up to this edge the pixels themselves are the features
PROBE_STEPS = 200


def network(run: Run, config: Config, task: training.Task, name: str, **change: Any) -> UViT:
    """A trained network: from the run's own stage, finished or half-way, else from scratch or a public checkpoint."""
    layerwise = change.pop("layerwise", True)
    torch.manual_seed(run.seed)
    net = training.network(task, config.model, **change)
    if config.checkpoint:
        missing = load_public(net, Path(config.checkpoint).expanduser())
        run.log(f"checkpoint lacks {len(missing)} tensors (uncertainty heads); they are trained here")
    progress = lambda steps: run.progress(steps, f"training {name}")  # noqa: E731
    state = run.resumable(f"network-{name}", lambda kept, keep: training.train(
        net, task, config.train, run.generator(f"train {name}"), progress, partial(run.step, network=name),
        layerwise=layerwise, kept=kept, keep=keep,
    ))  # fmt: skip
    net.load_state_dict(state)
    return net.to(task.images.device).eval()  # type: ignore[arg-type]  # diffusers wraps it without a type


def probes(run: Run, config: Config, net: UViT, task: training.Task) -> nn.ModuleList:
    """BERxiT's probes on a trained network, a stage of their own."""
    steps = min(PROBE_STEPS, config.train.steps)
    fit = lambda: training.fit_probes(net, task, steps, run.generator("probes")).state_dict()  # noqa: E731
    state = run.stage("probes", fit)
    found = training.probes_of(net)
    found.load_state_dict(state)
    return found.to(task.images.device).eval()


def backbone(net: UViT) -> int:
    return sum(p.numel() for name, p in net.named_parameters() if not name.startswith("uncertainty_heads"))


def model_name(config: Config) -> str:
    model = config.model
    return f"p{model.patch} d{model.width} n{model.depth + 1}"


def judge_and_floor(run: Run, config: Config, task: training.Task, held: training.Task) -> tuple[Judge, float]:
    """Quality in pixels for tiny images, in features of a classifier otherwise; and the floor.

    The floor is the distance of held-out real images, as many as are generated if there are so many: what a perfect
    generator would score.
    """
    extractor: Any = Pixels()
    if task.images.shape[-1] > SMALL_IMAGE:
        extractor = SmallCnn(task.images.shape[1], task.classes)
        fit = lambda: train_classifier(task.images, task.labels, task.classes, 400, run.generator("classifier"))  # noqa: E731
        extractor.load_state_dict(run.stage("classifier", lambda: fit().state_dict()))
        extractor = extractor.to(task.images.device).eval()
        right = accuracy(extractor, held.images, held.labels)
        run.log(f"features: classifier trained here, accuracy {right:.3f} on held-out images")
    judge = Judge(extractor, task.images)
    chosen = torch.randperm(len(held.images), generator=run.generator("floor"))[: config.sample.images]
    return judge, judge(held.images[chosen.to(held.images.device)]).fd


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
