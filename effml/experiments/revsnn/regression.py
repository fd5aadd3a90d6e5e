"""Spike trains in, spike trains out: the Oxford task and a user's own, thousands of steps long, fitted to one sample or a few.

Spikes are compared as counts in short bins; segments of the sequence are whole bins, so that the loss is a sum over
segments and ordinary neurons need to keep bits alone.
"""

from __future__ import annotations

import math
import statistics
import time
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from effml.errors import UserError
from effml.experiments.core.measure import synchronize
from effml.experiments.core.run import Run
from effml.experiments.data.events.spikes import Spikes
from effml.experiments.revsnn.config import Config
from effml.experiments.revsnn.contenders import quietly
from effml.experiments.revsnn.sequences import Chain, bit_bytes, kept_of, linear_bytes

BIN = 10  # steps


def measure(data: Spikes, config: Config, run: Run) -> None:
    """Fit each kind of network to the training recordings and record how far it came."""
    for kept in run.progress(config.train.kept, "networks"):
        if kept not in ("leaky", "lif", "bit-checkpoint", "rev-bits", "rev-paper", "rev-anchor"):
            raise UserError(
                f"train.kept={kept} cannot be fitted to spike trains; use leaky, lif, bit-checkpoint or rev-bits"
            )
        figures = run.stage(f"fit {kept}", lambda: fit(kept, data, config, run))  # noqa: B023
        labels = {"dataset": data.name, "steps": data.steps, "kept": kept}
        for metric, value in figures.items():
            run.record("regression", labels, metric, value)
        told = f"; {figures['linear_bytes']:,.0f} bytes of it grow with T" if figures["linear_bytes"] else ""
        run.log(
            f"{kept}: loss {figures['loss_first']:.4g} to {figures['loss_last']:.4g}, {figures['spikes_matched']:.1%} of "
            f"spikes matched, {figures['saved_bytes']:,.0f} bytes kept{told}"
        )


def counts(spikes: Float[Tensor, "T batch outputs"]) -> Float[Tensor, "bins batch outputs"]:
    """Spikes in each bin; the last may be shorter."""
    padded = torch.nn.functional.pad(spikes, (0, 0, 0, 0, 0, -len(spikes) % BIN))
    return padded.unflatten(0, (-1, BIN)).sum(1)


def segment_of(steps: int) -> int:
    """About sqrt(T) steps, in whole bins."""
    return BIN * math.ceil(math.isqrt(max(steps - 1, 0)) / BIN + 1e-9) or BIN


def matched(ours: Tensor, target: Tensor) -> float:
    """F1 of spikes by bin: twice those in both over all in either."""
    both = torch.minimum(ours, target).sum()
    return float(2 * both / (ours.sum() + target.sum()).clamp_min(1))


def fit(kept: str, data: Spikes, config: Config, run: Run) -> dict[str, float]:
    """Adam, `train.epochs` steps on all training recordings at once; the row of the table."""
    options, members = config.train, data.train.nonzero().squeeze(1)
    x, target = data.batch(members).flatten(2).clamp(max=1).to(run.device), data.wanted(members).to(run.device)
    widths = (x.shape[2], options.hidden, target.shape[2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.generator("weights").initial_seed())
        last = "lif" if kept.startswith("rev") else None  # spikes are wanted in the end
        chain = Chain(kept, widths, config, segment_of(len(x)), last).to(run.device)
        spread = _spread(x, chain)
    run.note(f"{kept}: first layer's weights scaled by {spread:.3g}")
    wanted = counts(target)
    # Target spikes are rare: bins with one weigh as much as all the others, or silence would be the answer.
    share = float((wanted > 0).float().mean())
    weight = min(100.0, max(1.0, (1 - share) / max(share, 1e-6)))
    scale = wanted.numel() * (1 + share * (weight - 1))

    def loss_of(spikes: Tensor, begin: int) -> Tensor:
        now = counts(spikes)
        want = wanted[begin // BIN : begin // BIN + len(now)]
        return ((now - want).square() * (1 + (want > 0) * (weight - 1))).sum() / scale

    def forward() -> Tensor:
        return chain(x, loss_of)

    optimizer = torch.optim.Adam(chain.parameters(), options.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)
    losses, seconds = [], []
    for step in run.progress(range(options.epochs), f"fitting {kept}"):
        began = time.perf_counter()
        optimizer.zero_grad()
        loss = quietly(forward)
        loss.backward()
        optimizer.step()
        schedule.step()
        synchronize(run.device)
        seconds.append(time.perf_counter() - began)
        losses.append(float(loss.detach()))
        if step % 20 == 0 or step == options.epochs - 1:
            run.step(kept=kept, step=step, loss=losses[-1])
    found: dict[str, Any] = {
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "spikes_matched": matched(counts(quietly(chain.outputs, x)), wanted),
        "saved_bytes": float(kept_of(chain, x, forward)),
        "bit_bytes": float(bit_bytes(len(x), x.shape[1], widths)),
        "linear_bytes": float(linear_bytes(kept, len(x), x.shape[1], widths[1:-1])),
        "step_seconds": statistics.median(seconds),
    }
    return found


@torch.no_grad()
def _spread(x: Tensor, chain: Chain) -> float:
    """Scale the linear layers so that sparse spikes drive neurons about to their threshold; the factor."""
    rate = float(x.mean())
    factor = 1 / max(rate, 1e-3) ** 0.5
    for module in chain.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.mul_(factor)
    return factor
