"""The first layer of a graph network, which may meet thousands of mostly zero input features.

A dense 4,714-wide input layer costs more than the rest of the network; as a sparse product it costs its nonzeros.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from effml.kernels import Csr, spmm


def sparse_features(x: Tensor) -> Csr:
    """A torch CSR tensor `[N, F]` of features as the matrix that `InputLinear` takes."""
    return Csr(x.crow_indices().long(), x.col_indices().int(), x.values(), x.shape[1])


class InputLinear(nn.Module):
    """`y = x W^T + b` for dense `[N, F]` features or a sparse `Csr` of them; Xavier-uniform weights, zero bias."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor | Csr) -> Float[Tensor, "N out"]:
        if isinstance(x, Csr):
            return spmm(x, self.weight.T.contiguous()) + self.bias
        return torch.nn.functional.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}"
