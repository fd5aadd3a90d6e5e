"""Options, metrics and tables of LinGCN: linearized graph networks, and their inference on encrypted skeletons."""

from __future__ import annotations

from dataclasses import dataclass

from effml.errors import UserError
from effml.experiments.core.spec import Cost, Dataset, Experiment, Metric, Plot, Table, group, option
from effml.experiments.lingcn import tables

SUITES = ("train", "encrypt", "micro", "serve", "all")
METHODS = ("node", "layer")
SIZES = {"3-128": ((64, 128, 128), (1, 2, 1)), "3-256": ((128, 256, 256), (1, 2, 1)),
         "6-256": ((64, 64, 128, 128, 256, 256), (1, 1, 2, 1, 2, 1))}  # fmt: skip
BACKENDS = ("sealapi", "pyfhel")


@dataclass
class Skeletons(Dataset):
    split: str | None = option(None, "with dataset=ntu60: what train and test differ in", choices=("view", "subject"))
    layout: str | None = option(None, "with dataset=articulated: 20 joints or 25", choices=("msr20", "ntu25"))
    classes: int | None = option(None, "with dataset=articulated: actions; ntu60: the first so many", low=2)
    repeats: int | None = option(None, "with dataset=articulated: sequences of each action by each subject", low=1)


@dataclass
class Model:
    size: str = option("own", "a backbone of the paper, or own: channels and strides", choices=("own", *SIZES))
    channels: list[int] = option([8, 8, 8], "channels of each block", low=1)
    strides: list[int] = option([1, 1, 1], "frames taken by each block: every one, every second ...", low=1, high=4)
    frames: int = option(32, "frames to which every sequence is resampled", low=2)


@dataclass
class Teacher:
    epochs: int = option(30, "epochs of the all-ReLU network", low=1)
    rate: float = option(0.1, "its learning rate (SGD, momentum 0.9, cosine)", low=0.0)
    weight_decay: float = option(1e-4, "weight decay of every stage", low=0.0)
    dropout: float = option(0.0, "dropout of the teacher, but for its first block; paper 0.5", low=0.0, high=0.9)


@dataclass
class Linearize:
    epochs: int = option(8, "epochs in which gates are learned, ReLU where they are open", low=1)
    rate: float = option(0.01, "learning rate of weights and gates", low=0.0)
    aim: str = option("targets", "reach each of train.targets, or take n as a fixed mu leaves it (paper)",
                      choices=("targets", "mu"))  # fmt: skip
    mu: float = option(1.0, "weight of the penalty on the share of open gates", low=0.0)
    growth: float = option(1.5, "growth of mu each epoch while a target is not reached", low=1.0)


@dataclass
class Replace:
    epochs: int = option(30, "epochs with polynomials, gates fixed", low=1)
    rate: float = option(0.01, "learning rate", low=0.0)
    start: str = option("identity", "first polynomials: near the identity (paper), or fitted to ReLU on training data",
                        choices=("identity", "fitted"))  # fmt: skip
    square_scale: float = option(0.1, "factor between stored and effective quadratic coefficients; paper 0.01, for "
                                 "schedules ten times as long", low=0.0)  # fmt: skip
    limit: float = option(2.0, "bound of stored coefficients", low=0.0)
    offset: bool = option(True, "train the constant term, as the paper prints it; its published program does not")


@dataclass
class Distil:
    eta: float = option(0.2, "share of the teacher's softened logits (T = 4) in place of labels", low=0.0, high=1.0)
    phi: float = option(200.0, "weight of the attention maps of block outputs", low=0.0)


@dataclass
class Train:
    methods: list[str] = option(["node", "layer"], "what may differ between nodes of a block: the position of its "
                                "nonlinearity (LinGCN), or nothing", choices=METHODS)  # fmt: skip
    targets: list[int] = option([6, 4, 2, 1], "nonlinear layers to reach; twice the blocks keeps all of them", low=0)
    batch: int = option(16, "sequences in a batch", low=2)
    held_out: float = option(0.15, "share of training sequences by which states are chosen", low=0.01, high=0.5)
    augment: bool = option(True, "turn, scale and crop training sequences at random")
    lookahead: int = option(6, "steps between Lookahead's syntheses in the last two stages; 0 without", low=0)
    check_every: int = option(2, "epochs between looks at held-out sequences", low=1)


@dataclass
class Encrypt:
    targets: list[int] = option([2, 6], "nonlinear layers of the encrypted networks", low=0)
    model: str | None = option(
        None, "a network written by suite=train (.npz), or the folder of several, in place of training them"
    )
    backend: str = option("sealapi", "library that computes on ciphertexts", choices=BACKENDS)
    compare: list[str] = option(
        ["pyfhel"], "libraries whose logits are compared on the smallest network", choices=BACKENDS
    )
    baseline: bool = option(True, "all-polynomial, unfused network beside it (CryptoGCN's way)")
    across: bool = option(False, "measure that baseline with twice the channels, too")
    projection: bool = option(True, "predict the paper's 3-128 at 256 frames, as well")
    workers: int = option(2, "processes among which the nodes of the graph are divided", low=1)
    sequences: int = option(16, "test sequences that the smallest network answers; the others answer one set", low=1)
    calibration: float = option(5.0, "seconds of timing on which predictions rest", low=0.1, unit="s")
    timeout: float = option(3600.0, "seconds after which a server that does not answer is stopped", low=1.0, unit="s")
    scale_bits: int | None = option(None, "bits of the scale and of the inner primes; by default what the ring has room for",
                                    low=20, high=60)  # fmt: skip
    end_bits: int | None = option(None, "bits of the first and of the key-switching prime", low=20, high=60)
    ring: int | None = option(None, "ring size N; by default the smallest that is secure", low=1024)
    insecure: bool = option(False, "allow less than 128-bit security; needs encrypt.ring")


@dataclass
class Micro:
    rounds: int = option(5, "interleaved rounds of each operation", low=3)
    log_rings: list[int] = option([13, 14], "log2 of the ring sizes", low=13, high=15)
    backends: list[str] = option(["pyfhel", "sealapi"], "libraries", choices=BACKENDS)


@dataclass
class Config:
    suite: str = option("train", "what to run", choices=SUITES)
    dataset: Skeletons = group(Skeletons)
    model: Model = group(Model)
    teacher: Teacher = group(Teacher)
    linearize: Linearize = group(Linearize)
    replace: Replace = group(Replace)
    distil: Distil = group(Distil)
    train: Train = group(Train)
    encrypt: Encrypt = group(Encrypt)
    micro: Micro = group(Micro)

    def check(self) -> None:
        channels, strides = self.shape()
        if len(channels) != len(strides):
            raise UserError(
                f"model.channels names {len(channels)} blocks and model.strides {len(strides)}; expected as many"
            )
        asked = []
        if self.suite in ("train", "all") and self.linearize.aim == "targets":
            asked.append(("train.targets", self.train.targets))
        if self.suite in ("encrypt", "serve", "all") and self.encrypt.model is None:
            asked.append(("encrypt.targets", self.encrypt.targets))
        for key, targets in asked:
            if too_many := [n for n in targets if n > 2 * len(channels)]:
                raise UserError(
                    f"{key}={too_many[0]} is more than the {2 * len(channels)} layers of {len(channels)} blocks"
                )
        if self.encrypt.insecure and self.encrypt.ring is None:
            raise UserError("encrypt.insecure=true needs encrypt.ring: name the ring that may be insecure")

    def shape(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Channels and strides of the blocks."""
        return SIZES.get(self.model.size, (tuple(self.model.channels), tuple(self.model.strides)))


def _cost(config: Config) -> Cost:
    """From 0.10 s for forward and backward of 16 sequences of 64 frames through three blocks of 16 channels, one core; of 240
    sequences for training, more or less."""
    channels, _ = config.shape()
    step = 0.10 * config.train.batch / 16 * config.model.frames / 64 * sum(c**1.3 for c in channels) / (3 * 16**1.3)
    points = len(config.train.methods)
    if config.linearize.aim == "targets":
        everything = 2 * len(channels)
        points *= len(set(config.train.targets) - {everything})
        points += everything in config.train.targets
    if config.suite == "micro":
        return Cost(30, 1e9)
    if config.suite in ("encrypt", "serve"):
        return _cost_encrypted(config)
    epochs = config.teacher.epochs + points * 1.4 * (config.linearize.epochs + config.replace.epochs)
    return Cost(step * epochs * 240 / config.train.batch, 1e9, f"{points} networks after the teacher")


def _cost_encrypted(config: Config) -> Cost:
    """From 17 CPU-seconds for a set of ciphertexts of three blocks of 16 channels at n = 2 on each of two cores, and training."""
    channels, _ = config.shape()
    one = 20 * sum(channels) / 48 * max(1.0, config.model.frames * max(channels) / 8192) * 2 / config.encrypt.workers
    carried = max(1, 8192 // (config.model.frames * max(channels)))
    sets = -(-config.encrypt.sequences // carried) if config.suite == "encrypt" else 1
    others = (3 * len(config.encrypt.targets) + 12 * config.encrypt.baseline) if config.suite == "encrypt" else 0
    training = 0 if config.encrypt.model else 400
    return Cost(
        training + one * (sets + others) + 60, 4e9, f"{sets} sets of ciphertexts and {others} times as much beside"
    )


_NET = ("dataset", "model")
_RUN = "effml run lingcn --dataset {dataset}"

EXPERIMENT = Experiment(
    name="lingcn",
    title="LinGCN: graph networks on encrypted skeletons, at 128-bit security",
    paper="NeurIPS 2023, arXiv 2309.14331",
    config=Config,
    datasets=("articulated", "msraction3d", "ntu60", "skeleton-file"),
    metrics=(
        Metric("accuracy", "1", "share of right answers on test sequences, state chosen on held-out ones", better="higher"),
        Metric("held_out", "1", "the same on the held-out sequences", better="higher"),
        Metric("linearized", "1", "test accuracy with ReLU still in the open gates, before polynomials", better="higher"),
        Metric("layers", "1", "nonlinear layers left, n: levels that activations take", better="lower"),
        Metric("levels", "1", "multiplicative levels of one inference, 2 blocks + 1 + n", better="lower"),
        Metric("forced", "1", "layers that had to be opened or closed by score after learning, to meet the target",
               better="lower"),
        Metric("mu", "1", "weight of the penalty when learning of gates ended"),
        Metric("nodes", "1", "nodes that keep the nonlinearity at this position"),
        Metric("parameters", "1", "trained numbers of the network"),
        Metric("seconds", "s", "time", better="lower"),
        Metric("speedup", "x", "time of the all-polynomial, unfused network of the same size over this one's", better="higher"),
        Metric("speedup_across", "x", "the same against a wider network of like accuracy, as the paper counts", better="higher"),
        *tables.METRICS,
    ),
    tables=(
        Table("frontier", "Accuracy by nonlinear layers", rows=(*_NET, "method", "n"), metrics=("accuracy", "held_out"),
              digits=4, fill=_RUN + " suite=train train.targets=[{n}]",
              order={"method": ["teacher", "all-polynomial", "node", "layer", "cryptogcn"]},
              note="n = twice the blocks keeps every nonlinearity, as a polynomial; the teacher has ReLUs, which cannot be "
                   "computed on ciphertexts."),
        Table("stages", "How each network was reached", rows=(*_NET, "method", "n"),
              metrics=("layers", "levels", "forced", "mu", "linearized", "accuracy"), digits=4, fill=_RUN + " suite=train"),
        Table("gates", "Nodes that keep the nonlinearity, by block and position",
              rows=(*_NET, "method", "n", "block"), columns="position", metrics=("nodes",), digits=4,
              fill=_RUN + " suite=train"),
        Table("published", "The paper's seconds for one encrypted sequence", rows=("model", "method", "n"),
              metrics=("seconds", "speedup", "speedup_across"), digits={"seconds": 5, "speedup": 3, "speedup_across": 3},
              order={"method": ["all-polynomial", "node", "cryptogcn"]},
              note="One thread of another processor, by a program that was never published; never to be compared with a "
                   "column measured here."),
        *tables.TABLES,
    ),
    timed=lambda config: config.suite != "train",
    cost=_cost,
    plots=(Plot("frontier", "Accuracy by nonlinear layers", "frontier", "line", "n", "accuracy", series=(*_NET, "method")),),
)  # fmt: skip
