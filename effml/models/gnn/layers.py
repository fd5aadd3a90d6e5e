"""The three blocks of MaxK-GNN: GraphSAGE, GCN and GIN, each with its nonlinearity, dropout and layer norm.

The adjacency comes with its weights already on it (`adjacency.py`). MaxK and ReLU blocks differ in their `activation` and
in nothing else. `product` multiplies the adjacency by dense features (ReLU's, or MaxK's as a dense mask).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from effml.kernels import Csr, spmm
from effml.models.gnn.activation import Product, densify, drop, propagate


class SageBlock(nn.Module):
    """`h = LN(W_self d(s(x)) + W_neigh A d(s(x)) + b)`: s the nonlinearity, d dropout, A the mean over neighbours.

    Aggregation comes before W_neigh, so that what the graph multiplies is the nonlinearity's own output.
    (GraphSAGE, Hamilton et al., 2017, mean aggregator; DGL's SAGEConv of equal widths.)
    """

    def __init__(
        self, width: int, activation: nn.Module, dropout: float = 0.0, *, norm: bool = True, product: Product = spmm
    ) -> None:
        super().__init__()
        self.activation, self.dropout, self.product = activation, dropout, product
        self.own, self.neighbours = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        for linear in (self.own, self.neighbours):
            nn.init.xavier_uniform_(linear.weight, nn.init.calculate_gain("relu"))

    def forward(self, x: Float[Tensor, "N H"], adj: Csr) -> Float[Tensor, "N H"]:
        kept = drop(self.activation(x), self.dropout, self.training)
        return self.norm(self.own(densify(kept)) + self.neighbours(propagate(adj, kept, self.product)) + self.bias)


class GcnBlock(nn.Module):
    """`h = LN(A d(s(W x)) + b)`, A symmetric-normalised (Kipf and Welling, 2017; DGL's GraphConv without weight)."""

    def __init__(
        self, width: int, activation: nn.Module, dropout: float = 0.0, *, norm: bool = True, product: Product = spmm
    ) -> None:
        super().__init__()
        self.activation, self.dropout, self.product = activation, dropout, product
        self.linear = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Float[Tensor, "N H"], adj: Csr) -> Float[Tensor, "N H"]:
        kept = drop(self.activation(self.linear(x)), self.dropout, self.training)
        return self.norm(propagate(adj, kept, self.product) + self.bias)


class GinBlock(nn.Module):
    """`h = LN((1 + eps) z + A z)`, `z = d(s(W x))`, A a plain sum, eps learned (Xu et al., 2019)."""

    def __init__(
        self, width: int, activation: nn.Module, dropout: float = 0.0, *, norm: bool = True, product: Product = spmm
    ) -> None:
        super().__init__()
        self.activation, self.dropout, self.product = activation, dropout, product
        self.linear = nn.Linear(width, width)
        self.eps = nn.Parameter(torch.zeros(()))
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Float[Tensor, "N H"], adj: Csr) -> Float[Tensor, "N H"]:
        kept = drop(self.activation(self.linear(x)), self.dropout, self.training)
        return self.norm((1 + self.eps) * densify(kept) + propagate(adj, kept, self.product))
