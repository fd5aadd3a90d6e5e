"""Strategies that learn the gates while the network trains: AutoReP's hysteresis and SNL's relaxation.

Each installs its gates and returns the plan of the fit with a penalty and the gates' parameters added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from effml.models.gated import Gate, GatedActivation, HysteresisGate, SoftGate
from effml.models.reduction.budget import excess
from effml.models.reduction.fit import Plan
from effml.models.reduction.network import GatedNetwork

FACTOR = 140.0  # of the paper's published ResNet-18 runs; its other networks have 80 and 240


@dataclass(frozen=True)
class GateSettings:
    """How gates are learned.

    Args:
        threshold: half-width of the hysteresis (0.003 in the paper).
        spread: initial weights are spread over (0, spread); 1 in the paper. A weight moves by about `rate` a step, so
            that a schedule much shorter than spread / rate cannot close most gates.
        rate: learning rate of AutoReP's gate weights (1e-3 in the paper).
        pressure: AutoReP's penalty for each ReLU above the budget; None for `FACTOR` over the network's total, as in the
            paper (2.8e-4 for its ResNet-18). Where it is weak gates are closed by force at the end; where it drowns the
            loss's own gradient, the choice is random.
        snl_rate: learning rate of SNL's gates (1e-3 in the paper).
        snl_strength: SNL's first L1 factor (1e-5).
        snl_growth: by which it grows whenever the count has not fallen since the last look (1.1).
        snl_look: steps between looks (an epoch).
    """

    threshold: float = 0.003
    spread: float = 1.0
    rate: float = 1e-3
    pressure: float | None = None
    snl_rate: float = 1e-3
    snl_strength: float = 1e-5
    snl_growth: float = 1.1
    snl_look: int = 100


def prepare_autorep(
    network: GatedNetwork, budget: int, settings: GateSettings, plan: Plan, generator: torch.Generator
) -> Plan:
    """Hysteresis gates and the budget's penalty."""
    factor = FACTOR if settings.pressure is None else settings.pressure * network.total
    network.set_gates(lambda _, site: _continued(site.gate, settings, generator))
    gates = {"params": network.gate_parameters(), "lr": settings.rate, "weight_decay": 0.0}
    return replace(
        plan,
        groups=[*plan.groups, gates],
        penalty=lambda: factor * excess(network, budget).float(),
    )


def _continued(old: Gate, settings: GateSettings, generator: torch.Generator) -> HysteresisGate:
    """A hysteresis gate that goes on where the old one stands.

    Open gates get weights spread over (0, spread) in the order of their old scores, closed ones over (-spread, -threshold):
    what was learned stays, and no weight has further to go than at first. Equal scores are put in random order.
    """
    state, score = old.decide().flatten().cpu(), old.score().flatten().cpu()
    weight = torch.empty_like(score)
    for group, low, high in ((state, 0.0, settings.spread), (~state, -settings.spread, -settings.threshold)):
        count = int(group.sum())
        shuffled = torch.randperm(count, generator=generator)
        order = shuffled[torch.argsort(score[group][shuffled], stable=True)]
        place = torch.empty(count)
        place[order] = (torch.arange(count) + torch.rand(count, generator=generator)) / max(count, 1)
        weight[group] = low + (high - low) * place
    gate = HysteresisGate(tuple(old.decide().shape), settings.threshold)
    with torch.no_grad():
        gate.weight.copy_(weight.reshape(gate.weight.shape))
        gate.state.copy_(state.reshape(gate.state.shape))
    return gate


def prepare_snl(network: GatedNetwork, budget: int, settings: GateSettings, plan: Plan) -> Plan:
    """Relaxed gates under an L1 penalty that grows while the count stalls; the fit stops at the budget."""

    def soft(_: str, site: GatedActivation) -> Gate:
        state = site.gate.decide()
        gate = SoftGate(tuple(state.shape))
        with torch.no_grad():
            gate.weight.copy_(state.float())
        return gate

    network.set_gates(soft)
    memory = {"strength": settings.snl_strength, "lowest": float(network.total)}

    def penalty() -> Tensor:
        return memory["strength"] * torch.stack([gate.abs().sum() for gate in network.gate_parameters()]).sum()

    def after(step: int) -> bool:
        if (step + 1) % settings.snl_look:
            return False
        kept = network.kept
        if kept < memory["lowest"]:
            memory["lowest"] = kept
        else:
            memory["strength"] *= settings.snl_growth
        return kept <= budget

    gates = {"params": network.gate_parameters(), "lr": settings.snl_rate, "weight_decay": 0.0}
    return replace(plan, groups=[*plan.groups, gates], penalty=penalty, after=after, memory=memory)
