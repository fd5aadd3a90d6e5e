"""The networks of this experiment: built, trained with every ReLU in place, copied for a method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from effml.errors import UserError
from effml.experiments.autorep.config import Config
from effml.experiments.autorep.data import Data
from effml.experiments.core.run import Keep, Run, State
from effml.models.private.costs import PROTOCOLS, cheapest_replacement, parse_bytes, relus_for_bytes
from effml.models.reduction.budget import parse_budget
from effml.models.reduction.fit import Objective, Plan, accuracy, fit
from effml.models.reduction.mask import ReluMask
from effml.models.reduction.network import GatedNetwork
from effml.models.reduction.point import degree_of


@dataclass(frozen=True)
class Method:
    """A strategy with a replacement, as `strategy+replacement`."""

    strategy: str
    replacement: str

    @staticmethod
    def of(text: str, protocol: str) -> Method:
        """Read a method; `auto` becomes what pays under this protocol."""
        strategy, replacement = text.split("+")
        return Method(strategy, cheapest_replacement(PROTOCOLS[protocol]) if replacement == "auto" else replacement)

    def __str__(self) -> str:
        return f"{self.strategy}+{self.replacement}"


def model_name(config: Config) -> str:
    """What a table calls the network."""
    if config.model.name == "efficientnet-b2":
        return config.model.name
    return f"{config.model.name}-w{config.model.width}"


def build(config: Config, data: Data, degree: int, gates: str | None = None) -> GatedNetwork:
    """The network with a gated site for every activation, all open."""
    channels = data.shape[0]
    model: nn.Module
    if config.model.name == "resnet18":
        from effml.models.resnet import ResNet

        model = ResNet(data.classes, config.model.width, channels)
    elif config.model.name == "wrn22":
        from effml.models.resnet import WideResNet

        model = WideResNet(data.classes, 22, config.model.width, channels)
    else:
        from effml.models.efficientnet import EfficientNetB2

        if channels != 3:
            raise UserError(f"efficientnet-b2 takes images of 3 channels; {data.name} has {channels}")
        model = EfficientNetB2(data.classes)
    network = GatedNetwork(
        model,
        data.shape,
        gates=gates or config.gate.granularity,
        polynomials=config.gate.polynomials,
        degree=degree,
        square_scale=config.gate.square_scale,
        limit=config.gate.limit,
    )
    # Half precision is as fast as it can be only with channels last, on CPU as on GPU.
    if config.train.bfloat16:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def train_teacher(config: Config, run: Run, data: Data) -> GatedNetwork:
    """The all-ReLU network, trained with SGD and a cosine schedule; its best state on the held-out images."""
    teacher = build(config, data, degree=1).to(run.device)
    model = teacher.without_gates()
    groups = [{"params": list(model.parameters()), "lr": config.teacher.rate}]
    plan = Plan(
        config.teacher.steps,
        groups,
        "sgd",
        weight_decay=config.teacher.weight_decay,
        bfloat16=config.train.bfloat16,
        check_every=config.train.check_every,
    )

    def train(progress: State | None, keep: Keep) -> dict[str, Tensor]:
        fitted = fit(model, data.batches, Objective(), plan, data.held_out, progress, keep)
        for step, loss, score in fitted.curve:
            run.step(fit="teacher", step=step, loss=loss, held_out=score)
        return fitted.best_state or model.state_dict()

    load_weights(teacher, {f"model.{key}": value for key, value in run.resumable("teacher", train).items()})
    teacher.eval().requires_grad_(False)
    share = accuracy(teacher, *data.test)
    run.log(f"all {teacher.total:,} ReLUs: test accuracy {share:.4f} after {config.teacher.steps} steps")
    return teacher


def student(
    config: Config, run: Run, data: Data, teacher: GatedNetwork, method: Method, gates: str | None = None
) -> GatedNetwork:
    """A copy of the teacher with the polynomials of a method, all gates open."""
    network = build(config, data, degree_of(method.replacement), gates).to(run.device)
    load_weights(network, teacher.state_dict())
    return network


def load_weights(network: GatedNetwork, state: dict[str, Tensor]) -> None:
    """Take over everything but gates and polynomials."""
    inside = tuple(f"model.{name}." for name in network.names)
    weights = {key: value for key, value in state.items() if not key.startswith(inside)}
    missing = network.load_state_dict(weights, strict=False).missing_keys
    assert all(key.startswith(inside) for key in missing), missing


def budget_of(text: str, network: GatedNetwork, method: Method, protocol: str) -> int:
    """A budget as a number of ReLUs: given in ReLUs, as a share, or in bytes under the protocol.

    Raises:
        UserError: above the total, or impossible under the protocol.
    """
    size = parse_bytes(text)
    if size is None:
        return parse_budget(text, network.total)
    return relus_for_bytes(PROTOCOLS[protocol], network.total, degree_of(method.replacement), size)


def check_budgets(config: Config, data: Data, methods: list[Method]) -> None:
    """Refuse what no training could reach: budgets above the total, a mask of another architecture.

    Raises:
        UserError: says which, and what would be right.
    """
    network = build(config, data, degree=1)
    if config.model.mask is not None:
        ReluMask.load(Path(config.model.mask)).apply(network)
    for method in methods or [Method("autorep", "dapa")]:
        for text in [*config.train.budgets, config.ablation.budget]:
            budget_of(text, network, method, config.cost.protocol)
