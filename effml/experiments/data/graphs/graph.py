"""A graph with what is to be learned on it: adjacency, features, classes, splits. Knows no data set and no model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from effml.experiments.data import checksum
from effml.experiments.data.graphs.features import take_rows
from effml.kernels.csr import Csr


@dataclass(eq=False)
class Graph:
    """N nodes, F features, C classes.

    Args:
        name: of the data set.
        adjacency: pattern `[N, N]`; row `i` holds the sources `j` of the edges `j -> i`. Self loops as in the data.
        x: `[N, F]` float32, dense, or a torch CSR tensor where features are wide and sparse; None for structure alone.
        y: `[N]` int64 class of each node (-1: unknown), or `[N, C]` float32 of 0 and 1 for several labels a node.
        train, val, test: `[N]` bool.
        num_classes: C.
        multilabel: whether `y` is `[N, C]`.
        metric: the field's measure for this set: "accuracy", "micro_f1" or "roc_auc".
        note: what a table must say of this graph ("" when it is the published one as it is).
    """

    name: str
    adjacency: Csr
    x: Float[Tensor, "nodes features"] | None = None
    y: Int[Tensor, " nodes"] | Float[Tensor, "nodes classes"] | None = None
    train: Bool[Tensor, " nodes"] | None = None
    val: Bool[Tensor, " nodes"] | None = None
    test: Bool[Tensor, " nodes"] | None = None
    num_classes: int = 0
    multilabel: bool = False
    metric: str = "accuracy"
    note: str = ""

    def __post_init__(self) -> None:
        n = self.adjacency.rows
        for what in ("x", "y", "train", "val", "test"):
            held = getattr(self, what)
            if held is not None and held.shape[0] != n:
                raise ValueError(f"{what} has {held.shape[0]:,} rows for {n:,} nodes")
        if self.y is not None and not self.multilabel and n and int(self.y.max()) >= self.num_classes:
            raise ValueError(f"class {int(self.y.max())} among {self.num_classes} classes")

    @property
    def num_nodes(self) -> int:
        return self.adjacency.rows

    @property
    def num_edges(self) -> int:
        """Directed edges, self loops included."""
        return self.adjacency.nnz

    @property
    def num_features(self) -> int:
        return 0 if self.x is None else self.x.shape[1]

    @property
    def device(self) -> torch.device:
        return self.adjacency.device

    @property
    def edge_index(self) -> Int[Tensor, "2 edges"]:
        """PyG's form: sources over targets, int64, sorted by target and then by source."""
        targets = torch.repeat_interleave(torch.arange(self.num_nodes, device=self.device), self.adjacency.degrees)
        return torch.stack((self.adjacency.indices.long(), targets))

    def sha256(self) -> str:
        """Checksum of structure, features, classes and splits."""
        adjacency = self.adjacency
        return checksum.of(adjacency.indptr, adjacency.indices, self.x, self.y, self.train, self.val, self.test)

    def to(self, device: torch.device | str) -> Graph:
        """A copy on `device`."""
        moved = {name: getattr(self, name) for name in ("x", "y", "train", "val", "test")}
        moved = {name: held if held is None else held.to(device) for name, held in moved.items()}
        return replace(self, adjacency=self.adjacency.to(device), **moved)

    def subgraph(self, count: int, seed: int = 0) -> Graph:
        """The graph induced by `count` nodes drawn without replacement; the draw depends on the seed alone.

        Node ids keep their order. A count of all nodes or more gives the whole graph.
        """
        if count >= self.num_nodes:
            return self
        if count < 1:
            raise ValueError(f"a subgraph needs at least one node, not {count}")
        drawn = torch.randperm(self.num_nodes, generator=torch.Generator().manual_seed(seed))[:count].sort().values
        told = f"subgraph of {count:,} of {self.num_nodes:,} nodes, seed {seed}"
        return self.induced(drawn.to(self.device), told)

    def induced(self, nodes: Int[Tensor, " kept"], told: str) -> Graph:
        """The graph induced by these nodes, ids ascending; `told` goes into the note."""
        keep = torch.zeros(self.num_nodes, dtype=torch.bool, device=self.device)
        keep[nodes] = True
        renumbered = torch.cumsum(keep, 0, dtype=torch.int64) - 1
        source, target = self.edge_index
        both = keep[source] & keep[target]
        edge_index = torch.stack((renumbered[source[both]], renumbered[target[both]]))
        adjacency = Csr.from_edge_index(edge_index, int(keep.sum()))
        part = {name: getattr(self, name) for name in ("y", "train", "val", "test")}
        part = {name: held if held is None else held[keep] for name, held in part.items()}
        x = self.x
        if x is not None:
            x = take_rows(x, nodes) if x.layout == torch.sparse_csr else x[keep]
        note = f"{self.note}; {told}" if self.note else told
        return replace(self, adjacency=adjacency, x=x, note=note, **part)
