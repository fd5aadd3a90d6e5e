"""Trains a U-ViT with its exits from scratch: noise prediction, uncertainty loss, layer-wise loss; EMA weights are kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from effml.models.exits.losses import exit_losses
from effml.models.exits.sampling import TRAIN_STEPS, scheduler_of
from effml.models.uvit import UViT

WORDS = ("a", "handwritten", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "<none>")
CAPTION_WIDTH = 32
KEEP_SECONDS = 60.0
"""Training keeps its state this often, so that an interruption costs no more."""
BOUND_IMAGES = 10_000


@dataclass(frozen=True)
class Task:
    """What a network is trained for.

    Attributes:
        images: `[M, C, H, W]` in [-1, 1].
        labels: `[M]`.
        classes: number of classes.
        condition: "none", "class" or "text".
        name: what tables call the data.
    """

    images: Tensor
    labels: Tensor
    classes: int
    condition: str
    name: str = ""

    def given(self, labels: Tensor, *, null: bool = False) -> dict[str, Tensor]:
        """What `embed` takes for these labels, or for no condition."""
        if self.condition == "class":
            return {"class_labels": torch.full_like(labels, self.classes) if null else labels}
        if self.condition == "text":
            return {"text": captions(labels, null=null)}
        return {}


def captions(labels: Tensor, *, null: bool = False) -> Tensor:
    """`[B, 3, W]` embeddings of "a handwritten <digit>": one fixed random vector a word, the same in every run."""
    table = torch.randn(len(WORDS), CAPTION_WIDTH, generator=torch.Generator().manual_seed(0)).to(labels.device)
    none = len(WORDS) - 1
    words = torch.stack([torch.zeros_like(labels), torch.ones_like(labels), labels + 2], dim=1)
    return table[torch.full_like(words, none) if null else words]


def network(
    task: Task, model: Any, *, depth: int | None = None, uem: str | None = None, head: str | None = None
) -> UViT:
    """The U-ViT of a config for this task."""
    text = task.condition == "text"
    return UViT(
        sample_size=task.images.shape[-1],
        patch_size=model.patch,
        in_channels=task.images.shape[1],
        width=model.width,
        depth=model.depth if depth is None else depth,
        heads=model.heads,
        num_classes=task.classes + 1 if task.condition == "class" else 0,
        text_tokens=3 if text else 0,
        text_width=CAPTION_WIDTH,
        uem=uem or model.uem,
        head=head or model.head,
    )


def noise_level(t: Tensor) -> Tensor:
    """Cumulative alpha of the linear schedule at integer timesteps."""
    return scheduler_of("ddim").alphas_cumprod.to(t.device)[t]


def noised(images: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    alpha = noise_level(t)[:, None, None, None]
    return alpha.sqrt() * images + (1 - alpha).sqrt() * noise


def train(
    net: UViT, task: Task, options: Any, generator: torch.Generator, steps: Callable[[Iterable[int]], Iterable[int]],
    told: Callable[..., None], *, layerwise: bool = True, kept: dict[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Fit `net` and return the EMA of its weights (which `net` then holds).

    Args:
        options: steps, batch, lr, ema, lam, beta, form, detach_weights, drop (share of steps without condition).
        steps: wraps the step counter in a progress display.
        told: takes step=, loss= ... for the curve.
        layerwise: whether the exits' layer-wise loss is part of the objective.
        kept, keep: a state to go on from, and where to put one every `KEEP_SECONDS`; going on changes no bit.
    """
    device = task.images.device
    net.to(device).train()  # type: ignore[arg-type]  # diffusers wraps it without a type
    optimiser = torch.optim.AdamW(net.parameters(), options.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    average = {name: value.detach().clone() for name, value in net.state_dict().items()}
    scaler = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
    done = 0
    if kept:
        done, average = kept["step"], {name: value.to(device) for name, value in kept["average"].items()}
        net.load_state_dict(kept["weights"])
        optimiser.load_state_dict(kept["optimiser"])
        generator.set_state(kept["generator"])
    last = time.monotonic()
    for step in steps(range(done, options.steps)):
        for group in optimiser.param_groups:
            group["lr"] = options.lr * _rate(step, options.steps)
        index = torch.randint(len(task.images), (options.batch,), generator=generator).to(device)
        images, labels = task.images[index], task.labels[index]
        noise = torch.randn(images.shape, generator=generator).to(device)
        t = torch.randint(TRAIN_STEPS, (options.batch,), generator=generator).to(device)
        drop = float(torch.rand((), generator=generator)) < options.drop
        with scaler:
            tokens, embedded = net.layers(noised(images, noise, t), t, **task.given(labels, null=drop))
            used = range(len(tokens)) if layerwise or options.lam else [len(tokens) - 1]
            predictions = [net.head(i, tokens[i]) for i in used]
            heads = net.uncertainty_heads is not None and options.lam
            uncertainties = [net.uncertainty(i, tokens[i], embedded) for i in used] if heads else None
        losses = exit_losses(
            [p.float() for p in predictions], uncertainties, noise, lam=options.lam if heads else 0.0,
            beta=options.beta if layerwise else 0.0, form=options.form, detach_weights=options.detach_weights,
        )  # fmt: skip
        optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        decay = min(options.ema, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, value in net.state_dict().items():
                average[name].lerp_(value, 1 - decay)
        if step % 50 == 0:
            parts = {"loss": losses.total, "simple": losses.simple, "uncertainty": losses.uncertainty}
            told(step=step, **{name: value.item() for name, value in parts.items()})
        if keep and time.monotonic() - last >= KEEP_SECONDS:
            state = {"step": step + 1, "average": average, "weights": net.state_dict()}
            keep({**state, "optimiser": optimiser.state_dict(), "generator": generator.get_state()})
            last = time.monotonic()
    net.load_state_dict(average)
    net.eval()
    return average


def _rate(step: int, steps: int) -> float:
    """Share of the peak rate: a linear rise over the first twentieth, under a cosine that ends at 5 %."""
    rise = min(1.0, (step + 1) / max(1, steps // 20))
    return rise * (0.5 * (1 + math.cos(math.pi * step / steps)) * 0.95 + 0.05)


@torch.no_grad()
def layer_errors(
    net: UViT, task: Task, timesteps: list[int], count: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Error and uncertainty of every exit at chosen times: `error`, `pseudo`, `predicted` `[T, N, B]`, mean over pixels."""
    device = task.images.device
    index = torch.randint(len(task.images), (count,), generator=generator).to(device)
    images, labels = task.images[index], task.labels[index]
    found: dict[str, list[Tensor]] = {"error": [], "pseudo": [], "predicted": []}
    for step in timesteps:
        t = torch.full((count,), step, device=device)
        noise = torch.randn(images.shape, generator=generator).to(device)
        tokens, time = net.layers(noised(images, noise, t), t, **task.given(labels))
        differences = [net.head(i, h) - noise for i, h in enumerate(tokens)]
        found["error"].append(torch.stack([d.square().flatten(1).mean(1) for d in differences]))
        found["pseudo"].append(torch.stack([d.abs().tanh().flatten(1).mean(1) for d in differences]))
        if net.uncertainty_heads is not None:
            found["predicted"].append(torch.stack([net.mean_uncertainty(i, h, time) for i, h in enumerate(tokens)]))
    return {name: torch.stack(values).cpu() for name, values in found.items() if values}


@torch.no_grad()
def simple_loss(net: UViT, task: Task, generator: torch.Generator, batches: int = 20, size: int = 256) -> float:
    """Error of the last layer averaged over all times and fresh noise."""
    device = task.images.device
    total = 0.0
    for _ in range(batches):
        index = torch.randint(len(task.images), (size,), generator=generator).to(device)
        images, labels = task.images[index], task.labels[index]
        noise = torch.randn(images.shape, generator=generator).to(device)
        t = torch.randint(TRAIN_STEPS, (size,), generator=generator).to(device)
        total += float(F.mse_loss(net(noised(images, noise, t), t, **task.given(labels)), noise))
    return total / batches


def gaussian_bound(images: Tensor, timesteps: Iterable[int]) -> list[float]:
    """Noise error of the best linear denoiser for data of this covariance: mean_k a s_k / (a s_k + 1 - a).

    A network must end below it; where it is high, no early exit at a small threshold can be right. The covariance is that
    of at most `BOUND_IMAGES` images, evenly taken.
    """
    flat = images[:: -(-len(images) // BOUND_IMAGES)].flatten(1).double()
    variances = torch.linalg.eigvalsh(torch.cov(flat.T)).clamp_min(0)
    alphas = scheduler_of("ddim").alphas_cumprod.double().to(images.device)
    return [float((alphas[t] * variances / (alphas[t] * variances + 1 - alphas[t])).mean()) for t in timesteps]


def probes_of(net: UViT) -> nn.ModuleList:
    """BERxiT's probes, untrained: one linear map per layer from mean tokens to the expected error, blind to time."""
    return nn.ModuleList([nn.Linear(net.tokens_width, 1) for _ in range(net.num_exits)])


def fit_probes(net: UViT, task: Task, steps: int, generator: torch.Generator) -> nn.ModuleList:
    """Trained probes, the backbone frozen."""
    device = task.images.device
    probes = probes_of(net).to(device)
    optimiser = torch.optim.Adam(probes.parameters(), 1e-2)
    for _ in range(steps):
        index = torch.randint(len(task.images), (256,), generator=generator).to(device)
        noise = torch.randn(task.images[index].shape, generator=generator).to(device)
        t = torch.randint(TRAIN_STEPS, (256,), generator=generator).to(device)
        with torch.no_grad():
            tokens, _ = net.layers(noised(task.images[index], noise, t), t, **task.given(task.labels[index]))
            targets = [(net.head(i, h) - noise).abs().tanh().flatten(1).mean(1) for i, h in enumerate(tokens)]
        guesses = [torch.sigmoid(p(h.float().mean(1)))[:, 0] for p, h in zip(probes, tokens, strict=True)]
        loss = torch.stack([F.mse_loss(g, y) for g, y in zip(guesses, targets, strict=True)]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return probes.eval()
