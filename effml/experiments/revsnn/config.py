"""Options, metrics and tables of the reversible spiking neuron."""

from __future__ import annotations

from dataclasses import dataclass

from effml.errors import UserError
from effml.experiments.core.spec import Cost, Dataset, Experiment, Metric, Plot, Table, group, option

SUITES = ("memory", "time", "drift", "train", "all")
NODES = (
    "leaky",
    "leaky-subtract",
    "synaptic",
    "spikingjelly",
    "lif",
    "checkpoint",
    "rev-whole",
    "rev-double",
    "rev-paper",
    "rev-bits",
    "rev-anchor",
    "rev-exact",
)
# The ways of `effml.models.spiking.kept`, and spikingjelly's neuron and checkpoints; a test holds the two lists together.
KEPT = (
    "leaky",
    "synaptic",
    "spikingjelly",
    "memopt",
    "online",
    "lif",
    "lif-norm",
    "checkpoint",
    "bit-checkpoint",
    "depth",
    "rev-whole",
    "rev-double",
    "rev-paper",
    "rev-bits",
    "rev-anchor",
    "rev-norm",
    "rev-spikes",
    "linear",
)
NETS = ("mlp", "convnet", "vgg11", "vgg13", "vgg16", "vgg19")
CODINGS = ("rate", "direct", "pixels")


@dataclass
class Recordings(Dataset):
    steps: int | None = option(None, "bins of an event camera's recording", low=1)
    size: int | None = option(None, "side of its frames in pixels", low=1)


@dataclass
class Neuron:
    tau: float = option(2.0, "membrane time constant; ordinary neurons keep 1 - 1/tau a step", low=1.0, unit="steps")
    alpha: float = option(0.5, "coupling of the two groups' states; above 1/tau the state grows", low=0.0)
    beta: float = option(1.0, "coupling of input into output; X comes back as (Y - S) / beta", low=1e-6)
    threshold: float = option(1.0, "membrane at which a neuron fires", low=1e-6)


@dataclass
class Memory:
    steps: list[int] = option([8, 20, 32, 128], "T of a neuron layer", low=1)
    batch: int = option(32, "samples", low=1)
    width: int = option(512, "neurons of the layer, even", low=2)
    nodes: list[str] = option(list(NODES), "ways of keeping a neuron layer", choices=NODES)
    net_steps: list[int] = option([8, 32], "T of a network", low=1)
    net_batch: int = option(4, "samples of a network", low=1)
    net_width: int = option(32, "channels of its convolutions, even", low=2)
    layers: int = option(6, "its convolutions, an even number", low=2)
    side: int = option(16, "its images' side in pixels", low=1)
    nets: list[str] = option(
        ["leaky", "synaptic", "spikingjelly", "memopt", "online", "lif", "lif-norm", "checkpoint", "bit-checkpoint",
         "depth", "rev-whole", "rev-paper", "rev-bits", "rev-norm"],
        "ways of keeping a network", choices=KEPT)  # fmt: skip
    peaks: list[str] = option(
        ["leaky", "lif", "checkpoint", "bit-checkpoint", "depth", "rev-paper", "rev-bits", "rev-norm"],
        "ways whose peak is measured: in a fresh process on a CPU, by the allocator on a GPU", choices=KEPT,
    )  # fmt: skip
    peak_batch: int = option(16, "samples of a network whose peak is measured", low=1)
    long_steps: list[int] = option([500, 2000, 8000], "T of a chain of layers over a long sequence of spikes", low=1)
    long_nets: list[str] = option(
        ["leaky", "rev-bits", "bit-checkpoint"],
        "ways of keeping it",
        choices=("leaky", "lif", "rev-bits", "rev-paper", "bit-checkpoint"),
    )


@dataclass
class Times:
    steps: list[int] = option([4, 8, 16, 32], "T of a neuron layer", low=1)
    batch: int = option(32, "samples", low=1)
    width: int = option(512, "neurons of the layer, even", low=2)
    net_steps: list[int] = option([2, 4, 8], "T of a network", low=1)
    nets: list[str] = option(["convnet"], "networks", choices=NETS[1:])
    net_batch: int = option(4, "samples of a network", low=1)
    net_width: int = option(32, "channels of its first convolution, even", low=2)
    side: int = option(16, "its images' side in pixels", low=1)
    large_steps: int = option(32, "T of the large layer", low=1)
    large: int = option(262_144, "neurons of the large layer; 0 leaves it out", low=0)
    rounds: int = option(11, "interleaved rounds", low=3)
    large_rounds: int = option(5, "interleaved rounds of the large layer", low=3)


@dataclass
class Drift:
    steps: list[int] = option([4, 8, 16, 32, 128], "T", low=1)
    modes: list[str] = option(
        ["paper", "bits", "anchor", "exact"], "how the past is recovered", choices=("paper", "bits", "anchor", "exact")
    )
    alphas: list[float] = option([0.25, 0.5, 1.0], "couplings of the states", low=0.0)
    taus: list[float] = option([2.0], "time constants", low=1.0, unit="steps")
    dtypes: list[str] = option(["float32", "float64"], "precisions", choices=("float32", "float64"))
    batch: int = option(32, "samples", low=1)
    width: int = option(512, "neurons, even", low=2)


@dataclass
class Train:
    kept: list[str] = option(
        ["leaky", "rev-bits", "rev-paper", "rev-spikes", "linear"], "networks trained, of equal width", choices=KEPT
    )
    net: str = option("mlp", "network", choices=NETS)
    coding: str = option(
        "rate", "image to T steps: Bernoulli spikes, the image at every step, or pixel after pixel on row and column lines",
        choices=CODINGS,
    )  # fmt: skip
    steps: int = option(8, "T; recordings come with their own", low=1)
    hidden: int = option(128, "neurons of an mlp's two hidden layers, channels of a network's first layer", low=2)
    epochs: int = option(20, "passes over the training data", low=1)
    batch: int = option(64, "samples a step", low=1)
    firing: float | None = option(
        0.2, "share of each layer's neurons that fire before training, to which the weights of an mlp are scaled on one "
        "batch; null leaves them as drawn", low=0.005, high=0.4,
    )  # fmt: skip
    rate: float = option(2e-3, "learning rate of Adam, cosine", low=0.0)
    images: int | None = option(None, "training images, drawn by the seed; default all", low=1)
    augment: bool = option(False, "crop by an eighth, and flip")


@dataclass
class Config:
    suite: str = option("all", "what to run", choices=SUITES)
    dataset: Recordings = group(Recordings)
    neuron: Neuron = group(Neuron)
    memory: Memory = group(Memory)
    time: Times = group(Times)
    drift: Drift = group(Drift)
    train: Train = group(Train)
    anchor_every: int = option(8, "steps between the states that mode anchor keeps", low=1)

    def check(self) -> None:
        for key, value in (
            ("memory.width", self.memory.width),
            ("memory.net_width", self.memory.net_width),
            ("memory.layers", self.memory.layers),
            ("time.width", self.time.width),
            ("time.net_width", self.time.net_width),
            ("time.large", self.time.large),
            ("drift.width", self.drift.width),
            ("train.hidden", self.train.hidden),
        ):
            if value % 2:
                raise UserError(f"{key}={value} cannot be halved into two groups; use an even number")
        if self.train.net == "mlp" and (bad := {"lif-norm", "rev-norm", "depth", "memopt"} & set(self.train.kept)):
            raise UserError(f"train.kept={sorted(bad)[0]} is for convolutional networks; use train.net=convnet")
        if self.train.net.startswith("vgg") and "depth" in self.train.kept:
            raise UserError("train.kept=depth needs layers of equal width; use train.net=convnet")
        if self.train.coding == "pixels" and self.train.net != "mlp":
            raise UserError("train.coding=pixels shows one pixel at a time; use train.net=mlp")
        if "exact" in self.drift.modes and 0.5 not in self.drift.alphas:
            raise UserError("drift.modes=exact halves the state: add 0.5 to drift.alphas")


def _cost(config: Config) -> Cost:
    """From runs of the default preset on two cores."""
    train = config.train
    images = {"digits": 1437, "cifar10": 50_000, "oxford-spikes": 1}.get(config.dataset.name, 10_000)
    images = min(images, train.images or images)
    work = {"mlp": 1.5e-6, "convnet": 2e-4}.get(train.net, 4e-4) * (train.hidden / 128) * train.steps
    seconds = {
        "memory": 6.0 * (len(config.memory.peaks) + len(config.memory.long_nets) * len(config.memory.long_steps)) + 10,
        "time": 10.0 + 50.0 * min(1.0, config.time.rounds / 11 * config.time.side / 16),
        "drift": 1.5 * len(config.drift.alphas) * len(config.drift.dtypes) * len(config.drift.steps),
        "train": images * train.epochs * work * len(train.kept),
    }
    chosen = seconds.values() if config.suite == "all" else [seconds[config.suite]]
    return Cost(sum(chosen), 1.5e9, "on two CPU cores")


_NODE = "effml run revsnn suite=memory memory.steps=[{steps}] memory.nodes=[leaky,{kept}]"
_NET = "effml run revsnn suite=memory memory.net_steps=[{steps}] memory.nets=[leaky,{kept}]"
_TRAIN = "effml run revsnn suite=train --dataset {dataset}"
_ORDER = {"kept": list(dict.fromkeys(("leaky", "leaky-subtract", *KEPT, *NODES)))}
_OURS = (
    "The paper's text is not transcribed: the node is a reconstruction from its abstract and its reviews, alpha and beta "
    "are ours."
)

EXPERIMENT = Experiment(
    name="revsnn",
    title="The reversible spiking neuron: what it saves, and where its inverse ends",
    paper="arXiv 2308.08649",
    config=Config,
    datasets=("digits", "cifar10", "cifar100", "oxford-spikes", "nmnist", "dvs-gesture", "cifar10-dvs", "spike-file"),
    metrics=(
        Metric("own_bytes", "B", "kept by autograd besides the layer's input and output", better="lower"),
        Metric("units", "1", "own_bytes over those of one step's float32 input"),
        Metric("all_bytes", "B", "own_bytes, the output, which the next layer keeps, and the input, where kept", better="lower"),
        Metric("ratio", "x", "own_bytes of snntorch's Leaky (reset to zero) over these", better="higher"),
        Metric("all_ratio", "x", "the same of all_bytes", better="higher"),
        Metric("saved_bytes", "B", "kept by autograd for the whole network, parameters and input aside", better="lower"),
        Metric("units_per_layer", "1", "saved_bytes over those of one float32 activation of T steps, per layer", better="lower"),
        Metric("network_ratio", "x", "saved_bytes of the network of Leaky over these", better="higher"),
        Metric("node_ratio", "x", "ratio of the neuron alone", better="higher"),
        Metric("peak_bytes", "B", "most memory of a training step over what stood before it", better="lower"),
        Metric("peak_ratio", "x", "peak_bytes of the network of Leaky over these", better="higher"),
        Metric("bit_bytes", "B", "spikes of all layers and the input, one bit each: what must be kept at least"),
        Metric("linear_bytes", "B", "the real-valued outputs of reversible layers, which no bit can hold"),
        Metric("seconds", "s", "median time of a forward and a backward", better="lower"),
        Metric("speedup", "x", "time of snntorch's Leaky over this", better="higher"),
        Metric("gradient_error", "1", "relative L2 error of the gradient against autograd of the same equations", better="lower"),
        Metric("saved_share", "1", "time less than by inverse and second forward, as a share", better="higher"),
        Metric("saved_share_low", "1", "its lower quartile over rounds"),
        Metric("saved_share_high", "1", "its upper quartile over rounds"),
        Metric("operations", "1", "pointwise operations of the backward on a group of neurons, by closed form", better="lower"),
        Metric("operations_counted", "1", "the same, counted as torch carries them out"),
        Metric("operations_saved", "1", "share of the double backward's operations that are left out", better="higher"),
        Metric("wrong_spikes", "1", "spikes of the past recovered wrong", better="lower"),
        Metric("first_wrong", "steps", "steps back from the end to the nearest wrong spike; blank when none is"),
        Metric("error_v", "1", "largest error of a recovered state", better="lower"),
        Metric("error_x", "1", "largest error of a recovered input", better="lower"),
        Metric("safe_steps", "steps", "steps that mode paper is predicted to recover well enough for a gradient"),
        Metric("accuracy", "1", "share of right answers on the test data after the last step", better="higher"),
        Metric("behind", "1", "accuracy of the network of Leaky less this one's", better="lower"),
        Metric("density", "1", "share of neurons' outputs that are not 0", better="lower"),
        Metric("spike_rate", "1", "share of neurons and steps with a spike, over all layers, after training"),
        Metric("spike_rate_low", "1", "the same of the layer that fires least"),
        Metric("parameters", "1", "weights"),
        Metric("step_seconds", "s", "median time of a training step", better="lower"),
        Metric("loss_first", "1", "loss of the first step"),
        Metric("loss_last", "1", "loss of the last step", better="lower"),
        Metric("spikes_matched", "1", "F1 of our spikes and the target's, by bins of 10 steps", better="higher"),
    ),
    tables=(
        Table("ratios", "What the neuron saves, and what a network then saves", rows=("kept", "steps"),
              metrics=("node_ratio", "all_ratio", "network_ratio"), fill="effml run revsnn suite=memory", order=_ORDER,
              note="node_ratio leaves out the layer's input and output, which its neighbours keep; all_ratio counts both; "
                   "network_ratio is of a network of convolution, norm and neuron. The paper's 58.65 is of the neuron: the "
                   "first of these grows with T, so it is a choice of T. " + _OURS),
        Table("node_memory", "What autograd keeps of a layer of neurons", rows=("steps", "kept"),
              metrics=("own_bytes", "units", "ratio", "all_bytes", "all_ratio"), fill=_NODE, order=_ORDER, digits=4),
        Table("network_memory", "What autograd keeps of a network", rows=("net", "steps", "kept"),
              metrics=("saved_bytes", "units_per_layer", "network_ratio"), fill=_NET, order=_ORDER, digits=4,
              note="depth: reversible blocks; the others keep one convolution, norm and neuron after another. memopt is "
                   "spikingjelly's."),
        Table("peak", "Most memory of a training step", rows=("net", "steps", "kept"), metrics=("peak_bytes", "peak_ratio"),
              fill="effml run revsnn suite=memory", order=_ORDER,
              note="On a CPU the growth of a fresh process's resident set, transients and the convolution's own buffers "
                   "included; on a GPU what the allocator handed out."),
        Table("long", "A long sequence of spikes through ordinary and reversible layers", rows=("task", "steps", "kept"),
              metrics=("saved_bytes", "bit_bytes", "linear_bytes", "peak_bytes"), fill="effml run revsnn suite=memory",
              order=_ORDER, digits=4,
              note="bit-checkpoint keeps the bits and works through segments of sqrt(T): its peak grows by those. A "
                   "reversible layer's output is real-valued: linear_bytes of it stay whatever the mode."),
        Table("time", "Time of a forward and a backward", rows=("net", "steps", "neurons", "kept", "backend"),
              metrics=("seconds", "speedup", "gradient_error"), fill="effml run revsnn suite=time", order=_ORDER,
              reference=("kept", "leaky"),
              note="gradient_error against autograd of the node's own equations in the same precision; blank for neurons "
                   "of other equations. Beyond its safe length mode paper is timed although its gradient is wrong."),
        Table("streamlined", "One sweep against inverse and second forward", rows=("net", "steps", "neurons"),
              metrics=("saved_share", "saved_share_low", "saved_share_high"), fill="effml run revsnn suite=time",
              note="Both in plain torch. The paper's 23.8 % names neither network nor T."),
        Table("operations", "Pointwise operations of one step's backward", rows=("backward",),
              metrics=("operations", "operations_counted", "operations_saved"), fill="effml run revsnn suite=time", digits=4,
              note="On one group of neurons each. The paper's table of operations is not transcribed."),
        Table("drift", "How far back the past comes back right", rows=("dtype", "tau", "alpha", "steps", "mode"),
              metrics=("safe_steps", "wrong_spikes", "first_wrong", "error_v", "error_x", "gradient_error"),
              fill="effml run revsnn suite=drift drift.alphas=[{alpha}] drift.modes=[{mode}]",
              order={"mode": ["paper", "anchor", "bits", "exact"]},
              note="safe_steps: as far as the gradient stays within about 1 %; single spikes may come back wrong before that. "
                   "first_wrong counts from the end of the sequence. Mode exact computes on a grid of 1/65536; its gradient "
                   "has no counterpart here and is left blank."),
        Table("accuracy", "Accuracy at equal width", rows=("dataset", "coding", "net", "steps", "kept"),
              metrics=("accuracy", "behind", "spike_rate", "spike_rate_low", "density", "parameters", "saved_bytes",
                       "step_seconds"), fill=_TRAIN, order=_ORDER, digits=4,
              note="No figure of the paper's accuracy table is transcribed. The weights of all networks are scaled before "
                   "training until each layer fires at one rate (train.firing). density: a reversible neuron hands on its spike "
                   "and the other group's input, so its output is almost nowhere 0 and what follows is not driven by events. "
                   "Two controls: rev-spikes hands on the spikes of the reversible neuron alone, from which nothing can be "
                   "inverted; linear has no neuron, and shows how much of the task needs none."),
        Table("regression", "Spike trains fitted to spike trains", rows=("dataset", "steps", "kept"),
              metrics=("loss_first", "loss_last", "spikes_matched", "saved_bytes", "bit_bytes", "linear_bytes", "step_seconds"),
              fill=_TRAIN, order=_ORDER, digits=4,
              note="The loss is of counts in bins of 10 steps, bins with a target spike weighing as much as all the others."),
    ),
    timed=lambda config: config.suite in ("time", "all"),
    cost=_cost,
    plots=(
        Plot("node", "What a layer of neurons keeps besides input and output", "node_memory", "line", "steps", "own_bytes",
             series=("kept",), log="xy"),
        Plot("drift", "Wrong gradients by steps", "drift", "line", "steps", "gradient_error",
             series=("mode", "alpha", "dtype"), log="xy"),
        Plot("long", "What a long sequence keeps", "long", "line", "steps", "saved_bytes", series=("kept",), log="xy"),
        Plot("streamlined", "Time saved by one sweep", "streamlined", "line", "steps", "saved_share",
             series=("net",), zero=0.238),
    ),
)  # fmt: skip
