"""Trained coefficients of a polynomial of degree 1 or 2 per channel, node or layer. Knows nothing of gates.

The quadratic coefficient is stored divided by `square_scale`: its gradient grows as z^2, and the scale tames it
(0.1 in AutoReP for CIFAR, 0.01 in LinGCN).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Polynomial(nn.Module):
    """Starts as the identity.

    Args:
        shape: group shape, `[C, 1, 1]` per channel, `[V]` per node of `[.., V]`.
        degree: 1 or 2.
        square_scale: factor between the stored and the effective quadratic coefficient.
        limit: stored c1 and c2 are held within +-limit, or None.
        constant: whether c0 is trained (AutoReP) or stays as set (LinGCN's published program).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        degree: int = 2,
        square_scale: float = 0.1,
        limit: float | None = None,
        constant: bool = True,
    ) -> None:
        super().__init__()
        if degree not in (1, 2):
            raise ValueError(f"a replacement polynomial has degree 1 or 2, not {degree}")
        self.degree, self.square_scale, self.limit = degree, square_scale, limit
        self.c0 = nn.Parameter(torch.zeros(shape), requires_grad=constant)
        self.c1 = nn.Parameter(torch.ones(shape))
        self.c2 = nn.Parameter(torch.zeros(shape)) if degree == 2 else None

    def forward(self) -> Float[Tensor, " terms *group"]:
        """Effective coefficients, c0 first."""
        rows = [self.c0, self._limited(self.c1)]
        if self.c2 is not None:
            rows.append(self.square_scale * self._limited(self.c2))
        return torch.stack(rows)

    def _limited(self, coefficient: Tensor) -> Tensor:
        return coefficient if self.limit is None else coefficient.clamp(-self.limit, self.limit)

    @torch.no_grad()
    def set(self, coefficients: Float[Tensor, " terms *group"]) -> None:
        """Take effective coefficients, `degree + 1` of them."""
        if coefficients.shape[0] != self.degree + 1:
            raise ValueError(f"a polynomial of degree {self.degree} takes {self.degree + 1} coefficients")
        self.c0.copy_(coefficients[0])
        self.c1.copy_(coefficients[1])
        if self.c2 is not None:
            self.c2.copy_(coefficients[2] / self.square_scale)
