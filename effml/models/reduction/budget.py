"""Budgets in whole ReLUs: read from text, pressed on by a penalty, met exactly. Knows no strategy.

The published program stops as soon as the count is less than 2,000 above the budget (22 % above at 9,000) and counts the
batch-mean density in floating point. Here counts are integers and the final one is never above the budget.
"""

from __future__ import annotations

import re
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor

from effml.errors import UserError
from effml.models.gated import FixedGate
from effml.models.reduction.network import GatedNetwork


def parse_budget(text: str, total: int) -> int:
    """`12900`, `12.9K` or `2.6%` (of `total`, rounded down) as a number of ReLUs between 1 and `total`.

    Raises:
        UserError: not a budget, none at all, or above the total.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([%kKM]?)\s*", str(text))
    if not match:
        raise UserError(f"'{text}' is not a budget; write a count of ReLUs (12900 or 12.9K) or a share (2.6%)")
    factor = {
        "": Fraction(1),
        "%": Fraction(total, 100),
        "k": Fraction(1000),
        "K": Fraction(1000),
        "M": Fraction(10**6),
    }
    budget = int(Fraction(match[1]) * factor[match[2]])
    if budget > total:
        raise UserError(f"a budget of {text} ({budget:,} ReLUs) is above the network's total of {total:,}")
    if budget < 1:
        raise UserError(
            f"a budget of {text} keeps none of the network's {total:,} ReLUs, so there is nothing to select; "
            "for the all-polynomial network use the strategy `none`"
        )
    return budget


def excess(network: GatedNetwork, budget: int) -> Float[Tensor, ""]:
    """`max(0, kept - budget) / total`, differentiable through the gates; exactly 0, gradient too, within the budget."""
    parts = [site.gate.value().double().sum() * site.sites_per_gate for site in network.sites.values()]
    return torch.relu(torch.stack(parts).sum() - budget) / network.total


@torch.no_grad()
def fit_to_budget(
    network: GatedNetwork,
    budget: int,
    scores: dict[str, Float[Tensor, ...]],
    prefer_open: bool = True,
    allowed: dict[str, Tensor] | None = None,
) -> tuple[int, int]:
    """Fix the gates so that as many sites as the budget allows keep their ReLU, and never more.

    Args:
        scores: by site name, of the gates' shapes: sites with the highest keep theirs. Ties go to the earlier site.
        prefer_open: gates that stand open come before all that are closed, whatever their scores.
        allowed: gates that may be open at all (the mask of a larger budget), by name.

    Returns:
        How many scalar sites were closed and how many opened to meet the budget.
    """
    before = {name: site.gate.decide().clone() for name, site in network.sites.items()}
    flat = torch.cat([scores[name].detach().double().cpu().flatten() for name in network.names])
    state = torch.cat([before[name].cpu().flatten() for name in network.names])
    weight = torch.cat([torch.full((before[n].numel(),), s.sites_per_gate) for n, s in network.sites.items()])
    candidate = torch.ones_like(state)
    if allowed is not None:
        candidate = torch.cat([allowed[name].cpu().flatten() for name in network.names])
    rank = torch.empty_like(flat)
    rank[torch.argsort(flat, stable=True, descending=True)] = torch.arange(flat.numel(), dtype=torch.float64)
    if prefer_open:
        rank += (~state).double() * flat.numel()
    rank[~candidate] = torch.inf
    order = torch.argsort(rank)[: int(candidate.sum())]
    keep = torch.zeros_like(state)
    if bool((weight == 1).all()):
        keep[order[:budget]] = True
    else:  # gates of unequal weight: first fit
        left = budget
        for index, cost in zip(order.tolist(), weight[order].tolist(), strict=True):
            if cost <= left:
                keep[index], left = True, left - cost
    closed, opened = int((weight * (state & ~keep)).sum()), int((weight * (keep & ~state)).sum())
    parts = keep.split([before[name].numel() for name in network.names])
    masks = {name: part.reshape(before[name].shape) for name, part in zip(network.names, parts, strict=True)}
    network.set_gates(lambda name, _: FixedGate(masks[name], scores[name].detach()))
    return closed, opened
