"""Sampling with diffusers' schedulers through any network call that reports what it executed.

A `Network` is one way to spend less than the full model: early exit, or a rival (cached features, a first-block cache).
Fewer solver steps is the rival that needs none of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from effml.models.exits.forward import Exited, Layered, Policy, forward

TRAIN_STEPS = 1000
BETAS = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}


class Network(Protocol):
    """One call of a denoiser."""

    def begin(self) -> None:
        """A new trajectory begins."""

    def __call__(self, sample: Tensor, timestep: int, **condition: Any) -> Exited: ...


@dataclass
class Full:
    """The plain model: no uncertainty, no early head; what every speedup is measured against."""

    model: Any

    def begin(self) -> None:
        return

    @torch.no_grad()
    def __call__(self, sample: Tensor, timestep: int, **condition: Any) -> Exited:
        output = self.model(sample, timestep, **condition)
        return Exited(output, _all(sample, self.model.num_exits - 1), heads=len(sample))


@dataclass
class EarlyExit:
    """The model under an exit policy."""

    model: Layered
    policy: Policy

    def begin(self) -> None:
        return

    def __call__(self, sample: Tensor, timestep: int, **condition: Any) -> Exited:
        return forward(self.model, sample, timestep, self.policy, **condition)


@dataclass
class WithOracle:
    """Early exit by a policy that knows the full prediction; computing that is not charged (an upper bound)."""

    model: Any
    policy: Any

    def begin(self) -> None:
        return

    @torch.no_grad()
    def __call__(self, sample: Tensor, timestep: int, **condition: Any) -> Exited:
        self.policy.full = self.model(sample, timestep, **condition)
        return forward(self.model, sample, timestep, self.policy, **condition)


@dataclass
class IntervalCache:
    """Run the whole network every `every` steps; between, only the outermost blocks on cached inner tokens.

    The inner tokens change slowly from step to step, which is what feature caching rests on (DeepCache and its kin).
    """

    model: Any
    every: int

    def begin(self) -> None:
        self._calls, self._inner = 0, None

    @torch.no_grad()
    def __call__(self, sample: Tensor, timestep: int, **condition: Any) -> Exited:
        model, last = self.model, self.model.num_exits - 1
        tokens, _ = model.embed(sample, timestep, **condition)
        tokens = outer = model.blocks[0](tokens)
        executed = 2
        if self._calls % self.every == 0 or self._inner is None:
            skips = [outer]
            for i in range(1, last):
                tokens = model.blocks[i](tokens, skips.pop()) if model.takes_skip(i) else model.blocks[i](tokens)
                if model.gives_skip(i):
                    skips.append(tokens)
            self._inner, executed = tokens, last + 1
        self._calls += 1
        output = model.head(last, model.blocks[last](self._inner, outer))
        return Exited(output, _all(sample, executed - 1), heads=len(sample))


class FirstBlockCache:
    """diffusers' first-block cache: when the first block changes little since the last step, the rest is reused.

    It decides for the whole batch at once, so a sample's result depends on its batch mates.
    """

    def __init__(self, model: Any, threshold: float) -> None:
        from diffusers import FirstBlockCacheConfig

        if model.is_cache_enabled:
            model.disable_cache()
        model.enable_cache(FirstBlockCacheConfig(threshold=threshold))
        self.model = model
        self._executed = 0
        # A block whose cached result is reused never runs its projection: counting that counts executed blocks.
        self._hooks = [block.qkv.register_forward_hook(self._count) for block in model.blocks]

    def _count(self, *_: Any) -> None:
        self._executed += 1

    def begin(self) -> None:
        self.model._reset_stateful_cache()

    @torch.no_grad()
    def __call__(self, sample: Tensor, timestep: int, **condition: Any) -> Exited:
        self._executed = 0
        with self.model.cache_context("sampling"):
            output = self.model(sample, timestep, **condition)
        return Exited(output, _all(sample, self._executed - 1), heads=len(sample), syncs=1)

    def close(self) -> None:
        """Take the hooks off the model again."""
        for hook in self._hooks:
            hook.remove()
        self.model.disable_cache()


def _all(sample: Tensor, layer: int) -> Tensor:
    return torch.full((len(sample),), layer, dtype=torch.long, device=sample.device)


@dataclass
class Trajectory:
    """What a sampling run made and spent.

    Attributes:
        images: `[B, C, H, W]` in [-1, 1] (or latents).
        layers: `[steps, rows]` block (0-based) after which each row stopped; guidance doubles the rows.
        timesteps: of each step.
        seconds: wall-clock of the whole loop.
        checks, heads, syncs: as in `Exited`, summed.
        uncertainties: `[steps, rows]`, NaN where none was computed.
    """

    images: Tensor
    layers: Tensor
    timesteps: list[int]
    seconds: float
    checks: int = 0
    heads: int = 0
    syncs: int = 0
    uncertainties: Tensor = field(default_factory=lambda: torch.empty(0))


def scheduler_of(name: str, *, pixels: bool = True) -> Any:
    """A diffusers scheduler by short name: "ddim", "ddpm" or "dpm++" (order 2); trailing spacing, as few steps need it.

    With `pixels`, all three clip the predicted image to [-1, 1]: near t = T the noise's small error is divided by a signal
    of 0.6 %, and a solver that does not clip ends in colours that no image has.
    """
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

    if name == "ddim":
        return DDIMScheduler(TRAIN_STEPS, **BETAS, clip_sample=pixels, timestep_spacing="trailing")
    if name == "ddpm":
        return DDPMScheduler(TRAIN_STEPS, **BETAS, clip_sample=pixels, timestep_spacing="trailing")
    if name == "dpm++":
        return DPMSolverMultistepScheduler(
            TRAIN_STEPS, **BETAS, algorithm_type="dpmsolver++", timestep_spacing="trailing", thresholding=pixels,
            sample_max_value=1.0,
        )  # fmt: skip
    raise ValueError(f"unknown solver {name!r}; there is ddim, ddpm, dpm++")


def sample(
    network: Network, noise: Tensor, solver: str, steps: int, *, condition: dict[str, Tensor] | None = None,
    null: dict[str, Tensor] | None = None, guidance: float = 0.0, seed: int = 0, pixels: bool = True,
) -> Trajectory:  # fmt: skip
    """From noise to images.

    Args:
        noise: `[B, C, H, W]` standard normal; the same noise makes policies comparable image by image.
        condition, null: what the network is conditioned on, and the same for no condition, one entry per image.
        guidance: s in eps_c + s (eps_c - eps_u); 0 needs no `null` and half the rows.
        seed: of the noise that "ddpm" adds.
    """
    scheduler = scheduler_of(solver, pixels=pixels)
    scheduler.set_timesteps(steps)
    generator = torch.Generator(device=noise.device).manual_seed(seed)
    given = dict(condition or {})
    if guidance:
        if null is None:
            raise ValueError("guidance needs the null condition")
        given = {key: torch.cat([value, null[key]]) for key, value in given.items()}
    network.begin()
    x, calls, began = noise, [], time.perf_counter()
    timesteps = [int(t) for t in scheduler.timesteps]
    for t in scheduler.timesteps:
        rows = torch.cat([x, x]) if guidance else x
        call = network(rows, int(t), **given)
        calls.append(call)
        eps = call.output
        if guidance:
            conditioned, unconditioned = eps.chunk(2)
            eps = conditioned + guidance * (conditioned - unconditioned)
        extra = {} if solver == "dpm++" else {"generator": generator}
        x = scheduler.step(eps, t, x, **extra).prev_sample
    if x.is_cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    uncertainties = [c.uncertainty if c.uncertainty.numel() else torch.full(c.layer.shape, float("nan")) for c in calls]
    return Trajectory(
        x, torch.stack([c.layer for c in calls]).cpu(), timesteps, seconds, sum(c.checks for c in calls),
        sum(c.heads for c in calls), sum(c.syncs for c in calls), torch.stack([u.cpu() for u in uncertainties]),
    )  # fmt: skip


def calibrate(trajectory: Trajectory) -> dict[int, int]:
    """Timestep -> the block after which the median row stopped: the table of the calibrated policy."""
    return {t: int(layers.float().median()) for t, layers in zip(trajectory.timesteps, trajectory.layers, strict=True)}
