"""What trains the exits: the pseudo-uncertainty, the uncertainty loss, the uncertainty-aware layer-wise loss.

Two normalisations: "paper" sums over layers, "repository" (the authors' code) averages, which makes its weights N times
smaller. Equations of DeeDiff as quoted by its independent reproduction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Losses:
    """Parts of the objective; `total` = simple + lam * uncertainty + beta * layerwise (eq. 9)."""

    total: Tensor
    simple: Tensor
    uncertainty: Tensor
    layerwise: Tensor
    per_layer: Float[Tensor, " N"]


def pseudo_uncertainty(prediction: Tensor, noise: Tensor) -> Tensor:
    """tanh |g_i - eps|, elementwise, detached (eq. 6)."""
    return (prediction - noise).abs().tanh().detach()


def exit_losses(
    predictions: list[Float[Tensor, "B C H W"]],
    uncertainties: list[Float[Tensor, "B C H W"]] | None,
    noise: Float[Tensor, "B C H W"],
    *,
    lam: float = 1.0,
    beta: float = 1.0,
    form: str = "repository",
    detach_weights: bool = False,
) -> Losses:
    """The joint objective over N exits.

    Args:
        predictions: g_i of every layer, the last one the network's output.
        uncertainties: u_i of every layer (computed from detached tokens), or None without uncertainty heads: the
            layer-wise loss then weighs all layers alike.
        lam, beta: weights of the uncertainty loss and of the layer-wise loss; 0 leaves a part out of the graph.
        form: "paper" or "repository".
        detach_weights: keep the layer-wise loss from teaching the uncertainty heads to look confident.
    """
    errors = [(prediction - noise).square() for prediction in predictions]
    per_layer = torch.stack([error.mean() for error in errors])
    simple = per_layer[-1]
    zero = simple.new_zeros(())
    uncertainty, layerwise = zero, zero
    if uncertainties is not None and lam:
        targets = [pseudo_uncertainty(prediction, noise) for prediction in predictions]
        each = torch.stack([(u - target).square().mean() for u, target in zip(uncertainties, targets, strict=True)])
        uncertainty = each.sum() if form == "paper" else each.mean()
    if beta:
        layerwise = _layerwise(errors, per_layer, uncertainties, form, detach_weights)
    total = simple + lam * uncertainty + beta * layerwise
    return Losses(total, simple, uncertainty, layerwise, per_layer.detach())


def _layerwise(
    errors: list[Tensor], per_layer: Tensor, uncertainties: list[Tensor] | None, form: str, detach: bool
) -> Tensor:
    """Eq. 8: early layers count where they are certain. The repository's weights are one number per layer, summing to 1."""
    if uncertainties is None:
        return per_layer.mean() if form == "repository" else per_layer[:-1].sum()
    certainties = [1 - (u.detach() if detach else u) for u in uncertainties]
    if form == "paper":
        return torch.stack([(c * e).mean() for c, e in zip(certainties[:-1], errors[:-1], strict=True)]).sum()
    weights = torch.stack([c.mean() for c in certainties])
    return (weights / weights.sum() * per_layer).sum()
