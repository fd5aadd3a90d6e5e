"""Options, metrics and tables of DeeDiff."""

from __future__ import annotations

from dataclasses import dataclass

from effml.errors import UserError
from effml.experiments.core.spec import Cost, Dataset, Experiment, Metric, Plot, Table, group, option

SUITES = ("train", "pareto", "calibration", "ablation", "kernel", "all")


@dataclass
class Model:
    patch: int = option(2, "edge of a patch", low=1)
    width: int = option(64, "token width", low=8)
    depth: int = option(6, "blocks less one; the exits are depth + 1", low=2)
    heads: int = option(4, "attention heads", low=1)
    uem: str = option("concat", "input of the uncertainty heads: tokens (authors' code), or tokens and time (paper)",
                      choices=("tokens", "concat"))  # fmt: skip
    head: str = option("shared", "one output head for all exits, or one per layer", choices=("shared", "per_layer"))
    condition: str = option("none", "what the network is told", choices=("none", "class", "text"))


@dataclass
class Train:
    steps: int = option(1500, "optimiser steps", low=1)
    batch: int = option(128, "images a step", low=1)
    lr: float = option(5e-3, "peak learning rate", low=0.0)
    ema: float = option(0.995, "decay of the averaged weights", low=0.0, high=1.0)
    lam: float = option(1.0, "weight of the uncertainty loss (eq. 9)", low=0.0)
    beta: float = option(1.0, "weight of the layer-wise loss (eq. 9)", low=0.0)
    form: str = option("repository", "normalisation of the losses", choices=("paper", "repository"))
    detach_weights: bool = option(False, "keep the layer-wise loss from teaching the uncertainty heads")
    drop: float = option(0.15, "share of steps without condition, for guidance", low=0.0, high=1.0)


@dataclass
class Sample:
    solver: str = option("ddim", "solver", choices=("ddim", "ddpm", "dpm++"))
    steps: int = option(25, "solver steps of the full model", low=2)
    images: int = option(256, "images per point", low=2)
    rounds: int = option(3, "interleaved timed rounds", low=1)
    guidance: float = option(0.0, "guidance scale; needs a condition", low=0.0)
    cfg_exit: str = option(
        "independent", "whether both rows of a guidance pair exit together", choices=("independent", "joint")
    )


@dataclass
class Policies:
    thresholds: list[float] = option([0.1, 0.15, 0.2, 0.3], "uncertainty thresholds", low=0.0)
    layers: list[int] = option([0, 1, 3, 5], "fixed layers, 0-based", low=0)
    fewer_steps: list[int] = option([2, 3, 4, 6, 8, 12, 18], "solver steps of the full model that rival exits", low=2)
    tolerances: list[float] = option([0.05, 0.1, 0.2, 0.4], "PABEE's relative tolerances", low=0.0)
    cosines: list[float] = option([0.8, 0.9, 0.95, 0.99], "CALM's cosines", low=-1.0, high=1.0)
    probabilities: list[float] = option(
        [0.1, 0.2, 0.35, 0.6], "exit probabilities of the random policy", low=0.0, high=1.0
    )
    intervals: list[int] = option([2, 3, 4, 6], "steps between full calls of the interval cache", low=2)
    caches: list[float] = option([0.05, 0.1, 0.2, 0.4], "thresholds of the first-block cache", low=0.0)
    patience: int = option(1, "checks in a row that must pass", low=1)


@dataclass
class Config:
    suite: str = option("pareto", "what to run; all but kernel train first", choices=SUITES)
    dataset: Dataset = group(Dataset)
    model: Model = group(Model)
    train: Train = group(Train)
    sample: Sample = group(Sample)
    policy: Policies = group(Policies)
    checkpoint: str | None = option(None, "a public U-ViT or AdaDiff .pth to begin from instead of training")

    def check(self) -> None:
        if self.sample.guidance and self.model.condition == "none":
            raise UserError("sample.guidance needs model.condition=class or text")
        if self.model.depth % 2:
            raise UserError(f"model.depth={self.model.depth} must be even (as many blocks after the middle as before)")
        if max(self.policy.layers) > self.model.depth:
            raise UserError(f"policy.layers must not exceed model.depth={self.model.depth}")
        if self.model.width % self.model.heads:
            raise UserError(f"model.width={self.model.width} must be divisible by model.heads={self.model.heads}")


EDGES = {"digits": 8, "cifar10": 32, "celeba": 64}
RATE = 25e9
"""Multiply-accumulates a second that such small networks reach on two cores."""


def cost(config: Config) -> Cost:
    """From the network's multiply-accumulates: a training step is three calls, the heads a tenth on top."""
    if config.suite == "kernel":
        return Cost(20, 2e9, "times the fused uncertainty")
    model, sample, policy = config.model, config.sample, config.policy
    tokens = (EDGES.get(config.dataset.name, 32) // model.patch) ** 2 + 1
    block = 12 * tokens * model.width**2 + 2 * tokens**2 * model.width
    call = (model.depth + 1) * block + model.depth * tokens * model.width**2
    ablates, times = config.suite in ("ablation", "all"), config.suite in ("pareto", "all")
    training = 3.3 * call * config.train.batch * config.train.steps * (4.2 if ablates else 1)
    whole: float = 1 + 5 * ablates
    if times:  # exits and rivals take half of the full model's time, one call untimed
        settings = 4 * len(policy.thresholds) + sum(
            len(found) for found in (policy.layers, policy.fewer_steps, policy.tolerances, policy.cosines,
                                     policy.probabilities, policy.intervals)
        )  # fmt: skip
        whole += (sample.rounds + 1) * (settings / 2 + 1.5 * len(policy.caches) + 1)
    sampling = call * sample.images * sample.steps * whole * (2 if sample.guidance else 1)
    what = "trains a small network" + (", then samples with every policy" if times else "")
    return Cost(30 + (training + sampling) / RATE, 2e9, what)


_QUALITY = ("layers", "layer_ratio", "gmac", "seconds_per_image", "speedup", "fd", "kid", "psnr", "syncs")

EXPERIMENT = Experiment(
    name="deediff",
    title="DeeDiff: does early exit of a diffusion network save real time?",
    paper="AdaDiff, ECCV 2024, arXiv 2309.17074",
    config=Config,
    datasets=("digits", "cifar10", "celeba", "file"),
    metrics=(
        Metric("loss", "1", "error of the last layer over all times on training images, EMA weights", better="lower"),
        Metric("held_out_loss", "1", "the same on held-out images", better="lower"),
        Metric("gaussian_bound", "1", "loss of the best linear denoiser on training images; a network must end below"),
        Metric("parameters", "", "parameters of the backbone"),
        Metric("layers", "", "blocks executed per network call, mean", better="lower"),
        Metric("layer_ratio", "1", "blocks executed over all blocks", better="lower"),
        Metric("gmac", "GMAC", "multiply-accumulates per image over all steps, by closed form", better="lower"),
        Metric("seconds_per_image", "s", "wall-clock per image, batch of all images", better="lower"),
        Metric("speedup", "x", "time of the full model without uncertainty heads over this one's", better="higher"),
        Metric("fd", "", "Fréchet distance of generated images to the training images in the stated features", better="lower"),
        Metric("kid", "", "kernel distance in the same features", better="lower"),
        Metric("psnr", "dB", "to the full model's images from the same noise", better="higher"),
        Metric("syncs", "", "decisions that waited for data, per image batch", better="lower"),
        Metric("floor", "", "the same distance of as many held-out real images: what a perfect generator would score"),
        Metric("rival_fd", "", "Fréchet distance of fewer full steps in the same time or less", better="lower"),
        Metric("advantage", "", "rival's distance less this one's: positive where early exit wins", better="higher"),
        Metric("compared", "", "settings to which full steps, fewer or all, offer a rival in the same time or less"),
        Metric("won", "", "settings among them that are nearer to the real images than that rival", better="higher"),
        Metric("best", "", "largest advantage among them; positive where some setting wins", better="higher"),
        Metric("error", "1", "squared noise error of an exit", better="lower"),
        Metric("uncertainty", "1", "mean predicted uncertainty"),
        Metric("pseudo_uncertainty", "1", "mean of tanh |error|, which the prediction should equal"),
        Metric("slope", "1", "of the pseudo-uncertainty on the predicted one; 1 is calibrated"),
        Metric("r2_pooled", "1", "R^2 over all times, layers and images", better="higher"),
        Metric("r2_within", "1", "R^2 within one time and layer, median: what a per-sample decision could use", better="higher"),
        Metric("exit_layer", "", "mean block (0-based) after which samples stopped"),
        Metric("exit_spread", "", "standard deviation over samples within a step"),
        Metric("scaled_error", "1", "against float64", better="lower"),
        Metric("seconds", "s", "median time of one call", better="lower"),
    ),
    tables=(
        Table("training", "Trained networks", rows=("dataset", "model", "condition", "steps"),
              metrics=("loss", "held_out_loss", "gaussian_bound", "parameters", "fd", "floor"),
              fill="effml run deediff --dataset {dataset} train.steps={steps}"),
        Table("pareto", "Quality against cost, every policy and rival in one run",
              rows=("dataset", "policy", "setting"), metrics=_QUALITY, fill="effml run deediff --dataset {dataset} suite=pareto",
              note="fd: pixels for images of 8 x 8, features of a classifier trained in the run otherwise; never FID. "
              "oracle knows the full prediction and is charged nothing for it: a bound."),
        Table("equal_time", "Early exit against full steps in the same time", rows=("dataset", "policy", "setting"),
              metrics=("seconds_per_image", "fd", "rival_fd", "advantage"),
              fill="effml run deediff --dataset {dataset} suite=pareto"),
        Table("winners", "Who wins at equal time: settings of each policy that beat full steps", rows=("dataset", "policy"),
              metrics=("compared", "won", "best"), fill="effml run deediff --dataset {dataset} suite=pareto"),
        Table("ablation", "Does the layer-wise loss help the full model?", rows=("dataset", "variant"),
              metrics=("loss", "fd", "kid", "parameters"), fill="effml run deediff --dataset {dataset} suite=ablation"),
        Table("calibration", "What the uncertainty knows", rows=("dataset", "part"), metrics=("slope", "r2_pooled", "r2_within"),
              fill="effml run deediff --dataset {dataset} suite=calibration"),
        Table("layers", "Error of every exit by time", rows=("dataset", "timestep", "layer"),
              metrics=("error", "uncertainty", "pseudo_uncertainty", "gaussian_bound"),
              fill="effml run deediff --dataset {dataset} suite=calibration"),
        Table("depth", "Exit depth against time", rows=("dataset", "setting", "timestep"), metrics=("exit_layer", "exit_spread")),
        Table("published", "The paper's figures and those of its independent reproduction", rows=("dataset", "source", "setting"),
              metrics=("fd", "gmac", "layer_ratio"), note="FID, another measure than fd above."),
        Table("kernel", "Fused uncertainty", rows=("shape", "provider"), metrics=("seconds", "speedup", "scaled_error"),
              fill="effml run deediff suite=kernel"),
    ),
    timed=lambda config: config.suite in ("pareto", "kernel", "all"),
    after_stages=("suite", "sample", "policy"),
    cost=cost,
    plots=(
        Plot("pareto", "Quality against time", "pareto", "scatter", "seconds_per_image", "fd", series=("policy",), log="x"),
        Plot("layers", "Error of every exit", "layers", "line", "layer", "error", series=("timestep",), log="y"),
        Plot("depth", "Exit depth against time", "depth", "line", "timestep", "exit_layer", series=("setting",)),
    ),
)  # fmt: skip
