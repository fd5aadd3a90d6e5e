"""The nonlinearities that a graph layer can have: MaxK, which leaves a CBSR matrix, and ReLU, which leaves a dense one.

Knows the two forms and how to drop out, propagate and densify either; knows no layer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from effml.kernels import Cbsr, Csr, maxk, spgemm, spmm

Features = Tensor | Cbsr
Product = Callable[[Csr, Tensor], Tensor]
"""A dense sparse-matrix product `(A, x) -> A x` with gradients, such as `effml.kernels.spmm`."""


class MaxK(nn.Module):
    """Keep the k largest signed values of each row (MaxK-GNN, eq. 2); `k` at least the width keeps everything.

    Args:
        k: values to keep in each row.
        compressed: leave a CBSR matrix, which the graph is multiplied by in that form. False masks a dense matrix, as the
            paper's published training code does: the same numbers, without what makes them cheap.
    """

    def __init__(self, k: int, *, compressed: bool = True) -> None:
        super().__init__()
        self.k, self.compressed = k, compressed

    def forward(self, x: Float[Tensor, "N H"]) -> Features:
        kept = maxk(x, min(self.k, x.shape[1]))
        return kept if self.compressed else kept.to_dense()

    def extra_repr(self) -> str:
        return f"k={self.k}" + ("" if self.compressed else ", dense")


class Rectify(nn.Module):
    """ReLU: the baseline."""

    def forward(self, x: Float[Tensor, "N H"]) -> Tensor:
        return torch.relu(x)


def drop(x: Features, p: float, training: bool) -> Features:
    """Dropout of either form; a dropped entry of CBSR stays stored, as a zero."""
    if isinstance(x, Cbsr):
        return x.with_values(functional.dropout(x.values, p, training)) if p and training else x
    return functional.dropout(x, p, training)


def propagate(adj: Csr, x: Features, product: Product = spmm) -> Float[Tensor, "N H"]:
    """`A @ x`: by `spgemm` where x is CBSR, else by `product`."""
    return spgemm(adj, x) if isinstance(x, Cbsr) else product(adj, x)


def densify(x: Features) -> Float[Tensor, "N H"]:
    """x as a dense matrix."""
    return x.to_dense() if isinstance(x, Cbsr) else x
