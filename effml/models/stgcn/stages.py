"""LinGCN's training after the teacher: gates learned under ReLU, then polynomials under the fixed gates.

Both stages distil from the all-ReLU teacher, with SGD (Nesterov), a cosine schedule and Lookahead; the loop is the one that
AutoReP trains with. Knows no data set. LinGCN, arXiv 2309.14331, section 3.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from effml.models.distillation import attention_transfer, softened_divergence
from effml.models.gated.structural import LayerGate, PairGate, StructuralGate, density, layers, meet
from effml.models.lookahead import Lookahead
from effml.models.reduction.batches import Batches, Indexable
from effml.models.reduction.fit import Fitted, Objective, Plan, fit
from effml.models.stgcn.network import STGCN

GATES = {"node": StructuralGate, "layer": LayerGate}


@dataclass(frozen=True)
class Distillation(Objective):
    """`(1 - eta) CE + eta T^2 KL + phi / 2 * attention transfer` over the outputs of blocks; CE alone without a teacher.

    The defaults are those of the paper's settings for its polynomial stage; they serve both stages here. Its published
    program has no values for the stage that learns gates, and falls back on 0.9 and 1000 there.
    """

    eta: float = 0.2
    phi: float = 200.0

    def __call__(
        self, network: nn.Module, images: Float[Tensor, "n c t nodes *persons"], labels: Int[Tensor, " n"]
    ) -> Float[Tensor, ""]:
        assert isinstance(network, STGCN)
        if self.teacher is None:
            return F.cross_entropy(network(images), labels)
        assert isinstance(self.teacher, STGCN)
        with torch.no_grad():
            target, targets = self.teacher.outputs(images)
        logits, features = network.outputs(images)
        hard, soft = F.cross_entropy(logits, labels), softened_divergence(logits, target, self.temperature)
        return (1 - self.eta) * hard + self.eta * soft + self.phi / 2 * attention_transfer(features, targets)


@dataclass(frozen=True)
class Stage:
    """What a stage needs: batches, the loss, held-out sequences, and how long and fast it trains.

    Args:
        rate: of weights, gates and polynomials alike, as in the paper.
        check_every: steps between looks at held-out sequences.
        lookahead: k of Lookahead, 0 without.
        first_batch: number of the first step's batch.
    """

    batches: Batches
    objective: Objective
    held_out: tuple[Indexable, Tensor]
    steps: int
    rate: float
    weight_decay: float = 1e-4
    check_every: int = 0
    lookahead: int = 6
    first_batch: int = 0


def train(
    network: STGCN,
    stage: Stage,
    penalty: Callable[[], Tensor] | None = None,
    after: Callable[[int], None] | None = None,
) -> Fitted:
    """Train in place; the last state stays in the network, the best on held-out sequences is in what is returned.

    Of states that do equally well there, as happens with few sequences, it is the last if that is among them.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    ahead = Lookahead(parameters, stage.lookahead) if stage.lookahead else None

    def each(step: int) -> bool:
        if ahead is not None:
            ahead.step()
        if after is not None:
            after(step)
        return False

    groups = [{"params": parameters, "lr": stage.rate}]
    plan = Plan(
        stage.steps, groups, "sgd", stage.weight_decay, penalty=penalty, after=each, check_every=stage.check_every
    )
    fitted = fit(network, stage.batches, stage.objective, plan, stage.held_out, first_batch=stage.first_batch)
    if fitted.curve and fitted.curve[-1][2] == fitted.best_accuracy:
        fitted.best_state = copy.deepcopy(network.state_dict())
    return fitted


class Pressure:
    """The penalty on open gates.

    Without a target it is the paper's: mu times the share of open gates. With one, it is mu times the distance from the
    target's share, so that it pushes down above the target, up below it, and nothing at it; mu grows as long as it has not
    got there.
    """

    def __init__(self, gates: list[PairGate], mu: float, target: int | None = None, growth: float = 1.5) -> None:
        self.gates, self.mu, self.target, self.growth = gates, mu, target, growth

    def __call__(self) -> Float[Tensor, ""]:
        share = density(self.gates)
        if self.target is None:
            return self.mu * share
        # By whole layers: the share itself is rounded, and its distance from the target would never be exactly 0.
        away = layers(self.gates) - self.target
        direction = (away > 0) - (away < 0)
        return self.mu * direction * (share - self.target / (2 * len(self.gates)))

    def look(self) -> None:
        """Once an epoch: press harder where the target is not reached."""
        if self.target is not None and layers(self.gates) != self.target:
            self.mu *= self.growth


@dataclass(frozen=True)
class Linearized:
    """What learning the gates gave: n, layers moved by force to meet the target, mu at the end, held-out accuracy."""

    layers: int
    forced: int
    mu: float
    fitted: Fitted


def linearize(
    teacher: STGCN,
    stage: Stage,
    granularity: Literal["node", "layer"] = "node",
    mu: float = 1.0,
    target: int | None = None,
    growth: float = 1.5,
    generator: torch.Generator | None = None,
) -> tuple[STGCN, Linearized]:
    """A copy of the teacher with its gates learned, and fixed as they ended; ReLU where they are open.

    Args:
        granularity: whether each node has its own position of a block's single nonlinearity, or all the same.
        mu: weight of the penalty, see `Pressure`; target: n to end with, reached by force if learning ends elsewhere.
    """
    network = copy.deepcopy(teacher).requires_grad_(True)
    gates: list[PairGate] = []
    for pair in network.pairs:
        gate = GATES[granularity](network.nodes, generator=generator).to(network.head.weight.device)
        pair.gate = gate
        gates.append(gate)
        pair.polynomials.requires_grad_(False)  # not in use yet; weight decay would still move them
    pressure = Pressure(gates, mu, target, growth)
    epoch = stage.batches.per_epoch

    def after(step: int) -> None:
        if (step + 1) % epoch == 0:
            pressure.look()

    fitted = train(network, stage, pressure, after)
    fixed, forced = meet(gates, layers(gates) if target is None else target)
    for pair, decided in zip(network.pairs, fixed, strict=True):
        pair.gate = decided
    return network, Linearized(layers(gates) if target is None else target, forced, pressure.mu, fitted)


def replace(network: STGCN, stage: Stage, start: Literal["identity", "fitted"] = "identity", probes: int = 8) -> Fitted:
    """Put polynomials in place of the ReLUs that are left, in place, and train them with everything else but the gates.

    Args:
        start: `identity`, the paper's, is close to none at all; `fitted` begins from what is nearest to ReLU under the
            pre-activations of `probes` training batches.
    """
    if start == "fitted":
        observe(network, stage.batches.plain(probes))
    network.requires_grad_(True)
    for pair in network.pairs:
        pair.kind = "polynomial"
        for place in range(2):
            pair.polynomial(place).c0.requires_grad_(pair.offset)
    return train(network, stage)


@torch.no_grad()
def observe(network: STGCN, batches: list[Tensor]) -> None:
    """Fit polynomials to ReLU as the network sees it; its batch norms take no notice."""
    training = network.training
    network.eval()
    for pair in network.pairs:
        pair.metering = True
    for x in batches:
        network(x)
    for pair in network.pairs:
        pair.metering = False
        pair.fit()
    network.train(training)
