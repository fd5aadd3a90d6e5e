"""Strategies that need no training: a score for each gate, from data or from nothing. Those with the highest stay open."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from effml.kernels.gated import gated_polynomial
from effml.models.gated import Gate, GatedActivation
from effml.models.reduction.batches import Batches
from effml.models.reduction.fit import Objective
from effml.models.reduction.network import GatedNetwork


class _ProbeGate(Gate):
    """Shows the present decision, as a parameter whose gradient tells what changing it would do."""

    def __init__(self, state: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(state.float())
        self.register_buffer("state", state.clone())

    def forward(self) -> Tensor:
        return self.weight


def taylor_scores(network: GatedNetwork, batches: Batches, objective: Objective, count: int) -> dict[str, Tensor]:
    """Mean over `count` batches of the squared gradient of the loss by each gate.

    At a trained network the gradient's mean is near 0, and what closing a gate costs is half the curvature, for which the
    mean square of the gradient stands (Fisher information).
    """
    old = {name: site.gate for name, site in network.sites.items()}
    training = network.training
    network.set_gates(lambda name, _: _ProbeGate(old[name].decide()))
    network.eval()
    probes = network.gate_parameters()
    squares = [torch.zeros_like(probe) for probe in probes]
    for step in range(count):
        for square, grad in zip(squares, torch.autograd.grad(objective(network, *batches(step)), probes), strict=True):
            square += grad.square() / count
    network.set_gates(lambda name, _: old[name])
    network.train(training)
    return dict(zip(network.names, squares, strict=True))


@torch.no_grad()
def magnitude_scores(network: GatedNetwork, batches: Batches, count: int) -> dict[str, Tensor]:
    """Mean square of ReLU minus polynomial at each gate over `count` batches: how much replacing changes the activation."""
    sums: dict[str, Tensor] = {}

    def watch(name: str, site: GatedActivation) -> torch.utils.hooks.RemovableHandle:
        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            z = inputs[0]
            replaced = gated_polynomial(z, torch.zeros((), device=z.device), site.polynomial())
            square = (z.relu() - replaced).square().mean(0).sum_to_size(site.gate.decide().shape)
            sums[name] = sums[name] + square if name in sums else square

        return site.register_forward_pre_hook(note)

    handles = [watch(name, site) for name, site in network.sites.items()]
    training = network.training
    network.eval()
    try:
        for images in batches.plain(count):
            network(images)
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return sums


def random_scores(network: GatedNetwork, seed: int) -> dict[str, Tensor]:
    """Uniform draws, fixed by the seed, so that the masks of a curve are nested."""
    rng = np.random.default_rng([seed, 2])
    return {name: torch.from_numpy(rng.random(tuple(s.gate.decide().shape))) for name, s in network.sites.items()}


def uniform_scores(network: GatedNetwork) -> dict[str, Tensor]:
    """The same share of every layer, evenly spread: each layer's scores are a low-discrepancy sequence in (0, 1)."""
    golden = (5**0.5 - 1) / 2
    scores = {}
    for name, site in network.sites.items():
        state = site.gate.decide()
        sequence = (torch.arange(1, state.numel() + 1, dtype=torch.float64) * golden) % 1.0
        scores[name] = sequence.reshape(state.shape)
    return scores
