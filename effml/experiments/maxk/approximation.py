"""Suite `approximation`: one hidden layer with MaxK and with ReLU on three functions, the error against the width.

The paper's theorem (section 3.2): networks with MaxK are universal approximators. What is shown is that their error falls
as the width grows, beside ReLU's under the same training.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from effml.experiments.core.run import Run
from effml.experiments.maxk.config import Config
from effml.models.shallow import Shallow

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "square": lambda x: x * x,
    "sine": lambda x: torch.sin(math.pi * x),
    "absolute": torch.abs,
}
SAMPLES, GRID = 200, 2001


def approximation(config: Config, run: Run) -> None:
    settings = config.approximation
    points = [(target, width) for target in settings.targets for width in settings.widths]
    for target, width in run.progress(points, "approximation"):
        for model, k in (("relu", None), ("maxk", max(1, round(settings.keep * width)))):
            found = [_fit(config, run, FUNCTIONS[target], width, k, restart) for restart in range(settings.restarts)]
            largest, rms = min(found)
            labels: dict[str, str | int] = {"target": target, "width": width, "model": model}
            run.record("approximation", labels, "error_max", largest, evidence="measured")
            run.record("approximation", labels, "error_rms", rms, evidence="measured")


def _fit(
    config: Config, run: Run, function: Callable[[Tensor], Tensor], width: int, k: int | None, restart: int
) -> tuple[float, float]:
    """Largest and root mean square error after training; Adam with a cosine schedule, full batch."""
    torch.manual_seed(run.generator(f"shallow {restart}").initial_seed())
    net = Shallow(1, width, k).to(run.device)
    x = torch.linspace(-1, 1, SAMPLES, device=run.device)[:, None]
    y = function(x).squeeze(1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    steps = config.approximation.steps
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (net(x) - y).square().mean().backward()
        optimizer.step()
        schedule.step()
    grid = torch.linspace(-1, 1, GRID, device=run.device)[:, None]
    with torch.no_grad():
        error = net(grid) - function(grid).squeeze(1)
    return float(error.abs().max()), float(error.square().mean().sqrt())
