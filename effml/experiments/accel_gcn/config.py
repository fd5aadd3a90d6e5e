"""Options, metrics and tables of the Accel-GCN experiment."""

from __future__ import annotations

from dataclasses import dataclass

from effml.errors import UserError
from effml.experiments.core.spec import Cost, Dataset, Experiment, Metric, Plot, Table, group, option
from effml.experiments.data.graphs import TWINS

ALL = "twins"
# The two of the paper's 18 graphs whose degrees are not published, by real data or by its stand-in.
OTHERS = ("reddit-synthetic", "products-synthetic", "reddit", "ogbn-products")
EDGES = {**{name: edges for name, (_, edges) in TWINS.items()}, "reddit-synthetic": 114_615_892}
EDGES |= {"products-synthetic": 123_718_280, "reddit": 114_615_892, "ogbn-products": 123_718_280}
# Below this share its 492 neighbours of a node are more than the nodes that are left.
LEAST = {"reddit-synthetic": 0.01}
PROVIDERS = ("effml", "torch", "torch reduce", "pyg", "scipy", "groups", "rows")
MEAN = "geometric mean"


@dataclass
class GraphData(Dataset):
    """`twins` is every graph listed in `graphs`; any other name is that graph alone."""


@dataclass
class Ablation:
    graphs: list[str] = option(["pubmed", "artist", "youtube", "yelp"], "graphs", choices=(*TWINS, *OTHERS))
    widths: list[int] = option([16, 128], "columns of the dense operand", low=1)


@dataclass
class Gcn:
    graphs: list[str] = option(["pubmed", "artist"], "graphs", choices=(*TWINS, *OTHERS))
    features: int = option(64, "input features, random", low=1)
    hidden: int = option(64, "width of the hidden layers", low=1)
    layers: int = option(3, "graph convolutions", low=1)
    classes: int = option(16, "classes, random", low=2)


@dataclass
class Config:
    suite: str = option("all", "what to measure", choices=("kernel", "ablation", "partition", "gcn", "all"))
    dataset: GraphData = group(GraphData)
    graphs: list[str] = option(list(TWINS), "graphs that `twins` stands for", choices=(*TWINS, *OTHERS))
    widths: list[int] = option([16, 64], "columns D of the dense operand", low=1)
    dtype: str = option("fp32", "dtype of the dense operand", choices=("fp32", "bf16", "fp16"))
    max_edges: int = option(1_500_000, "nonzeros above which a generated graph is scaled down", low=1000)
    providers: list[str] = option(list(PROVIDERS), "what is measured beside effml and torch", choices=PROVIDERS)
    rounds: int = option(5, "interleaved rounds", low=1)
    ablation: Ablation = group(Ablation)
    gcn: Gcn = group(Gcn)

    def check(self) -> None:
        if not self.graphs and self.dataset.name == ALL:
            raise UserError("graphs=[] leaves nothing to measure; name at least one graph, or a data set")

    def named(self, graphs: list[str]) -> list[str]:
        """The graphs of a suite: those listed, or the one data set that was asked for."""
        return list(graphs) if self.dataset.name == ALL else [self.dataset.name.removeprefix("twin-")]

    def scale(self, graph: str) -> float:
        """The share of a generated graph that is kept; 1 for the others."""
        edges = EDGES.get(graph, 0) if graph in TWINS or graph.endswith("-synthetic") else 0
        return min(1.0, max(LEAST.get(graph, 0.001), round(self.max_edges / edges, 3))) if edges else 1.0

    def edges(self, graphs: list[str]) -> float:
        return sum(EDGES.get(graph, 1e6) * self.scale(graph) for graph in self.named(graphs))


def _cost(config: Config) -> Cost:
    """Nanoseconds per nonzero and column, all providers together; as seen on two cores of an EPYC of 2024."""
    rounds = config.rounds + 3
    seconds = 3.0 * len(config.named(config.graphs)) + config.edges(config.graphs) * 1e-6
    if config.suite in ("kernel", "all"):
        each = 1.5 + 3.0 * len(config.providers)
        seconds += config.edges(config.graphs) * sum(config.widths) * rounds * each * 1e-9
    if config.suite in ("ablation", "all"):
        seconds += config.edges(config.ablation.graphs) * sum(config.ablation.widths) * rounds * 5e-9
    largest = max((EDGES.get(g, 1e6) * config.scale(g) for g in config.named(config.graphs)), default=0)
    return Cost(seconds, 1e9 + 60 * largest + 40 * largest * max(config.widths, default=0) / 8, "timed; run it alone")


_PLACE = ("graph", "scale", "d", "dtype")
_LAST = {"graph": [*TWINS, *OTHERS, MEAN]}

EXPERIMENT = Experiment(
    name="accel_gcn",
    title="Accel-GCN: sparse products on real degree distributions",
    paper="ICCAD 2023, arXiv 2308.11825",
    config=Config,
    datasets=(ALL, *(f"twin-{name}" for name in TWINS), *OTHERS, "cora", "citeseer", "musae-facebook", "cornell5"),
    metrics=(
        Metric("speedup", "x", "time of torch CSR with int32 indices over this one's, as called by a user", better="higher"),
        Metric("speedup_best", "x", "time of the fastest library call over effml's", better="higher"),
        Metric("speedup_given", "x", "torch over effml, both writing to a result that is there already", better="higher"),
        Metric("seconds", "s", "median time of one product, layer or epoch", better="lower"),
        Metric("bandwidth", "GB/s", "bytes of all rows gathered, indices and result over the time", better="higher"),
        Metric("copy_bandwidth", "GB/s", "bytes of a large copy over its time, read and write, in the same run"),
        Metric("roofline_share", "1", "time in which each operand crosses once at the copy rate, over the time; above 1: caches",
               better="higher"),
        Metric("in_order", "1", "time of the same product with rows of x taken in memory order, over the time"),
        Metric("error_max", "1", "largest error over the sum of absolute terms, against float64", better="lower"),
        Metric("relative", "x", "time of the variant over the time of the kernel as it is", better="lower"),
        Metric("rows", "1", "rows of the matrix"),
        Metric("nonzeros", "1", "nonzeros of the matrix"),
        Metric("blocks", "1", "blocks of the block-level partition"),
        Metric("groups_64", "1", "groups of at most 64 nonzeros of a row"),
        Metric("groups_32", "1", "groups of at most 32 nonzeros of a row, one to a warp"),
        Metric("metadata_bytes", "B", "records of the block-level partition", better="lower"),
        Metric("metadata_share", "1", "of the bytes of a partition into groups of 32", better="lower"),
        Metric("build_seconds", "s", "building the block-level partition, sorted copy included", better="lower"),
        Metric("build_products", "1", "products of width 64 in the time of building it", better="lower"),
        Metric("schedule_seconds", "s", "dealing the work to CPU threads", better="lower"),
        Metric("limit", "x", "speedup of the epoch were the product free (Amdahl)"),
    ),
    tables=(
        Table("kernel", "Sparse times dense: speedup over torch CSR", rows=_PLACE, columns="provider",
              metrics=("speedup",), fill="effml run accel_gcn suite=kernel graphs=[{graph}] widths=[{d}] dtype={dtype}",
              order=_LAST,
              note="rows: equal rows for each worker, one row at a time. groups: neighbour groups added up atomically, "
              "as GNNAdvisor does. Both are re-implementations. Halves on a CPU, where torch multiplies none: its product in "
              "fp32 with the conversions of a call there and back. The paper's numbers are means over D = 16 to 128 on its GPU; "
              "their dtype is not transcribed, they stand beside fp32."),
        Table("roofline", "The product under its roof", rows=_PLACE, order=_LAST,
              metrics=("seconds", "bandwidth", "roofline_share", "in_order", "speedup_best", "speedup_given", "error_max"),
              fill="effml run accel_gcn suite=kernel graphs=[{graph}] widths=[{d}] dtype={dtype}",
              note="roofline_share above 1: caches, which the copy rate does not know. in_order above 1: faster than with rows "
                   "of x taken in memory order."),
        Table("ablation", "What each idea does here: time without it, over time with it", rows=_PLACE, columns="variant",
              metrics=("relative",), fill="effml run accel_gcn suite=ablation ablation.graphs=[{graph}] dtype={dtype}",
              order=_LAST),
        Table("partition", "Blocks against groups for warps", rows=("graph",), order=_LAST,
              metrics=("rows", "nonzeros", "blocks", "groups_64", "groups_32", "metadata_bytes", "metadata_share"),
              fill="effml run accel_gcn suite=partition graphs=[{graph}]", digits=9,
              note="From exact degree histograms, at full size."),
        Table("preparation", "What the partition costs", rows=("graph", "scale"), order=_LAST,
              metrics=("build_seconds", "build_products", "schedule_seconds"),
              fill="effml run accel_gcn suite=partition graphs=[{graph}]"),
        Table("gcn", "A graph convolution and an epoch", rows=("graph", "scale", "step"), columns="provider",
              metrics=("seconds", "speedup", "limit"), fill="effml run accel_gcn suite=gcn gcn.graphs=[{graph}]",
              note="speedup: median over rounds of torch's time by the provider's, which need not be that of the median times."),
        Table("machine", "The memory of this run", rows=("operand",), metrics=("copy_bandwidth",)),
    ),
    timed=lambda config: True,
    cost=_cost,
    plots=(
        Plot("kernel", "Speedup over torch CSR", "kernel", "bar", "graph", "speedup", series=("provider",), zero=1.0),
    ),
)  # fmt: skip
