"""Options, metrics and tables of AutoReP: ReLU reduction and private inference."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from effml.errors import UserError
from effml.experiments.core.spec import Cost, Dataset, Experiment, Metric, Plot, Table, group, option

SUITES = ("train", "cost", "ablation", "kernel", "order", "all")
STRATEGIES = ("autorep", "snl", "taylor", "magnitude", "random", "uniform", "none")
REPLACEMENTS = ("wide", "dapa", "dapa1", "authors", "linear", "auto")
METHODS = tuple(f"{strategy}+{replacement}" for strategy in STRATEGIES for replacement in REPLACEMENTS)
GRANULARITIES = ("pixel", "channel", "layer")


@dataclass
class Model:
    name: str = option("resnet18", "network", choices=("resnet18", "wrn22", "efficientnet-b2"))
    width: int = option(
        16, "channels of ResNet-18's first stage (paper 64); widening factor of WRN-22 (paper 8)", low=1
    )
    mask: str | None = option(None, "a mask file: its sites keep ReLU, and nothing is selected")


@dataclass
class Teacher:
    steps: int = option(400, "steps of the all-ReLU network (SGD, cosine)", low=1)
    rate: float = option(0.1, "its learning rate", low=0.0)
    weight_decay: float = option(5e-4, "its weight decay", low=0.0)


@dataclass
class Train:
    methods: list[str] = option(
        ["autorep+dapa", "autorep+linear", "snl+linear", "random+linear"],
        "strategy+replacement; auto replaces by what pays under cost.protocol",
        choices=METHODS,
    )
    budgets: list[str] = option(
        ["25%", "10%", "5%", "2.6%"], "ReLUs (12900, 12.9K), a share (2.6%) or bytes under cost.protocol (1.5MB)"
    )
    steps: int = option(200, "optimiser steps of each point of a curve, for every method", low=1)
    selecting: float = option(0.6, "share of them in which gates are learned", low=0.0, high=1.0)
    rate: float = option(1e-3, "learning rate of weights (Adam, cosine)", low=0.0)
    polynomial_rate: float = option(1e-3, "learning rate of polynomials", low=0.0)
    batch: int = option(128, "images in a batch", low=1)
    distillation: float = option(1.0, "weight of the teacher's softened logits (T = 4)", low=0.0)
    held_out: float = option(0.1, "share of training images by which the best state is chosen", low=0.01, high=0.5)
    probe_batches: int = option(8, "batches for calibration and scores", low=1)
    check_every: int = option(50, "steps between looks at held-out images, and between checkpoints", low=1)
    bfloat16: bool = option(False, "bfloat16 autocast")


@dataclass
class Gate:
    granularity: str = option("pixel", "what shares a gate", choices=GRANULARITIES)
    polynomials: str = option("channel", "what shares a polynomial", choices=GRANULARITIES)
    threshold: float = option(0.003, "half-width of the hysteresis", low=0.0)
    spread: float = option(
        0.15, "initial gate weights lie in (0, spread); paper 1, for schedules ten times as long", low=0.0
    )
    rate: float = option(4e-3, "learning rate of gate weights; paper 1e-3", low=0.0)
    pressure: float | None = option(
        None, "penalty per ReLU above the budget; the paper's 140 over the network's ReLUs where none is given", low=0.0
    )
    snl_rate: float = option(0.02, "learning rate of SNL's gates; its paper 1e-3", low=0.0)
    snl_strength: float = option(1e-4, "SNL's first L1 factor; its paper 1e-5", low=0.0)
    snl_growth: float = option(1.1, "growth of SNL's factor while the count stalls", low=1.0)
    snl_look: int = option(5, "steps between SNL's looks at the count", low=1)
    square_scale: float = option(0.1, "factor between stored and effective quadratic coefficients", low=0.0)
    limit: float | None = option(None, "bound of stored c1 and c2; the paper's Tiny-ImageNet run has 1")


@dataclass
class Private:
    protocol: str = option(
        "crypten",
        "cost model that budgets in bytes and `auto` go by",
        choices=("crypten", "semi2k", "cheetah", "delphi"),
    )
    weights: str = option("secret", "whether the client knows the weights", choices=("secret", "public"))
    methods: list[str] = option(
        ["autorep+dapa", "autorep+linear"], "methods whose inference is measured", choices=METHODS
    )
    rounds: int = option(5, "single-image inferences of each network, interleaved", low=1)
    images: int = option(100, "images whose private answer is compared with the plain one", low=1)
    chunk: int = option(50, "images of those in one inference", low=1)
    dense: bool = option(True, "measure blending ReLU and polynomial at every site, too")
    port: int = option(0, "TCP port of the parties on this machine; 0 for any", low=0, high=65535)
    timeout: float = option(900.0, "seconds after which the parties are stopped", low=1.0, unit="s")


@dataclass
class Ablation:
    budget: str = option("10%", "the budget at which choices are compared")
    steps: int = option(150, "optimiser steps of each choice", low=1)
    thresholds: list[float] = option([0.0, 0.003, 0.03], "half-widths of the hysteresis", low=0.0)
    replacement: str = option(
        "wide", "the replacement at which thresholds and granularities are compared", choices=REPLACEMENTS[:-1]
    )
    replacements: list[str] = option(
        ["wide", "dapa", "linear"],
        "replacements at the same mask strategy",
        choices=REPLACEMENTS[:-1],
    )
    granularities: list[str] = option(["pixel", "channel"], "granularities of the gate", choices=GRANULARITIES)


@dataclass
class Config:
    suite: str = option("all", "what to run", choices=SUITES)
    dataset: Dataset = group(Dataset)
    model: Model = group(Model)
    teacher: Teacher = group(Teacher)
    train: Train = group(Train)
    gate: Gate = group(Gate)
    cost: Private = group(Private)
    ablation: Ablation = group(Ablation)
    rounds: int = option(15, "interleaved rounds of the activation's timing", low=3)

    def check(self) -> None:
        for text in [*self.train.budgets, self.ablation.budget]:
            if not re.fullmatch(r"\s*\d+(\.\d+)?(e\d+)?\s*(%|[kKMG]?B?)\s*", text):
                raise UserError(
                    f"'{text}' is not a budget; write ReLUs (12900, 12.9K), a share (2.6%) or bytes (1.5MB)"
                )
            if float(re.match(r"\s*([\d.]+)", text)[1]) == 0:  # type: ignore[index]
                raise UserError(
                    f"a budget of {text} keeps no ReLU, so there is nothing to select; for the all-polynomial network "
                    "take the method none+dapa"
                )
            if text.strip().endswith("%") and float(text.strip()[:-1]) > 100:
                raise UserError(f"a budget of {text} is above the network's total; 100% keeps every ReLU")
        if self.model.name == "efficientnet-b2" and self.suite not in ("train", "ablation"):
            raise UserError("efficientnet-b2 has sigmoids that private inference lacks a form for; use suite=train")


def _cost(config: Config) -> Cost:
    """From 35 ms for a step of a width-16 ResNet-18 on 128 images of 8 x 8 on two cores, and multiples of it measured or, for
    the last two, in proportion to pixels."""
    multiple = {"digits": 1, "cifar10": 5, "cifar100": 5, "tiny-imagenet": 20, "imagenet": 250}.get(
        config.dataset.name, 20
    )
    step = 0.035 * multiple * (config.model.width / 16) ** 1.5 * config.train.batch / 128
    points = len(config.train.methods) * len(config.train.budgets)
    steps = config.teacher.steps
    seconds = 0.0
    if config.suite in ("train", "cost", "all"):
        steps += points * config.train.steps
    if config.suite in ("ablation", "all"):
        choices = (
            len(config.ablation.thresholds) + len(config.ablation.replacements) + len(config.ablation.granularities)
        )
        steps += choices * config.ablation.steps
    if config.suite in ("cost", "all"):
        seconds += 60
    if config.suite in ("kernel", "order"):
        return Cost(20, 1e9)
    return Cost(seconds + steps * step, 2e9, f"{steps:,} optimiser steps")


_POINT = ("dataset", "model", "strategy", "replacement")
_BUDGETS = ["100%", "50%", "25%", "10%", "5%", "2.6%"]
_RUN = "effml run autorep --dataset {dataset}"


def _fill(labels: dict[str, Any]) -> str:
    """The run of one point: the paper's sizes need the paper's schedule."""
    name, _, width = labels["model"].rpartition("-w")
    size = f" model.name={name} model.width={width}" if name else f" model.name={labels['model']}"
    preset = "" if width == "16" else " --preset paper"
    method = f"{labels['strategy']}+{labels['replacement']}"
    return (
        f"effml run autorep --dataset {labels['dataset']}{preset} suite=train{size} train.methods=[{method}] "
        f"train.budgets=[{labels['budget']}]"
    )


EXPERIMENT = Experiment(
    name="autorep",
    title="AutoReP: ReLUs to a budget, and what private inference then costs",
    paper="ICCV 2023, arXiv 2308.10134",
    config=Config,
    datasets=("digits", "cifar10", "cifar100", "tiny-imagenet", "imagenet", "image-folder"),
    metrics=(
        Metric("accuracy", "1", "share of right answers on the test images, state chosen on held-out ones", better="higher"),
        Metric("accuracy_last", "1", "the same after the last step", better="higher"),
        Metric("relus", "1", "scalar ReLUs of one image, from the bits of the mask file"),
        Metric("sites", "1", "scalar activation sites of one image"),
        Metric("closed", "1", "sites closed by force after selecting, to meet the budget", better="lower"),
        Metric("opened", "1", "sites given back after selecting, to use the budget up"),
        Metric("flips", "1", "times that gates changed state while selecting"),
        Metric("steps", "1", "optimiser steps of the point"),
        Metric("share_kept", "1", "share of the layer's sites that keep ReLU"),
        Metric("largest", "1", "largest magnitude of the layer's pre-activations on training images"),
        Metric("bytes", "B", "one private inference of one image, both directions, by the engine's count", better="lower"),
        Metric("activation_bytes", "B", "the part of the activations", better="lower"),
        Metric("linear_bytes", "B", "the part of convolutions and linear layers", better="lower"),
        Metric("wire_bytes", "B", "the same on the loopback interface, framing included", better="lower"),
        Metric("rounds", "1", "message exchanges that wait for each other", better="lower"),
        Metric("seconds", "s", "median time", better="lower"),
        Metric("lan_seconds", "s", "modelled: measured time plus 384 MB/s and 0.3 ms round trips", better="lower"),
        Metric("wan_seconds", "s", "modelled: measured time plus 44 MB/s and 40 ms round trips", better="lower"),
        Metric("linear_layers", "1", "activation layers without any ReLU", better="higher"),
        Metric("squares", "1", "secret squares of one image"),
        Metric("fraction_bits", "1", "fractional bits of fixed point: the most, up to 16, that hold four times what training "
               "images ask for"),
        Metric("error_max", "1", "largest difference from the plain result", better="lower"),
        Metric("agreement", "1", "share of images whose private answer is the plain one", better="higher"),
        Metric("r_squared", "1", "of a line through activation bytes against kept ReLUs"),
        Metric("bytes_per_relu", "B", "slope of that line"),
        Metric("relu_bytes", "B", "a ReLU at one site"),
        Metric("square_bytes", "B", "a quadratic polynomial at one site"),
        Metric("affine_bytes", "B", "an affine map at one site"),
        Metric("square_over_relu", "1", "above 1, replacing ReLUs by squares makes inference dearer"),
        Metric("difference", "1", "accuracy of the first method less that of the second"),
        Metric("p_value", "1", "that the first is not better: one-sided paired t-test over seeds"),
        Metric("seeds", "1", "seeds behind the test"),
        Metric("speedup", "x", "naive autograd form over this one, forward and backward", better="higher"),
    ),
    tables=(
        Table("accuracy", "Accuracy by ReLU budget", rows=("dataset", "model", "budget", "strategy", "replacement"),
              metrics=("accuracy",), digits=4, fill=_fill,
              order={"budget": _BUDGETS},
              note="Budgets in ReLUs stand for the paper's network of width 64; shares are of the row's own network."),
        Table("points", "How each point was reached", rows=(*_POINT, "budget"),
              metrics=("relus", "sites", "closed", "opened", "flips", "steps", "accuracy", "accuracy_last"),
              digits=6, order={"budget": _BUDGETS},
              fill=_RUN + " suite=train"),
        Table("order", "Claimed order of methods: is the first better than the second?",
              rows=("dataset", "model", "budget", "first", "second"),
              metrics=("difference", "p_value", "seeds"), fill=_RUN + " suite=order"),
        Table("layers", "Remaining ReLUs by layer", rows=("dataset", "model", "strategy", "replacement", "budget", "layer"),
              metrics=("relus", "sites", "share_kept", "largest"), digits=6, fill=_RUN + " suite=train"),
        Table("inference", "Private inference of one image in two processes",
              rows=("dataset", "model", "method", "budget", "masking", "engine"),
              metrics=("relus", "bytes", "rounds", "seconds", "lan_seconds", "wan_seconds", "error_max", "agreement"),
              fill=_RUN + " suite=cost", order={"budget": _BUDGETS, "method": ["relu"], "masking": ["gathered", "dense"]},
              note="CrypTen: online phase only; its first party makes the triples, so there is no offline cost and no "
                   "security against that party. Masks and polynomial coefficients are public. A network whose values no "
                   "fixed-point format of the 64-bit ring holds is named and not run."),
        Table("messages", "What a private inference sends, and why", of="inference",
              rows=("dataset", "model", "method", "budget", "masking"),
              metrics=("relus", "squares", "linear_layers", "activation_bytes", "linear_bytes", "wire_bytes", "fraction_bits"),
              fill=_RUN + " suite=cost", order={"budget": _BUDGETS, "method": ["relu"], "masking": ["gathered", "dense"]}),
        Table("linearity", "Activation bytes against kept ReLUs", rows=("dataset", "model", "replacement", "engine"),
              metrics=("bytes_per_relu", "r_squared"), digits=6, fill=_RUN + " suite=cost"),
        Table("protocols", "Bytes of one site, both directions, online", rows=("protocol",),
              metrics=("relu_bytes", "square_bytes", "affine_bytes", "square_over_relu"), fill=_RUN + " suite=cost",
              note="CrypTen is measured in the run. The others are the cost model's: spu 0.9.5's own count for SEMI2K and "
                   "Cheetah, recalled literature for Delphi. Under Cheetah a square costs more than a ReLU: take "
                   "cost.protocol=cheetah and the replacement auto (affine)."),
        Table("predicted", "Activation bytes of one image, modelled", rows=("dataset", "model", "budget", "replacement"),
              columns="protocol", metrics=("bytes",), fill=_RUN + " suite=cost",
              order={"budget": _BUDGETS, "protocol": ["crypten", "semi2k", "cheetah", "delphi"]}),
        Table("threshold", "Hysteresis threshold", rows=("dataset", "model", "budget", "replacement", "threshold"),
              metrics=("flips", "closed", "opened", "accuracy"), digits=4, fill=_RUN + " suite=ablation"),
        Table("degree", "Replacement at one strategy", rows=("dataset", "model", "budget", "replacement"),
              metrics=("closed", "opened", "accuracy", "accuracy_last"), digits=4, fill=_RUN + " suite=ablation"),
        Table("granularity", "Granularity of the gate", rows=("dataset", "model", "budget", "replacement", "gates"),
              metrics=("closed", "opened", "accuracy", "relus"), digits=4, fill=_RUN + " suite=ablation"),
        Table("activation", "The gated activation, forward and backward", rows=("shape", "dtype", "provider"),
              metrics=("seconds", "speedup", "error_max"), fill="effml run autorep suite=kernel", reference=("provider", "naive"),
              note="`memory bound`: five passes over the data (two forward, three backward) at the copy bandwidth of this run. "
                   "`relu`: the plain activation, which no gated one can beat by much."),
    ),
    timed=lambda config: config.suite in ("cost", "kernel", "all"),
    cost=_cost,
    runtime=("cost.port", "cost.timeout"),
    after_stages=("suite", "ablation", "rounds"),
    plots=(
        Plot("accuracy", "Accuracy by kept ReLUs", "points", "scatter", "relus", "accuracy", series=("strategy", "replacement"),
             log="x"),
        Plot("inference", "Bytes by kept ReLUs", "inference", "scatter", "relus", "bytes", series=("method", "masking")),
    ),
)  # fmt: skip
