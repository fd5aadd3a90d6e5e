"""One point of a curve: bring a network to a budget with one strategy and one replacement, over a fixed number of steps.

Strategies are compared at equal steps: what a learned one spends on selecting it lacks for fitting the fixed mask.
Replacements: `dapa` (degree 2, optimal for the measured distribution, then trained), `dapa1` (degree 1 likewise), `wide`
(degree 2, optimal for three times the deviation, which deep networks with squares need), `authors` (degree 2 as the
published program starts it) and `linear` (the identity, not trained, as SNL has it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from effml.models.reduction.batches import Batches, Indexable
from effml.models.reduction.fit import Fitted, Objective, Plan, fit
from effml.models.reduction.network import GatedNetwork
from effml.models.reduction.strategies import (
    LEARNED,
    GateSettings,
    Settled,
    close_all,
    prepare,
    scores_of,
    settle,
)

REPLACEMENTS = {"wide": "wide", "dapa": "exact", "dapa1": "exact", "authors": "authors", "linear": "identity"}


def degree_of(replacement: str) -> int:
    """Degree of a replacement's polynomial."""
    return 1 if replacement in ("dapa1", "linear") else 2


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a point is trained.

    Args:
        steps: optimiser steps of a point in all; selecting: share of them in which a learned strategy's gates move.
        rate: learning rate of weights; polynomial_rate: of polynomials (Adam both).
        probe_batches: batches to calibrate and to score on.
        rewrite_every: while gates begin to close (the first half of selecting), polynomials are measured and set anew after
            so many steps, as in the published program; then they are trained alone.
        check_every: steps between checks on held-out examples.
    """

    steps: int
    selecting: float = 0.6
    rate: float = 1e-3
    polynomial_rate: float = 1e-3
    probe_batches: int = 8
    rewrite_every: int = 10
    check_every: int = 100
    bfloat16: bool = False


@dataclass(frozen=True)
class Point:
    """A network at a budget: how it was settled, and its fit with the mask fixed."""

    settled: Settled
    selecting: Fitted
    fitted: Fitted


def start(network: GatedNetwork, replacement: str, batches: Batches, probe_batches: int) -> None:
    """Measure the pre-activations of the network as it is and set its polynomials for this replacement."""
    network.meter(batches.plain(probe_batches))
    network.calibrate(REPLACEMENTS[replacement])
    network.train_polynomials(replacement != "linear")


def reach(
    network: GatedNetwork,
    budget: int,
    strategy: str,
    replacement: str,
    batches: Batches,
    objective: Objective,
    recipe: Recipe,
    settings: GateSettings,
    generator: torch.Generator,
    seed: int,
    held_out: tuple[Indexable, Tensor],
    load: Callable[[str], dict[str, Any] | None] = lambda stage: None,
    keep: Callable[[str, dict[str, Any]], None] = lambda stage, state: None,
) -> Point:
    """Select within the budget, then fit with the mask fixed. In place; `load` and `keep` hold checkpoints by stage.

    The strategy `mask` leaves the gates as they stand, fixed beforehand.

    A network that comes from a larger budget goes on from there: polynomials of channels still without replacement are
    measured anew, the others were trained since.
    """
    network.meter(batches.plain(recipe.probe_batches))
    network.calibrate(REPLACEMENTS[replacement], only_open=True)
    probe = batches.probe(recipe.probe_batches)
    spent, selecting, before = 0, Fitted(), states(network)
    if strategy in LEARNED:
        spent = round(recipe.selecting * recipe.steps)
        plan = prepare(strategy, network, budget, settings, _plan(network, recipe, spent, probe), generator)
        if replacement != "linear":
            plan = _rewriting(plan, network, REPLACEMENTS[replacement], recipe.rewrite_every)
        selecting = fit(
            network, batches, objective, plan, held_out, load("select"), lambda state: keep("select", state)
        )
        _meter(network, False)
        before = states(network)
        settled = settle(network, budget)
        spent = selecting.steps
    elif strategy == "mask":
        settled = Settled(0, 0)
    elif strategy == "none":
        close_all(network)
        settled = Settled(network.total, 0)
    else:
        scores = scores_of(strategy, network, batches, objective, recipe.probe_batches, seed)
        settled = settle(network, budget, scores)
    network.calibrate_in_order(REPLACEMENTS[replacement], probe.split(batches.size), before)
    plan = _plan(network, recipe, recipe.steps - spent, probe)
    checkpoint = load("fit")
    fitted = fit(
        network, batches, objective, plan, held_out, checkpoint, lambda state: keep("fit", state), first_batch=spent
    )
    return Point(settled, selecting, fitted)


def _plan(network: GatedNetwork, recipe: Recipe, steps: int, probe: Tensor) -> Plan:
    groups = [
        {"params": network.weight_parameters(), "lr": recipe.rate},
        {"params": network.polynomial_parameters(), "lr": recipe.polynomial_rate},
    ]
    return Plan(
        steps,
        groups,
        bfloat16=recipe.bfloat16,
        check_every=recipe.check_every,
        before_check=lambda: network.settle_norms(probe),
    )


def states(network: GatedNetwork) -> dict[str, Tensor]:
    """The gates' decisions by name, as they stand."""
    return {name: site.gate.decide().clone() for name, site in network.sites.items()}


def _meter(network: GatedNetwork, running: bool) -> None:
    for site in network.sites.values():
        site.meter.reset()
        site.metering = running


def _rewriting(plan: Plan, network: GatedNetwork, variant: str, every: int) -> Plan:
    """The plan with meters that run in its first half, and polynomials set from them after every so many steps."""
    until, stops = plan.steps // 2, plan.after
    _meter(network, until >= every)

    def after(step: int) -> bool:
        if step < until and (step + 1) % every == 0:
            network.calibrate(variant)
            _meter(network, step + 1 + every <= until)
        return stops is not None and stops(step)

    return replace(plan, after=after)
