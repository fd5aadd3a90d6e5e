"""One hidden layer with MaxK or ReLU: what the universal-approximation theorem of MaxK-GNN (section 3.2) is about."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from effml.kernels import maxk


class Shallow(nn.Module):
    """`f(x) = v . s(W x + b) + c` from R^d to R, s MaxK with k of `width` values kept, or ReLU.

    Args:
        inputs: d.
        width: hidden units.
        k: values kept; None for ReLU. With k = width the function is affine.
    """

    def __init__(self, inputs: int, width: int, k: int | None) -> None:
        super().__init__()
        self.hidden, self.out, self.k = nn.Linear(inputs, width), nn.Linear(width, 1), k
        # Kinks spread over [-1, 1] from the start: a hidden unit turns where its pre-activation crosses another's.
        nn.init.uniform_(self.hidden.bias, -1.0, 1.0)

    def forward(self, x: Float[Tensor, "N d"]) -> Float[Tensor, " N"]:
        h = self.hidden(x)
        h = torch.relu(h) if self.k is None else maxk(h, self.k).to_dense()
        return self.out(h).squeeze(1)
