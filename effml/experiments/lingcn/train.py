"""The networks: an all-ReLU teacher, then for each number of nonlinear layers a linearized copy with polynomials.

`points` trains what is asked for and keeps each network in the run, so that the suites on ciphertexts take the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from effml.experiments.core.run import Run
from effml.experiments.lingcn.config import Config
from effml.experiments.lingcn.data import Actions
from effml.models.reduction.fit import Fitted, accuracy
from effml.models.stgcn.export import export
from effml.models.stgcn.network import STGCN
from effml.models.stgcn.plain import PlainSTGCN
from effml.models.stgcn.plain_file import arrays, assemble, save
from effml.models.stgcn.stages import Distillation, Stage, linearize, replace, train

POLYNOMIAL = "all-polynomial"


@dataclass(frozen=True)
class Point:
    """A network that can be encrypted.

    Attributes:
        method: node, layer, or all-polynomial where nothing is linearized.
        layers: n.
        plain: the network.
        figures: what `stages` and `frontier` record of it, by metric.
    """

    method: str
    layers: int
    plain: PlainSTGCN
    figures: dict[str, float]


def model_name(config: Config) -> str:
    """What a table calls the network."""
    channels, strides = config.shape()
    if config.model.size != "own":
        return f"{config.model.size} T{config.model.frames}"
    steps = "" if set(strides) == {1} else " s" + "-".join(map(str, strides))
    return "-".join(map(str, channels)) + steps + f" T{config.model.frames}"


def wanted(config: Config, targets: list[int], methods: list[str]) -> list[tuple[str, int]]:
    """(method, n) for these targets, n falling. With every layer kept the methods are one, and there is nothing to learn."""
    everything = 2 * len(config.shape()[0])
    ordered = sorted(set(targets), reverse=True)
    found = [(POLYNOMIAL, n) for n in ordered if n == everything]
    return found + [(method, n) for method in methods for n in ordered if n != everything]


def measure_training(config: Config, run: Run, data: Actions) -> None:
    """Tables frontier, stages and gates."""
    labels = {"dataset": data.name, "model": model_name(config)}
    teacher = train_teacher(config, run, data)
    everything = 2 * len(config.shape()[0])
    mine = {**labels, "method": "teacher", "n": everything}
    run.record("frontier", mine, "accuracy", accuracy(teacher, *data.test))
    run.record("frontier", mine, "held_out", accuracy(teacher, *data.held_out))
    jobs: list[tuple[str, int | None]] = list(wanted(config, config.train.targets, config.train.methods))
    if config.linearize.aim == "mu":
        jobs = [(method, None) for method in config.train.methods]
    for method, target in run.progress(jobs, "networks"):
        named = method if target is not None else f"{method}, mu {config.linearize.mu:g}"
        try:
            point = train_point(config, run, data, teacher, method, target)
        except FloatingPointError as error:  # the others may do better, and that this one did not is a result
            run.log(f"{named}, n = {target}: {error}")
            mine = {**labels, "method": named, "n": "unknown" if target is None else target}
            run.record("frontier", mine, "accuracy", None, note=str(error))
            continue
        record(run, {**labels, "method": named}, point)


def record(run: Run, labels: dict[str, Any], point: Point) -> None:
    labels = {**labels, "n": point.layers}
    for metric in ("accuracy", "held_out"):
        run.record("frontier", labels, metric, point.figures[metric])
    for metric, value in point.figures.items():
        if metric != "held_out":
            run.record("stages", labels, metric, value)
    for number, block in enumerate(point.plain.blocks, 1):
        for position, act in enumerate((block.act1, block.act2), 1):
            where = {**labels, "block": number, "position": f"act {position}"}
            run.record("gates", where, "nodes", int(act.nonlinear.sum()))


def points(config: Config, run: Run, data: Actions, targets: list[int], method: str = "node") -> list[Point]:
    """Networks with these numbers of nonlinear layers, the smallest last; trained unless this run has them already."""
    teacher = train_teacher(config, run, data)
    return [train_point(config, run, data, teacher, *job) for job in wanted(config, targets, [method])]


def train_teacher(config: Config, run: Run, data: Actions) -> STGCN:
    """The all-ReLU network, its best state on held-out sequences; trained unless this run has it already."""
    teacher = build(config, data, run, dropout=config.teacher.dropout)
    stage = _stage(config, data, None, config.teacher.epochs, config.teacher.rate, lookahead=0)

    def work() -> dict[str, Tensor]:
        fitted = train(teacher, stage)
        _note(run, "teacher", fitted)
        return fitted.best_state or teacher.state_dict()

    teacher.load_state_dict(run.stage("teacher", work))
    teacher.eval().requires_grad_(False)
    run.log(f"all ReLU: {accuracy(teacher, *data.test):.4f} of {len(data.test[1])} test sequences right")
    return teacher


def train_point(config: Config, run: Run, data: Actions, teacher: STGCN, method: str, target: int | None) -> Point:
    """One network of the frontier: gates learned, polynomials put in; trained unless this run has it already.

    Args:
        target: n to reach, or None for what a fixed mu leaves.
    """
    name = f"{method}-n{target}" if target is not None else f"{method}-mu{config.linearize.mu:g}"

    def work() -> dict[str, dict[str, Any]]:
        network, figures = _train_point(config, run, data, teacher, method, target, name)
        plain = export(network, config.model.frames)
        layers = plain.effective_layers()
        figures |= {"layers": layers, "levels": 2 * len(plain.blocks) + 1 + layers}
        return {"figures": figures, "arrays": {key: torch.from_numpy(array) for key, array in arrays(plain).items()}}

    kept = run.stage(name, work)
    figures = kept["figures"]
    plain = assemble({key: tensor.numpy() for key, tensor in kept["arrays"].items()})
    save(plain, run.artifact(f"{name}.npz"))  # from the stage: a resumed run has a folder of its own
    run.log(
        f"{name}: n = {plain.effective_layers()}, {figures['accuracy']:.4f} of test sequences right "
        f"({figures['linearized']:.4f} with ReLU in the open gates)"
    )
    return Point(method, plain.effective_layers(), plain, figures)


def _train_point(
    config: Config, run: Run, data: Actions, teacher: STGCN, method: str, target: int | None, name: str
) -> tuple[STGCN, dict[str, float]]:
    torch.manual_seed(run.seed)
    network = build(config, data, run)
    network.load_state_dict({key: value for key, value in teacher.state_dict().items()})
    forced, weight = 0, 0.0
    if method != POLYNOMIAL:
        stage = _stage(config, data, teacher, config.linearize.epochs, config.linearize.rate, config.train.lookahead)
        network, learned = linearize(
            network, stage, "layer" if method == "layer" else "node", config.linearize.mu, target, config.linearize.growth,
            run.generator(f"gates {name}"),
        )  # fmt: skip
        forced, weight = learned.forced, learned.mu
        _note(run, f"{name} gates", learned.fitted)
    linearized = accuracy(network, *data.test)
    # As many epochs for the network that skips learning gates: what it lacks must not be training.
    epochs = config.replace.epochs + (config.linearize.epochs if method == POLYNOMIAL else 0)
    stage = _stage(config, data, teacher, epochs, config.replace.rate, config.train.lookahead)
    fitted = replace(network, stage, config.replace.start)  # type: ignore[arg-type]
    _note(run, f"{name} polynomials", fitted)
    if fitted.best_state is not None:
        network.load_state_dict(fitted.best_state)
    network.eval()
    held_out, test = accuracy(network, *data.held_out), accuracy(network, *data.test)
    return network, {"forced": forced, "mu": weight, "linearized": linearized, "held_out": held_out, "accuracy": test}


def build(config: Config, data: Actions, run: Run, dropout: float = 0.0) -> STGCN:
    """The network, drawn with the run's seed; all gates open, ReLU everywhere."""
    channels, strides = config.shape()
    torch.manual_seed(run.seed)
    return STGCN(
        data.adjacency, data.classes, channels, strides, dropout=dropout,
        square_scale=config.replace.square_scale, limit=config.replace.limit, offset=config.replace.offset,
    ).to(run.device)  # fmt: skip


def _stage(config: Config, data: Actions, teacher: STGCN | None, epochs: int, rate: float, lookahead: int) -> Stage:
    return Stage(
        data.batches,
        Distillation(teacher, eta=config.distil.eta, phi=config.distil.phi),
        data.held_out,
        epochs * data.batches.per_epoch,
        rate,
        config.teacher.weight_decay,
        config.train.check_every * data.batches.per_epoch,
        lookahead,
    )


def _note(run: Run, stage: str, fitted: Fitted) -> None:
    for step, loss, score in fitted.curve:
        run.step(stage=stage, step=step, loss=loss, held_out=score)
