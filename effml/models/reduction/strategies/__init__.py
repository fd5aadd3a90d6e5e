"""Which ReLUs to keep: one interface, seven answers.

Learned while training: `autorep` (hysteresis gates under a budget penalty, arXiv 2308.10134) and `snl` (relaxed gates
under an L1 penalty, arXiv 2202.02340). Scored on the network as it stands: `taylor`, `magnitude`. Blind: `random`,
`uniform`. And `none` keeps nothing: the all-polynomial network.

A learned strategy is `prepare`d, fitted and `settle`d; a scored one gets `scores_of` and is settled by them. Either way
the gates end up fixed, within the budget, and stay within a larger budget's mask where the scores say nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from effml.models.gated import FixedGate, HysteresisGate
from effml.models.reduction.batches import Batches
from effml.models.reduction.budget import fit_to_budget
from effml.models.reduction.fit import Objective, Plan
from effml.models.reduction.network import GatedNetwork
from effml.models.reduction.strategies.learned import GateSettings, prepare_autorep, prepare_snl
from effml.models.reduction.strategies.scored import magnitude_scores, random_scores, taylor_scores, uniform_scores

LEARNED = ("autorep", "snl")
SCORED = ("taylor", "magnitude", "random", "uniform")
STRATEGIES = (*LEARNED, *SCORED, "none")

__all__ = ["LEARNED", "SCORED", "STRATEGIES", "GateSettings", "Settled", "close_all", "prepare", "scores_of", "settle"]


@dataclass(frozen=True)
class Settled:
    """What it took to meet the budget exactly: sites closed and opened; and how often gates flipped before (AutoReP)."""

    closed: int
    opened: int
    flips: int = 0


def prepare(
    strategy: str, network: GatedNetwork, budget: int, settings: GateSettings, plan: Plan, generator: torch.Generator
) -> Plan:
    """The plan with a learned strategy's gates installed in the network, its penalty and its trained parameters.

    Raises:
        ValueError: a strategy that is not learned.
    """
    if strategy == "autorep":
        return prepare_autorep(network, budget, settings, plan, generator)
    if strategy == "snl":
        return prepare_snl(network, budget, settings, plan)
    raise ValueError(f"{strategy} is not learned; the learned strategies are {', '.join(LEARNED)}")


def scores_of(
    strategy: str, network: GatedNetwork, batches: Batches, objective: Objective, count: int, seed: int
) -> dict[str, Tensor]:
    """Scores of a strategy that needs no training; `count` batches where it looks at data.

    Raises:
        ValueError: a strategy without scores.
    """
    known: dict[str, Callable[[], dict[str, Tensor]]] = {
        "taylor": lambda: taylor_scores(network, batches, objective, count),
        "magnitude": lambda: magnitude_scores(network, batches, count),
        "random": lambda: random_scores(network, seed),
        "uniform": lambda: uniform_scores(network),
    }
    if strategy not in known:
        raise ValueError(f"{strategy} has no scores; there is {', '.join(known)}")
    return known[strategy]()


def settle(network: GatedNetwork, budget: int, scores: dict[str, Tensor] | None = None) -> Settled:
    """Fix the gates within the budget: after learning by their own scores, else by `scores` among gates still open."""
    flips = sum(int(site.gate.flips) for site in network.sites.values() if isinstance(site.gate, HysteresisGate))
    if scores is None:
        own = {name: site.gate.score() for name, site in network.sites.items()}
        return Settled(*fit_to_budget(network, budget, own), flips)
    allowed = {name: site.gate.decide() for name, site in network.sites.items()}
    return Settled(*fit_to_budget(network, budget, scores, allowed=allowed), flips)


def close_all(network: GatedNetwork) -> None:
    """Make it the all-polynomial network."""
    network.set_gates(lambda _, site: FixedGate(torch.zeros_like(site.gate.decide())))
