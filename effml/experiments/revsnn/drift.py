"""How far back each mode recovers what was: wrong spikes, errors of states and inputs, and what the gradient makes of them.

The forward must forget: a state is multiplied by the couplings at every step, so a rounding error grows by as much on
the way back. The recovered past is compared with the true one of the same forward, bit by bit; the gradient with
autograd of the same equations in the same precision.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from effml.experiments.core.run import Run
from effml.experiments.revsnn.config import Config
from effml.kernels.spiking import Rule, reference
from effml.kernels.spiking.rule import GRID
from effml.models.spiking.baselines import WholeRevLIF
from effml.models.spiking.revlif import RevLIF
from effml.models.spiking.stability import max_safe_steps


@dataclass(frozen=True)
class Drifted:
    """What came back: counts of wrong spikes, steps back to the nearest (None without), largest errors of V and X."""

    wrong: int
    first: int | None
    error_v: float
    error_x: float


def measure(config: Config, run: Run) -> None:
    """Every mode, precision, coupling and length."""
    options = config.drift
    told: set[str] = set()
    points = itertools.product(options.dtypes, options.taus, options.alphas, options.steps, options.modes)
    for dtype_name, tau, alpha, steps, mode in run.progress(list(points), "drift"):
        if (mode == "exact" and (alpha != 0.5 or not _is_power(config.neuron.beta))) or (alpha == 0 and mode != "bits"):
            continue
        dtype = getattr(torch, dtype_name)
        rule = Rule(tau, config.neuron.threshold, mode=mode, anchor_every=config.anchor_every)
        shape = (steps, options.batch, options.width)
        x = (torch.randn(shape, generator=run.generator("input"), dtype=torch.float64) * 1.5 + 0.3).to(dtype)
        found = recovered(x, alpha, config.neuron.beta, rule)
        labels = {"dtype": dtype_name, "tau": tau, "alpha": alpha, "steps": steps, "mode": mode}
        if mode == "paper":
            run.record("drift", labels, "safe_steps", max_safe_steps(alpha, tau, dtype))
        run.record("drift", labels, "wrong_spikes", found.wrong)
        if found.first is not None:
            run.record("drift", labels, "first_wrong", found.first)
        run.record("drift", labels, "error_v", found.error_v)
        run.record("drift", labels, "error_x", found.error_x)
        if mode != "exact":
            weights = torch.randn(shape, generator=run.generator("weights"), dtype=torch.float64).to(dtype)
            error, warned = gradient_error(x, weights, alpha, config.neuron.beta, rule)
            run.record("drift", labels, "gradient_error", error)
            for text in warned:
                if text not in told:
                    told.add(text)
                    run.log(f"warning: {text}")


def _is_power(beta: float) -> bool:
    return beta in {2.0**power for power in range(-6, 7)}


def recovered(x: Float[Tensor, "T batch neurons"], alpha: float, beta: float, rule: Rule) -> Drifted:
    """Forward in plain torch with everything kept, and the recovered past against it."""
    halves = x.reshape(*x.shape[:2], 2, -1)
    alpha_, beta_ = (torch.tensor(value, dtype=x.dtype) for value in (alpha, beta))
    y, u, bits, anchors, _ = reference.forward(halves, None, alpha_, beta_, rule)
    if rule.mode == "exact":
        halves = torch.floor(halves * GRID + 0.5) / GRID
    past, v1, v2 = [], torch.zeros_like(halves[0, :, 0]), torch.zeros_like(halves[0, :, 0])
    for x1, x2 in zip(halves[:, :, 0], halves[:, :, 1], strict=True):
        _, _, u1, u2, s1, s2 = reference.step(x1, x2, v1, v2, alpha_, beta_, rule)
        past.append((s1, s2, v1, v2, x1, x2))
        v1, v2 = u1, u2
    wrong, first, error_v, error_x = 0, None, 0.0, 0.0
    state = None if rule.mode == "bits" else u
    for t, back in reference.recovered_steps(y, state, None, bits, anchors, alpha_, beta_, rule):
        s1, s2, v1, v2, x1, x2 = past[t]
        flips = int((back.s1 != s1).sum() + (back.s2 != s2).sum())
        if flips and first is None:
            first = len(x) - t
        wrong += flips
        error_v = max(error_v, _largest(back.v1 - v1), _largest(back.v2 - v2))
        error_x = max(error_x, _largest(back.x1 - x1), _largest(back.x2 - x2))
    return Drifted(wrong, first, error_v, error_x)


def _largest(error: Tensor) -> float:
    return float(error.abs().nan_to_num(float("inf")).max())


def gradient_error(x: Tensor, weights: Tensor, alpha: float, beta: float, rule: Rule) -> tuple[float, list[str]]:
    """Relative L2 error of the layer's gradient against autograd, and what the layer warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer = RevLIF(
            rule.tau, alpha, beta, rule.threshold, mode=rule.mode, anchor_every=rule.anchor_every, multi_step=True
        )
        leaf = x.clone().requires_grad_()
        layer(leaf)[0].backward(weights)
    expected = x.clone().requires_grad_()
    WholeRevLIF(alpha, beta, rule)(expected).backward(weights)
    assert leaf.grad is not None and expected.grad is not None
    error = float((leaf.grad - expected.grad).norm() / expected.grad.norm())
    return error, [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
