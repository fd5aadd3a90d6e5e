"""How fast the gated activation is: the fused form against the naive autograd one, plain ReLU and the memory bound."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from effml.experiments.autorep.config import Config
from effml.experiments.core.measure import copy_bandwidth, interleave, scaled_error
from effml.experiments.core.run import Run
from effml.kernels.gated import gated_polynomial, gated_polynomial_reference, provider

SHAPE = (64, 64, 32, 32)
PASSES = 5  # forward reads z and writes y; backward reads the gradient and z and writes the gradient of z


def measure_activation(config: Config, run: Run) -> None:
    """Forward and backward at [64, 64, 32, 32], gates per pixel and polynomials per channel, checked before timed."""
    device = run.device
    generator = run.generator("activation")
    z, grad = (torch.randn(SHAPE, generator=generator).to(device) for _ in range(2))
    keep = (torch.rand(SHAPE[1:], generator=generator) < 0.5).float().to(device)
    coefficients = (torch.randn(3, SHAPE[1], 1, 1, generator=generator) / 4).to(device)
    for dtype in (torch.float32, torch.bfloat16) if device.type != "cpu" else (torch.float32,):
        _measure(config, run, z.to(dtype), grad.to(dtype), keep, coefficients)


def _measure(config: Config, run: Run, z: Tensor, grad: Tensor, keep: Tensor, coefficients: Tensor) -> None:
    inputs = [tensor.detach().requires_grad_() for tensor in (z, keep, coefficients)]

    def both(function: Callable[..., Tensor]) -> list[Tensor]:
        y = function(*inputs)
        return [y, *torch.autograd.grad(y, inputs, grad.to(y.dtype))]

    def plain() -> list[Tensor]:
        y = torch.relu(inputs[0])
        return [y, *torch.autograd.grad(y, inputs[:1], grad)]

    exact = [tensor.detach().double().requires_grad_() for tensor in (z, keep, coefficients)]
    y = gated_polynomial_reference(*exact)
    right = [y, *torch.autograd.grad(y, exact, grad.double())]
    functions: dict[str, Callable[..., Tensor]] = {"naive": gated_polynomial_reference}
    if z.device.type == "cuda":
        functions["torch.compile"] = torch.compile(gated_polynomial_reference)
    ours = f"fused ({provider(z.device)})"
    functions[ours] = gated_polynomial
    calls = {name: partial(both, function) for name, function in functions.items()}
    shape, dtype = "x".join(map(str, SHAPE)), str(z.dtype).removeprefix("torch.")

    def record(name: str, metric: str, value: float, samples: list[float] | None = None) -> None:
        labels: dict[str, Any] = {"shape": shape, "dtype": dtype, "provider": name}
        run.record("activation", labels, metric, value, samples=samples)

    for name, call in calls.items():
        error = max(scaled_error(one, two) for one, two in zip(call(), right, strict=True))
        record(name, "error_max", error)
    timings = interleave({**calls, "relu": plain}, rounds=config.rounds, device=z.device)
    for name, timing in timings.items():
        record(name, "seconds", timing.median, timing.samples)
        ratio = timing.speedup_over(timings["naive"])
        record(name, "speedup", ratio.median, ratio.samples)
    bound = PASSES * z.numel() * z.element_size() / copy_bandwidth(z.device)
    record("memory bound", "seconds", bound)
    record("memory bound", "speedup", timings["naive"].median / bound)
    run.log(
        f"gated activation, {dtype}: {ours} {timings[ours].speedup_over(timings['naive']).median:.1f} times as fast as the "
        f"naive form, {bound / timings[ours].median:.0%} of the memory bound"
    )
