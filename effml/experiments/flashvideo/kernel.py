"""The operator alone: every form of retention and causal attention of the same shape, forward and backward.

Whatever is timed has first been checked against the float64 form; a provider whose result is wrong is recorded as such
and not timed. Attention computes another function and is checked for nothing: it is what a user would otherwise run.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from effml.experiments.core import memory
from effml.experiments.core.measure import Timing, copy_bandwidth, interleave, scaled_error
from effml.experiments.core.run import Run
from effml.experiments.flashvideo import clock
from effml.experiments.flashvideo.config import Config, Kernel
from effml.kernels import retention
from effml.models.retnet import decay

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
BOUNDS = {"fp32": 1e-5, "fp16": 3e-3, "bf16": 2e-2}
ATTENTION = "attention (SDPA)"
NAIVE_BYTES = 4e9  # the parallel form holds several T x T matrices a head; beyond this it is left out

Provider = Callable[..., Tensor]  # q, k, v, log_gamma -> o


@dataclass(frozen=True)
class Problem:
    """Operands of one shape and dtype, the gradient of the output, and the float64 answers."""

    q: Tensor
    k: Tensor
    v: Tensor
    log_gamma: Tensor
    grad: Tensor
    expected: tuple[Tensor, ...]


def measure(config: Config, run: Run) -> None:
    options = config.kernel
    _check_memory(options, run.device)
    torch.manual_seed(run.generator("kernel").initial_seed())
    with clock.threads(config.threads, run.device):
        bandwidth = copy_bandwidth(run.device)
        for dtype in options.dtypes:
            peak = _peak(dtype, run.device)
            for length in run.progress(options.lengths, f"retention in {dtype}"):
                _measure_shape(options, dtype, length, peak, bandwidth, run)


def _check_memory(options: Kernel, device: torch.device) -> None:
    """The float64 answers take up most: a dozen numbers for each channel of q, k and v, states and scores of chunks."""
    K, V, length = options.keys, options.values, max(options.lengths)
    needed = 8.0 * options.batch * options.heads * length * (12 * (K + V) + 4 * K * V / 64 + 4 * 64)
    memory.require(needed, device, f"kernel.lengths of {length:,} with kernel.batch={options.batch}",
                   "ask for shorter lengths or a smaller batch")  # fmt: skip


def providers(options: Kernel, length: int, device: torch.device) -> dict[str, Provider]:
    """Every way to compute it on this device; baselines first."""
    found: dict[str, Provider] = {ATTENTION: attention}
    if 24.0 * options.batch * options.heads * length**2 < NAIVE_BYTES:
        found["naive parallel"] = _form("parallel", 64)
    if length <= options.naive_limit:
        found["naive recurrent"] = _form("recurrent", 64)
    for chunk in options.chunks:
        found[f"chunks of {chunk}, torch"] = _form("chunk", chunk)
        if device.type == "cuda":
            found[f"chunks of {chunk}, triton"] = _form("triton", chunk)
    if device.type == "cuda":
        found |= _flash_linear_attention()
    return found


def _form(backend: str, chunk: int) -> Provider:
    return lambda q, k, v, log_gamma: retention(q, k, v, log_gamma, chunk=chunk, backend=backend)


def attention(q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor | None = None) -> Tensor:
    """Causal attention on `[B, T, H, ..]` in torch's fused kernels, at their best.

    They want keys as wide as values; else torch spells the scores out, which is up to nine times as slow as the fused
    kernel behind zeros that widen the narrower ones.
    """
    scale, values = q.shape[-1] ** -0.5, v.shape[-1]
    width = max(q.shape[-1], values)
    q, k, v = (x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1])) for x in (q, k, v))
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)[..., :values].transpose(1, 2)


def _flash_linear_attention() -> dict[str, Provider]:
    """fla's kernels where they are installed; their decay is fixed to the paper's schedule, which is why all use it."""
    try:
        from fla.ops.retention import chunk_retention
    except ImportError:
        return {}
    return {"flash-linear-attention": lambda q, k, v, log_gamma: chunk_retention(q, k, v)[0]}


def _problem(options: Kernel, dtype: str, length: int, device: torch.device) -> Problem:
    B, H, K, V = options.batch, options.heads, options.keys, options.values
    log_gamma = torch.tensor(decay.retnet(H), dtype=torch.float64, device=device)
    q, k, v, grad = (torch.randn(B, length, H, d, device=device).to(DTYPES[dtype]) for d in (K, K, V, V))
    wide = [x.double() for x in (q, k, v)]
    expected = _answers(_form("chunk", 64), wide[0], wide[1], wide[2], log_gamma, grad.double())
    return Problem(q, k, v, log_gamma, grad, expected)


def _answers(
    provider: Provider, q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor, grad: Tensor
) -> tuple[Tensor, ...]:
    """Output and gradients of q, k and v."""
    leaves = [x.detach().clone().requires_grad_() for x in (q, k, v)]
    o = provider(*leaves, log_gamma)
    return (o.detach(), *torch.autograd.grad(o, leaves, grad))


def _measure_shape(options: Kernel, dtype: str, length: int, peak: float, bandwidth: float, run: Run) -> None:
    problem = _problem(options, dtype, length, run.device)
    args = (problem.q, problem.k, problem.v, problem.log_gamma)
    B, H, K, V = options.batch, options.heads, options.keys, options.values
    named = {"shape": f"B {B}, T {length}, H {H}, K {K}, V {V}", "dtype": dtype}
    sound: dict[str, Provider] = {}
    for name, provider in providers(options, length, run.device).items():
        answers = _answers(provider, *args, problem.grad)
        error = max(scaled_error(got, right) for got, right in zip(answers, problem.expected, strict=True))
        if name == ATTENTION:
            sound[name] = provider
            continue
        for way in ("forward", "forward + backward"):
            run.record("kernel", {"pass": way, **named, "provider": name}, "scaled_error", error, evidence="measured")
        if error <= BOUNDS[dtype]:
            sound[name] = provider
        else:
            run.log(f"{name}, {dtype}, T {length}: wrong by {error:.2g}; it is not timed")
    for way in ("forward", "forward + backward"):
        calls = {name: _call(provider, problem, way) for name, provider in sound.items()}
        timings = interleave(calls, rounds=options.rounds, device=run.device)
        for name, timing in timings.items():
            labels = {"pass": way, **named, "provider": name}
            chunk = int(name.split()[2].strip(",")) if name.startswith("chunks") else 64
            bound = _bound(options, length, chunk, problem.q.element_size(), way, peak, bandwidth)
            _record(labels, timing, timings[ATTENTION], bound if name.startswith("chunks") else None, run)


def _call(provider: Provider, problem: Problem, way: str) -> Callable[[], Any]:
    if way == "forward":
        return torch.no_grad()(lambda: provider(problem.q, problem.k, problem.v, problem.log_gamma))
    return lambda: _answers(provider, problem.q, problem.k, problem.v, problem.log_gamma, problem.grad)


def _record(labels: dict[str, Any], timing: Timing, baseline: Timing, bound: float | None, run: Run) -> None:
    samples, seconds = clock.samples(timing, run.device), clock.seconds(timing, run.device)
    speedups = clock.ratios(baseline, timing, run.device)
    run.record("kernel", labels, "seconds", seconds, samples=samples, evidence="measured")
    run.record("kernel", labels, "speedup", statistics.median(speedups), samples=speedups, evidence="measured")
    if bound is not None:
        run.record("kernel", labels, "share_of_bound", bound / seconds, evidence="measured")


def _bound(options: Kernel, length: int, chunk: int, size: int, way: str, peak: float, bandwidth: float) -> float:
    """Least seconds of the chunkwise form: its products at the measured rate of a large product, or its operands and
    results moved once. Backward has four products for each of forward's two pairs, and computes the states again."""
    B, H, K, V = options.batch, options.heads, options.keys, options.values
    rows = min(chunk, length)
    inside, across = 2.0 * rows * (K + V), 4.0 * K * V
    products, moved = inside + across, (2 * K + 2 * V) * size
    if way != "forward":
        products += 2.0 * rows * (3 * K + 2 * V) + 10.0 * K * V
        moved += (4 * K + 3 * V) * size
    tokens = B * H * length
    return max(tokens * products / peak, tokens * moved / bandwidth)


def _peak(dtype: str, device: torch.device) -> float:
    """Operations a second of a large product in this dtype, measured now."""
    n = 1024 if device.type == "cpu" else 8192
    a, b = (torch.randn(n, n, device=device).to(DTYPES[dtype]) for _ in range(2))
    timing = interleave({"product": lambda: a @ b}, rounds=5, device=device)["product"]
    return 2.0 * n**3 / min(clock.samples(timing, device))
