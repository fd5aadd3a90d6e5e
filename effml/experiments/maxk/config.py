"""Options, metrics and tables of the MaxK-GNN experiment."""

from __future__ import annotations

from dataclasses import dataclass

from effml.errors import UserError
from effml.experiments.core.spec import Cost, Dataset, Experiment, Metric, Plot, Table, group, option

SUITES = ("train", "kernel", "profile", "approximation", "all")
KINDS = ("sage", "gcn", "gin")
ACTIVATIONS = ("maxk", "relu")
LOOPS = ("none", "all", "convolutional")
TARGETS = ("square", "sine", "absolute")
LEARNABLE = (
    *("digits-knn", "cora", "citeseer", "musae-facebook", "cornell5", "reddit", "flickr", "yelp", "pyg-facebook"),
    *("ogbn-arxiv", "ogbn-products", "ogbn-proteins"),
)
GENERATED = ("reddit-synthetic", "products-synthetic", "chung-lu")
TWINS = tuple(
    f"twin-{name}"
    for name in (
        *("am", "amazon0601", "artist", "arxiv", "citation", "collab", "com-amazon", "ovcar-8h", "ppa", "pubmed"),
        *("sw-620h", "twitter-real-graph-partial", "wikikg2", "yeast", "yelp", "youtube"),
    )
)


@dataclass
class Data(Dataset):
    nodes: int | None = option(None, "train on a seeded subgraph of this many nodes", low=2)
    scale: float | None = option(None, "share of nodes and edges of a generated graph", low=0.0, high=1.0)


@dataclass
class Model:
    kind: str = option("sage", "graph layer", choices=KINDS)
    activation: str = option("maxk", "nonlinearity between the layers", choices=ACTIVATIONS)
    k: int = option(32, "values that MaxK keeps in each row, at most `model.hidden`", low=1)
    hidden: int = option(256, "hidden width H", low=1, high=32768)
    layers: int = option(3, "graph layers", low=1)
    dropout: float = option(0.5, "dropout after the nonlinearity", low=0.0, high=0.99)
    self_loops: str = option("none", "self loops added: none, all kinds of layer, or gcn and gin alone", choices=LOOPS)

    def check(self) -> None:
        if self.activation == "maxk" and self.k > self.hidden:
            raise UserError(f"model.k={self.k} is more than there are columns (model.hidden={self.hidden})")


@dataclass
class Train:
    epochs: int | None = option(100, "full-batch epochs; null for as many as the paper's on this data set", low=1)
    paper_epochs: int = option(400, "epochs of the paper on this data set, used where `train.epochs` is null", low=1)
    lr: float = option(0.01, "Adam's learning rate", low=0.0)
    eval_every: int = option(1, "epochs from one look at validation and test to the next", low=1)
    baseline: bool = option(True, "train the ReLU network beside MaxK, from the same weights")
    max_edges: int = option(6_000_000, "edges above which a CPU trains on a seeded subgraph, and says so", low=1)

    @property
    def count(self) -> int:
        return self.paper_epochs if self.epochs is None else self.epochs


@dataclass
class Kernel:
    graphs: list[str] = option(["chung-lu"], "graphs to multiply by; `dataset` for the run's own data set")
    nodes: int = option(200_000, "nodes of chung-lu", low=2)
    edges: int = option(12_000_000, "edges of chung-lu before repeated ones are merged", low=1)
    scale: float = option(1.0, "share of nodes and edges of the other generated graphs", low=0.0, high=1.0)
    hidden: int = option(256, "columns H of the dense operand", low=2, high=32768)
    ks: list[int] = option([8, 16, 32, 64, 128], "values kept in each row", low=1)
    rounds: int = option(5, "interleaved rounds", low=3)
    checked: int = option(1000, "rows compared with float64, those of the largest degrees among them", low=1)

    def check(self) -> None:
        if max(self.ks) > self.hidden:
            raise UserError(
                f"kernel.ks holds {max(self.ks)}, more than there are columns (kernel.hidden={self.hidden})"
            )


@dataclass
class Profile:
    graph: str = option("chung-lu", "graph to train on; `dataset` for the run's own data set")
    nodes: int = option(50_000, "nodes of chung-lu", low=2)
    edges: int = option(3_000_000, "edges of chung-lu before repeated ones are merged", low=1)
    ks: list[int] = option([8, 16, 32], "values kept in each row", low=1)
    rounds: int = option(3, "interleaved rounds of one epoch each", low=3)


@dataclass
class Approximation:
    targets: list[str] = option([*TARGETS], "functions on [-1, 1]", choices=TARGETS)
    widths: list[int] = option([4, 8, 16, 32, 64], "hidden units", low=2)
    keep: float = option(0.25, "share of the hidden units that MaxK keeps", low=0.0, high=1.0)
    steps: int = option(1000, "Adam steps", low=1)
    restarts: int = option(2, "initialisations, the best of which counts", low=1)


@dataclass
class Config:
    suite: str = option("all", "what to run", choices=SUITES)
    dataset: Data = group(Data)
    model: Model = group(Model)
    train: Train = group(Train)
    kernel: Kernel = group(Kernel)
    profile: Profile = group(Profile)
    approximation: Approximation = group(Approximation)

    def check(self) -> None:
        known = (*LEARNABLE, *GENERATED, *TWINS, "dataset")
        for key, names in (("kernel.graphs", self.kernel.graphs), ("profile.graph", [self.profile.graph])):
            for name in names:
                if name not in known:
                    raise UserError(f"{key}: no graph is called '{name}'; there are {', '.join(known)}")
        for suite, key, names in (
            ("kernel", "kernel.graphs=[dataset]", self.kernel.graphs),
            ("profile", "profile.graph=dataset", [self.profile.graph]),
        ):
            asked = self.dataset.name
            if self.suite == suite and asked != LEARNABLE[0] and not {"dataset", asked} & set(names):
                raise UserError(f"suite={suite} measures on {', '.join(names)}; for dataset={asked} add {key}")
        if self.suite in ("profile", "all") and max(self.profile.ks) > self.model.hidden:
            raise UserError(f"profile.ks holds {max(self.profile.ks)}, more than model.hidden={self.model.hidden}")


# Nodes, directed edges and features, for the estimate of a run's cost before anything is loaded.
SIZES = {
    "digits-knn": (1_797, 26_000, 64),
    "cora": (2_708, 10_556, 50),
    "citeseer": (3_327, 9_104, 50),
    "musae-facebook": (22_470, 341_825, 50),
    "cornell5": (18_660, 1_581_554, 10),
    "flickr": (89_250, 899_756, 500),
    "pyg-facebook": (22_470, 342_004, 128),
    "ogbn-arxiv": (169_343, 1_166_243, 128),
}


def cost(config: Config) -> Cost:
    """Seconds and bytes on two cores of about 100 GFLOP/s and 20 GB/s together."""
    seconds, memory, why = 5.0, 5e8, []
    if config.suite in ("train", "all"):
        nodes, edges, features = SIZES.get(config.dataset.name, (60_000, config.train.max_edges, 300))
        if config.dataset.nodes:
            edges, nodes = int(edges * min(1.0, config.dataset.nodes / nodes) ** 2), min(nodes, config.dataset.nodes)
        model = config.model
        dense = 6 * nodes * model.hidden * (2 * model.layers * model.hidden + features)
        sparse = 2 * model.layers * edges * model.hidden * 4
        nets = 2 if config.train.baseline and model.activation == "maxk" else 1
        seconds += nets * config.train.count * 1.3 * (dense / 1e11 + sparse / 2e10 + 0.01)
        memory += 40 * nodes * model.hidden * model.layers + 8 * nodes * features
        why.append(f"{nets * config.train.count:,} epochs on {nodes:,} nodes")
    if config.suite in ("kernel", "all"):
        graph_edges = config.kernel.edges if config.kernel.graphs == ["chung-lu"] else 20_000_000
        seconds += graph_edges * config.kernel.hidden * config.kernel.rounds * len(config.kernel.graphs) * 8e-9
        memory = max(memory, 12 * config.kernel.nodes * config.kernel.hidden * 4.0 + 60.0 * graph_edges)
        why.append("products timed round by round")
    if config.suite in ("profile", "all"):
        seconds += config.profile.edges * config.model.hidden * config.profile.rounds * 3e-8
        why.append("whole epochs timed")
    if config.suite in ("approximation", "all"):
        approximation = config.approximation
        runs = 2 * len(approximation.targets) * len(approximation.widths) * approximation.restarts
        seconds += runs * approximation.steps * 6e-4
    return Cost(seconds, memory, "; ".join(why))


_FILL = "effml run maxk suite={suite}"
_K_ORDER = {"k": ["relu", "dense"]}

EXPERIMENT = Experiment(
    name="maxk",
    title="MaxK-GNN: keep k values a row, and multiply graphs by that",
    paper="ASPLOS 2024, arXiv 2312.08656",
    config=Config,
    datasets=(*LEARNABLE, "reddit-synthetic"),
    metrics=(
        Metric("nodes", "1", "nodes of the graph"),
        Metric("edges", "1", "directed edges of the graph"),
        Metric("mean_degree", "1", "edges over nodes"),
        Metric("max_degree", "1", "most edges of a row"),
        Metric("features", "1", "input features of a node"),
        Metric("classes", "1", "classes, or labels a node can have"),
        Metric("accuracy", "1", "test accuracy at the best validation epoch", better="higher"),
        Metric("micro_f1", "1", "test micro-F1 at the best validation epoch (several labels a node)", better="higher"),
        Metric("roc_auc", "1", "test ROC-AUC, mean over tasks, at the best validation epoch", better="higher"),
        Metric("delta", "points", "100 x (MaxK's score - ReLU's), same run, equal epochs", better="higher"),
        Metric("epoch_seconds", "s", "median training epoch, without looking at validation and test", better="lower"),
        Metric("best_epoch", "1", "epoch of the best validation score"),
        Metric("seconds", "s", "median of the rounds", better="lower"),
        Metric("speedup", "x", "time of torch CSR in float32 with int32 indices over this one's, per round", better="higher"),
        Metric("over_dense", "x", "time of effml's own dense product over this one's, per round", better="higher"),
        Metric("over_gnnadvisor", "x", "over GNNAdvisor (published figures alone)", better="higher"),
        Metric("byte_ratio", "x", "bytes an edge moves dense (4H + 8) over those in CBSR (5k + 8): what less traffic alone buys"),
        Metric("edge_rate", "GB/s", "bytes of all edges by that count over the time"),
        Metric("roof_share", "1", "time in which each operand crosses once at the copy rate, over the time; above 1: caches",
               better="higher"),
        Metric("scaled_error", "1", "largest error against float64 over the same sum of magnitudes", better="lower"),
        Metric("spmm_share", "1", "share p of the products with the adjacency in a ReLU epoch"),
        Metric("limit", "x", "Amdahl's limit 1 / (1 - p)"),
        Metric("composed", "x", "epoch speedup that p and the kernels' speedups compose to, all else free", better="higher"),
        Metric("measured", "x", "epoch speedup measured, selection and packing in it", better="higher"),
        Metric("gap", "1", "measured over composed"),
        Metric("selection_share", "1", "share of selecting and unpacking in a MaxK epoch"),
        Metric("error_max", "1", "largest error on a fine grid over [-1, 1]", better="lower"),
        Metric("error_rms", "1", "root mean square error on a fine grid over [-1, 1]", better="lower"),
    ),
    tables=(
        Table("datasets", "Graphs", rows=("dataset",),
              metrics=("nodes", "edges", "mean_degree", "max_degree", "features", "classes"), digits=7,
              fill="effml run maxk suite=train --dataset {dataset}"),
        Table("training", "Test score by values kept, MaxK against ReLU", rows=("dataset", "model", "k"),
              metrics=("accuracy", "micro_f1", "roc_auc", "delta"), digits=4, order=_K_ORDER,
              fill="effml run maxk suite=train --dataset {dataset} model.kind={model}",
              note="k is `model.k`; relu starts from the same weights. k = hidden would be linear up to its norms."),
        Table("kernel", "Products with the graph", rows=("graph", "op", "k", "provider"),
              metrics=("speedup", "over_dense", "over_gnnadvisor", "byte_ratio", "seconds", "edge_rate", "roof_share",
                       "scaled_error"),
              order={**_K_ORDER, "op": ["selection", "unpack", "forward", "backward", "layer"]},
              fill="effml run maxk suite=kernel kernel.graphs=[{graph}]", reference=("provider", "torch-csr"),
              note="layer: nonlinearity, forward, backward and the gradient before the nonlinearity, all charged."),
        Table("profile", "An epoch by Amdahl: composed from the kernels, and measured",
              rows=("graph", "model", "baseline", "k"),
              metrics=("spmm_share", "limit", "composed", "measured", "gap", "selection_share", "epoch_seconds"),
              fill="effml run maxk suite=profile profile.graph={graph} model.kind={model}", order=_K_ORDER),
        Table("approximation", "One hidden layer on [-1, 1]", rows=("target", "width", "model"),
              metrics=("error_max", "error_rms"), fill="effml run maxk suite=approximation",
              note="The theorem says that weights with a small error exist, with MaxK, too; not that training finds them."),
    ),
    timed=lambda config: config.suite in ("kernel", "profile", "all"),
    cost=cost,
    plots=(
        Plot("accuracy", "Score by values kept", "training", "line", "k", "accuracy", series=("dataset", "model")),
        Plot("kernel", "Speedup over torch CSR", "kernel", "line", "k", "speedup", series=("graph", "op"),
             where={"provider": "maxk"}, log="xy", zero=1.0),
        Plot("profile", "Epoch speedup, measured", "profile", "line", "k", "measured",
             series=("graph", "model", "baseline"), zero=1.0),
        Plot("approximation", "Error by width", "approximation", "line", "width", "error_max",
             series=("target", "model"), log="xy"),
    ),
)  # fmt: skip
