"""The product of a matrix of ones in float64, and how far a provider's result is from it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from effml.experiments.accel_gcn.providers import torch_csr
from effml.kernels import Csr

_COLUMNS, _ROWS = 32, 1 << 18


@dataclass(frozen=True)
class Exact:
    """`product` float64 `[rows, d]`, and `scale`, the same sums over absolute values, float32."""

    product: Tensor
    scale: Tensor

    def error(self, y: Tensor) -> float:
        """Largest |y - product| over its scale; inf where it is NaN, of another shape, or not 0 for a sum of nothing."""
        if y.shape != self.product.shape:
            return float("inf")
        worst = 0.0
        for start in range(0, y.shape[0], _ROWS):
            part = slice(start, start + _ROWS)
            difference = (y[part].double() - self.product[part]).abs()
            error = torch.where(difference == 0, 0.0, difference / self.scale[part])
            worst = max(worst, float(error.max())) if not torch.isnan(error).any() else float("inf")
        return worst


def exact(adj: Csr, x: Tensor) -> Exact:
    """By torch in float64, a few columns at a time."""
    matrix = torch_csr(adj, torch.float64)
    product = torch.empty(adj.rows, x.shape[1], dtype=torch.float64, device=x.device)
    scale = torch.empty(adj.rows, x.shape[1], device=x.device)
    for start in range(0, x.shape[1], _COLUMNS):
        part = x[:, start : start + _COLUMNS].double()
        product[:, start : start + _COLUMNS] = matrix @ part
        scale[:, start : start + _COLUMNS] = matrix @ part.abs()
    return Exact(product, scale)
