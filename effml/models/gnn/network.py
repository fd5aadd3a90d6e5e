"""The whole network of MaxK-GNN: an input layer, L blocks of one kind, an output layer (paper, section 5.1)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from effml.kernels import Csr, spmm
from effml.models.gnn.activation import MaxK, Product, Rectify
from effml.models.gnn.adjacency import mean_normalised, symmetric_normalised
from effml.models.gnn.features import InputLinear
from effml.models.gnn.layers import GcnBlock, GinBlock, SageBlock

KINDS = ("sage", "gcn", "gin")
_BLOCKS = {"sage": SageBlock, "gcn": GcnBlock, "gin": GinBlock}


def prepare_adjacency(adj: Csr, kind: str) -> Csr:
    """The weights that this kind of layer puts on a pattern: mean, symmetric, or none.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"no graph layer is called {kind!r}; there are {', '.join(KINDS)}")
    weigh = {"sage": mean_normalised, "gcn": symmetric_normalised, "gin": lambda adj: adj.with_values(None)}
    return weigh[kind](adj)


class GraphNet(nn.Module):
    """Node classifier: `in_features -> hidden`, `layers` blocks, `hidden -> classes`; logits `[N, classes]`.

    MaxK instead of ReLU is one argument. GCN and GIN have a ReLU after the input layer in either case, SAGE has none.

    Args:
        in_features: F of the node features, dense `[N, F]` or a sparse `Csr` (wide binary features).
        classes: outputs.
        hidden: H.
        layers: L.
        kind: "sage", "gcn" or "gin".
        k: values that MaxK keeps in each row; None for ReLU. `k >= hidden` leaves a network that is linear up to its norm.
        dropout: probability, after the nonlinearity.
        norm: a LayerNorm ends each block.
        compressed: False runs MaxK as a dense mask (the paper's published training code) instead of in CBSR.
        product: multiplies the adjacency by dense features: a baseline of one's own, with gradients.

    Raises:
        ValueError: an unknown kind, or k below 1.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        hidden: int = 256,
        layers: int = 3,
        kind: str = "sage",
        k: int | None = None,
        dropout: float = 0.5,
        norm: bool = True,
        compressed: bool = True,
        product: Product = spmm,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"no graph layer is called {kind!r}; there are {', '.join(KINDS)}")
        if k is not None and k < 1:
            raise ValueError(f"MaxK keeps at least 1 value a row, not {k}")
        self.kind = kind
        self.enter = InputLinear(in_features, hidden)
        self.entered = nn.Identity() if kind == "sage" else nn.ReLU()
        activations = [Rectify() if k is None else MaxK(k, compressed=compressed) for _ in range(layers)]
        self.blocks = nn.ModuleList(
            _BLOCKS[kind](hidden, activation, dropout, norm=norm, product=product) for activation in activations
        )
        self.leave = nn.Linear(hidden, classes)
        nn.init.xavier_uniform_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor | Csr, adj: Csr) -> Float[Tensor, "N classes"]:
        """`adj` is the pattern weighted for this kind: `prepare_adjacency`."""
        h = self.entered(self.enter(x))
        for block in self.blocks:
            h = block(h, adj)
        return self.leave(h)
