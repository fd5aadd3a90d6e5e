"""Time of a forward and a backward: a layer of neurons, small networks, one large layer; and what a step's backward
computes, counted.

Recovering by one sweep ("streamlined") is set against inverse and second forward in plain torch both, as the paper's
23.8 % must be; the compiled kernels stand beside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from effml.experiments.core.measure import Timing, interleave
from effml.experiments.core.run import Run
from effml.experiments.revsnn import operations
from effml.experiments.revsnn.config import Config
from effml.experiments.revsnn.contenders import network, node, quietly, tell_of_stability, wanted
from effml.kernels.spiking.operator import default_backend
from effml.models.spiking.revlif import RevLIF
from effml.models.spiking.stability import max_safe_steps

STREAMLINED, DOUBLE, PLAIN = ("rev-paper", "torch"), ("rev-double", "torch"), ("leaky", "torch")
WRONG = 1e-4  # relative error of a float32 gradient above which a time says nothing
Provider = tuple[str, str]


def measure(config: Config, run: Run) -> None:
    """Operations, layers, networks, the large layer."""
    tell_of_stability(config, run)
    operations.record(config, run)
    fast = default_backend(torch.empty(0, device=run.device))
    for steps in run.progress(config.time.steps, "layers"):
        _layer(steps, config, run, fast)
    if config.time.large:
        _large(config, run, fast)
    for kind in config.time.nets:
        for steps in run.progress(config.time.net_steps, f"{kind}s"):
            _network(kind, steps, config, run, fast)


def _layer(steps: int, config: Config, run: Run, fast: str) -> None:
    options = config.time
    peer = wanted(["spikingjelly"], run)
    providers: list[Provider] = [
        PLAIN, ("checkpoint", "torch"), *((name, "torch") for name in peer), DOUBLE, STREAMLINED, ("rev-bits", "torch"),
        ("lif", fast), ("rev-paper", fast), ("rev-bits", fast), ("rev-anchor", fast),
    ]  # fmt: skip
    neurons = {provider: node(*_with_backend(provider, config)).to(run.device) for provider in providers}
    shape = (steps, options.batch, options.width)
    generator = run.generator("input")
    x = (torch.randn(shape, generator=generator) * 1.5 + 0.3).to(run.device)
    weights = torch.randn(shape, generator=generator).to(run.device)
    oracle = node("rev-whole", config).to(run.device)
    errors = _check(neurons, oracle, x, weights, steps, config, run)
    calls = {name: _call(neuron, x, weights) for name, neuron in neurons.items() if errors[name] is not False}
    timings = _interleave(calls, options.rounds, run)
    where = {"net": "layer", "steps": steps, "neurons": options.batch * options.width}
    _record(where, timings, errors, run)
    _record_streamlined(where, timings, run)


def _large(config: Config, run: Run, fast: str) -> None:
    """One layer of very many neurons: where memory traffic decides."""
    options = config.time
    providers: list[Provider] = [PLAIN, ("lif", fast), ("rev-paper", fast), ("rev-bits", fast)]
    neurons = {provider: node(*_with_backend(provider, config)).to(run.device) for provider in providers}
    generator = run.generator("large input")
    x, weights = (torch.randn(options.large_steps, 1, options.large, generator=generator) for _ in range(2))
    x, weights = (x * 1.5 + 0.3).to(run.device), weights.to(run.device)
    # The oracle keeps everything, so it looks at a part of the neurons.
    part = slice(0, min(options.large, 4096))
    oracle = node("rev-whole", config).to(run.device)
    errors = _check(
        neurons, oracle, x[..., part].contiguous(), weights[..., part].contiguous(), options.large_steps, config, run
    )
    calls = {name: _call(neuron, x, weights) for name, neuron in neurons.items() if errors[name] is not False}
    timings = _interleave(calls, options.large_rounds, run)
    where = {"net": "large layer", "steps": options.large_steps, "neurons": options.large}
    _record(where, timings, errors, run)
    rival = timings.get(("rev-bits", fast))
    if rival and PLAIN in timings:
        ratio = rival.speedup_over(timings[PLAIN])
        run.log(
            f"bits against Leaky at T={options.large_steps}, {options.large:,} neurons: {ratio.median:.2f}x as fast"
        )


def _network(kind: str, steps: int, config: Config, run: Run, fast: str) -> None:
    options = config.time
    providers: list[Provider] = [
        PLAIN, ("checkpoint", "torch"), DOUBLE, STREAMLINED, ("lif", fast), ("bit-checkpoint", fast), ("rev-bits", fast),
        ("rev-norm", fast),
    ]  # fmt: skip
    side = max(options.side, 32) if kind != "convnet" else options.side
    nets: dict[Provider, nn.Module] = {}
    first: nn.Module | None = None
    for kept, backend in [("rev-whole", "torch"), *providers]:
        net = network(kept, kind, config, 3, options.net_width, side=side).to(run.device)
        for module in net.modules():
            if isinstance(module, RevLIF):
                module.backend = backend
        if first is None:
            first = net
        else:
            with torch.no_grad():  # the same values in the same order, whatever the modules are called
                for mine, theirs in zip(net.parameters(), first.parameters(), strict=True):
                    mine.copy_(theirs)
        nets[kept, backend] = net
    oracle = nets.pop(("rev-whole", "torch"))
    x = torch.rand(steps, options.net_batch, 3, side, side, generator=run.generator("images")).to(run.device)
    expected, errors = _gradients(oracle, x), {}
    for name, net in nets.items():
        errors[name] = _relative(_gradients(net, x), expected) if name[0].startswith("rev") else None
        if not _trusted(name, steps, errors[name], config):
            run.log(f"{kind} {name} at T={steps} is not timed: its gradient is off by {errors[name]:.2g}")
            errors[name] = False

    def step(net: nn.Module) -> Callable[[], None]:
        return lambda: quietly(net, x).square().sum().backward()

    timings = _interleave(
        {name: step(net) for name, net in nets.items() if errors[name] is not False}, options.rounds, run
    )
    where = {"net": kind, "steps": steps, "neurons": options.net_width}
    _record(where, timings, errors, run)
    _record_streamlined(where, timings, run)


def _with_backend(provider: Provider, config: Config) -> tuple[str, Config, str | None]:
    kept, backend = provider
    return kept, config, backend


def _call(neuron: nn.Module, x: Tensor, weights: Tensor) -> Callable[[], Tensor]:
    leaf = x.clone().requires_grad_()

    def call() -> Tensor:
        leaf.grad = None
        quietly(neuron, leaf).backward(weights)
        return leaf.grad  # type: ignore[return-value]

    return call


def _check(
    neurons: dict[Provider, nn.Module],
    oracle: nn.Module,
    x: Tensor,
    weights: Tensor,
    steps: int,
    config: Config,
    run: Run,
) -> dict[Provider, Any]:
    """Each gradient's error: against autograd of the node's equations, and of Leaky for what computes the same; None for
    other neurons, False for one that is too far off to be timed."""
    expected = {"rev": _call(oracle, x, weights)(), "lif": _call(neurons[PLAIN], x, weights)()}
    errors: dict[Provider, Any] = {}
    for name, neuron in neurons.items():
        family = "rev" if name[0].startswith("rev") else "lif" if name[0] in ("leaky", "lif", "checkpoint") else None
        if family is None:
            errors[name] = None
            continue
        errors[name] = _relative([_call(neuron, x, weights)()], [expected[family]])
        if not _trusted(name, steps, errors[name], config):
            run.log(f"{name[0]} in {name[1]} at T={steps} is not timed: its gradient is off by {errors[name]:.2g}")
            errors[name] = False
    return errors


def _trusted(name: Provider, steps: int, error: float | None, config: Config) -> bool:
    """Whether the gradient is right, or wrong for the known reason that the mode inverts too many steps."""
    if error is None or error < WRONG:
        return True
    safe = max_safe_steps(config.neuron.alpha, config.neuron.tau, torch.float32)
    inverted = {"rev-paper": steps, "rev-double": steps, "rev-anchor": min(steps, config.anchor_every)}.get(name[0], 0)
    # Rounding differences reach a per cent at the safe length, and first show a good deal before it.
    return inverted > safe or (inverted > 0 and error < 1e-2)


def _relative(actual: list[Tensor], expected: list[Tensor]) -> float:
    """Relative L2 error over all tensors together."""
    off = sum(float((a.double() - e.double()).square().sum()) for a, e in zip(actual, expected, strict=True))
    return (off / sum(float(e.double().square().sum()) for e in expected)) ** 0.5


def _gradients(net: nn.Module, x: Tensor) -> list[Tensor]:
    net.zero_grad()
    quietly(net, x).square().sum().backward()
    return [p.grad.clone() for p in net.parameters() if p.grad is not None]


def _interleave(calls: dict[Provider, Callable[[], Any]], rounds: int, run: Run) -> dict[Provider, Timing]:
    named = {" ".join(name): call for name, call in calls.items()}
    timings = interleave(named, rounds=rounds, device=run.device)
    return {name: timings[" ".join(name)] for name in calls}


def _record(where: dict[str, Any], timings: dict[Provider, Timing], errors: dict[Provider, Any], run: Run) -> None:
    for (kept, backend), timing in timings.items():
        labels = {**where, "kept": kept, "backend": backend}
        run.record("time", labels, "seconds", timing.median, samples=timing.samples)
        if PLAIN in timings:
            ratio = timing.speedup_over(timings[PLAIN])
            run.record("time", labels, "speedup", ratio.median, samples=ratio.samples)
        if errors[kept, backend] is not None:
            run.record("time", labels, "gradient_error", errors[kept, backend])


def _record_streamlined(where: dict[str, Any], timings: dict[Provider, Timing], run: Run) -> None:
    if STREAMLINED not in timings or DOUBLE not in timings:
        return
    ratio = timings[STREAMLINED].ratio(timings[DOUBLE])
    run.record("streamlined", where, "saved_share", 1 - ratio.median, samples=[1 - sample for sample in ratio.samples])
    run.record("streamlined", where, "saved_share_low", 1 - ratio.high)
    run.record("streamlined", where, "saved_share_high", 1 - ratio.low)
