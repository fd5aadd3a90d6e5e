"""Training a gated network: cross-entropy, distillation and a strategy's penalty, over a fixed number of steps.

The best state is chosen on held-out examples, never on the test set. Every step depends on the seed and its number alone,
and everything that carries over is in the checkpoint, so that an interrupted fit goes on where it stopped.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from effml.models.distillation import softened_divergence
from effml.models.reduction.batches import Batches, Indexable


@dataclass(frozen=True)
class Objective:
    """`cross-entropy + weight * T^2 KL(teacher || student)`; without a teacher, cross-entropy alone."""

    teacher: nn.Module | None = None
    temperature: float = 4.0
    weight: float = 1.0

    def __call__(
        self, network: nn.Module, images: Float[Tensor, "batch ..."], labels: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        logits = network(images)
        loss = F.cross_entropy(logits, labels)
        if self.teacher is not None:
            with torch.no_grad():
                target = self.teacher(images)
            loss = loss + self.weight * softened_divergence(logits, target, self.temperature)
        return loss


@dataclass
class Plan:
    """How to fit.

    Args:
        steps: optimiser steps, the same for every method that is compared.
        groups: parameter groups as torch optimisers take them, each with its own `lr`.
        optimiser: "adam" or "sgd" (momentum 0.9, Nesterov).
        weight_decay: on every group without its own.
        floor: the cosine schedule ends at `floor` times the learning rate.
        penalty: added to the loss in every step.
        after: called with the step's number after each step; returns True to stop early.
        bfloat16: run the forward pass under autocast.
        check_every: steps between checks on the held-out examples and checkpoints; 0 for never.
        before_check: called before each check, in training mode: sets what evaluation needs and training does not.
        memory: what the penalty and `after` carry from step to step; part of the checkpoint.
    """

    steps: int
    groups: list[dict[str, Any]]
    optimiser: str = "adam"
    weight_decay: float = 0.0
    floor: float = 0.01
    penalty: Callable[[], Tensor] | None = None
    after: Callable[[int], bool] | None = None
    bfloat16: bool = False
    check_every: int = 0
    before_check: Callable[[], None] | None = None
    memory: dict[str, float] = field(default_factory=dict)


@dataclass
class Fitted:
    """What a fit leaves: steps done, the loss curve, and the state that was best on the held-out examples."""

    steps: int = 0
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    """(step, mean loss since the last check, held-out accuracy)"""
    best_accuracy: float = -1.0
    best_state: dict[str, Tensor] | None = None


def accuracy(network: nn.Module, images: Indexable, labels: Int[Tensor, " n"], batch: int = 500) -> float:
    """Share of right answers, in evaluation mode."""
    return float((predictions(network, images, batch) == labels.cpu()).double().mean())


@torch.no_grad()
def predictions(network: nn.Module, images: Indexable, batch: int = 500) -> Int[Tensor, " n"]:
    """The most likely class of each image, on the CPU; in evaluation mode."""
    training = network.training
    network.eval()
    chunks = [network(images[start : start + batch]).argmax(1).cpu() for start in range(0, len(images), batch)]
    network.train(training)
    return torch.cat(chunks)


def fit(
    network: nn.Module,
    batches: Batches,
    objective: Objective,
    plan: Plan,
    held_out: tuple[Indexable, Tensor] | None = None,
    checkpoint: dict[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] | None = None,
    first_batch: int = 0,
) -> Fitted:
    """Train in place.

    Args:
        held_out: images and labels to choose the best state by.
        checkpoint: what `keep` was last given, to go on from.
        keep: stores a checkpoint.
        first_batch: number of the first step's batch, so that fits in succession do not repeat their batches.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    optimiser = _optimiser(plan)
    rates = [group["lr"] for group in optimiser.param_groups]
    done = Fitted()
    if checkpoint is not None:
        network.load_state_dict(checkpoint["network"])
        optimiser.load_state_dict(checkpoint["optimiser"])
        plan.memory.update(checkpoint["memory"])
        done = Fitted(**checkpoint["fitted"])
    network.train()
    running: list[Tensor] = []
    for step in range(done.steps, plan.steps):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * _cosine(step / plan.steps, plan.floor)
        images, labels = batches(first_batch + step)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=plan.bfloat16):
            loss = objective(network, images, labels)
        if plan.penalty is not None:
            loss = loss + plan.penalty()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        running.append(loss.detach())
        done.steps = step + 1
        stop = plan.after is not None and plan.after(step)
        checked = plan.check_every and ((step + 1) % plan.check_every == 0 or step + 1 == plan.steps or stop)
        if checked or stop:
            if plan.before_check is not None:
                plan.before_check()
            _check(network, done, torch.stack(running).float().mean().item(), held_out)
            running.clear()
            if keep is not None and not stop:
                state = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
                keep({**state, "memory": plan.memory, "fitted": vars(done)})
        if stop:
            break
    return done


def _optimiser(plan: Plan) -> torch.optim.Optimizer:
    groups = [dict(group) for group in plan.groups if group["params"]]
    if plan.optimiser == "adam":
        return torch.optim.Adam(groups, weight_decay=plan.weight_decay, fused=True)
    if plan.optimiser == "sgd":
        decay = plan.weight_decay
        return torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, weight_decay=decay, fused=True)
    raise ValueError(f"the optimiser is adam or sgd, not {plan.optimiser!r}")


def _cosine(share: float, floor: float) -> float:
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))


def _check(network: nn.Module, done: Fitted, loss: float, held_out: tuple[Indexable, Tensor] | None) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the loss is {loss} at step {done.steps}: a polynomial has outgrown its inputs; lower the learning rate, "
            "or limit its coefficients"
        )
    score = accuracy(network, *held_out) if held_out is not None else float("nan")
    done.curve.append((done.steps, loss, score))
    if score > done.best_accuracy:
        done.best_accuracy, done.best_state = score, copy.deepcopy(network.state_dict())
