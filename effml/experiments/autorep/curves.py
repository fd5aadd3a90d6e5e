"""Accuracy against budget: each method walks from the all-ReLU network down its budgets, each point from the last one.

Every point has the same number of optimiser steps for every method and is kept as a stage, so that an interrupted curve
goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from effml.experiments.autorep.config import Config
from effml.experiments.autorep.data import Data
from effml.experiments.autorep.networks import Method, budget_of, student
from effml.experiments.core.run import Keep, Run, State
from effml.models.reduction.fit import Objective, accuracy
from effml.models.reduction.mask import ReluMask
from effml.models.reduction.network import GatedNetwork
from effml.models.reduction.point import Recipe, reach, start
from effml.models.reduction.strategies import GateSettings


@dataclass(frozen=True)
class Reached:
    """A network at a budget: its state that was best on held-out images, and what the tables say of it."""

    method: Method
    budget: str
    relus: int
    sites: int
    state: dict[str, Tensor]
    accuracy: float
    figures: dict[str, float]


@dataclass(frozen=True)
class Curve:
    """A method's points in falling order of budget, down to where it diverged."""

    method: Method
    points: list[Reached]
    diverged: Diverged | None = None


class Diverged(Exception):
    """A point whose loss is no longer finite: an outcome of its method, which ends the method's curve."""

    def __init__(self, budget: str, why: str) -> None:
        super().__init__(why)
        self.budget = budget


def settings_of(config: Config, **changes: Any) -> GateSettings:
    """The gates' settings."""
    gate = config.gate
    given = {
        "threshold": gate.threshold,
        "spread": gate.spread,
        "rate": gate.rate,
        "pressure": gate.pressure,
        "snl_rate": gate.snl_rate,
        "snl_strength": gate.snl_strength,
        "snl_growth": gate.snl_growth,
        "snl_look": gate.snl_look,
    }
    return GateSettings(**{**given, **changes})


def recipe_of(config: Config, steps: int) -> Recipe:
    """The training of a point of `steps` steps."""
    train = config.train
    return Recipe(
        steps=steps,
        selecting=train.selecting,
        rate=train.rate,
        polynomial_rate=train.polynomial_rate,
        probe_batches=train.probe_batches,
        check_every=train.check_every,
        bfloat16=train.bfloat16,
    )


def curve(
    config: Config,
    run: Run,
    data: Data,
    teacher: GatedNetwork,
    method: Method,
    budgets: list[str],
    steps: int,
    settings: GateSettings,
    label: str,
    gates: str | None = None,
    mask: ReluMask | None = None,
) -> Iterator[tuple[Reached, GatedNetwork]]:
    """Each budget in falling order, with the network at its best there (the curve goes on from its last state).

    Raises:
        Diverged: at a point whose loss is no longer finite.
    """
    network = student(config, run, data, teacher, method, gates)
    objective = Objective(teacher.without_gates(), weight=config.train.distillation)
    recipe = recipe_of(config, steps)
    seed = int(run.numpy("masks").integers(2**31))
    start(network, method.replacement, data.batches, recipe.probe_batches)
    if mask is not None:
        mask.apply(network)
    wanted = {text: budget_of(text, network, method, config.cost.protocol) for text in budgets}
    for text, budget in sorted(wanted.items(), key=lambda item: -item[1]):
        name = f"{label}-{method}-{text}"

        def make(progress: State | None, keep: Keep, name: str = name, budget: int = budget) -> State:
            parts = dict(progress or {})

            def keep_part(part: str, state: State) -> None:
                parts[part] = deepcopy(state)  # it is the live one, which the next part changes
                keep(parts)

            point = reach(
                network,
                budget,
                method.strategy,
                method.replacement,
                data.batches,
                objective,
                recipe,
                settings,
                run.generator("gates"),
                seed,
                data.held_out,
                parts.get,
                keep_part,
            )
            for part, fitted in (("select", point.selecting), ("fit", point.fitted)):
                for step, loss, score in fitted.curve:
                    run.step(fit=name, part=part, step=step, loss=loss, held_out=score)
            figures = {
                "closed": float(point.settled.closed),
                "opened": float(point.settled.opened),
                "flips": float(point.settled.flips),
                "steps": float(point.selecting.steps + point.fitted.steps),
            }
            last = network.state_dict()
            return {"last": last, "best": point.fitted.best_state or last, "figures": figures}

        try:
            stage = run.resumable(name, make)
        except FloatingPointError as error:
            run.log(f"{method} at {text}: {error}")
            raise Diverged(text, str(error)) from error
        network.freeze()
        network.load_state_dict(stage["best"])
        share = last = accuracy(network, *data.test)
        if any(not torch.equal(value, stage["best"][key]) for key, value in stage["last"].items()):
            network.load_state_dict(stage["last"])
            last = accuracy(network, *data.test)
            network.load_state_dict(stage["best"])
        stage["figures"]["accuracy_last"] = last
        figures = {**stage["figures"], "accuracy": share}
        run.log(
            f"{method} at {text}: {network.kept:,} of {network.total:,} ReLUs, test accuracy {share:.4f} "
            f"({figures['steps']:.0f} steps)"
        )
        reached = Reached(method, text, network.kept, network.total, stage["best"], share, figures)
        yield reached, network
        network.load_state_dict(stage["last"])


def train_curves(config: Config, run: Run, data: Data, teacher: GatedNetwork, methods: list[Method]) -> Iterator[Curve]:
    """Train every method's curve; the mask of every point is kept as a file, `masks/METHOD-BUDGET.npz`.

    Raises:
        UserError: with `model.mask`: not a mask, or one of another architecture.
    """
    mask = None if config.model.mask is None else ReluMask.load(Path(config.model.mask))
    budgets = config.train.budgets
    if mask is not None:
        methods, budgets = [Method("mask", method.replacement) for method in methods], [str(mask.kept)]
    steps, settings = config.train.steps, settings_of(config)
    for method in run.progress(list(dict.fromkeys(methods)), "curves"):
        points, ended = [], None
        try:
            for reached, network in curve(
                config, run, data, teacher, method, budgets, steps, settings, "curve", mask=mask
            ):
                ReluMask.of(network, method=str(method), budget=reached.budget, seed=run.seed).save(
                    mask_path(run, reached)
                )
                points.append(reached)
        except Diverged as diverged:
            ended = diverged
        yield Curve(method, points, ended)


def mask_path(run: Run, reached: Reached) -> Path:
    """Where the mask of a point is kept."""
    return run.artifact(f"masks/{reached.method}-{reached.budget.replace('%', 'pc')}.npz")
