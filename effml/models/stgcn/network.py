"""ST-GCN: graph convolution over joints, then convolution over time, in residual blocks. Knows no data set and no stage.

Yan, Xiong and Lin, AAAI 2018, arXiv 1801.07455, in the sizes that LinGCN (arXiv 2309.14331) encrypts. Axes: N sequences,
C channels, T frames, V joints, M persons, K partitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from effml.models.stgcn.activation import PairedActivation

TAPS = 9


class Block(nn.Module):
    """Graph convolution, batch norm, activation, temporal convolution, batch norm, dropout, residual, activation.

    Args:
        adjacency: `[K, V, V]`; every entry is multiplied by a learned importance, 1 at first.
        residual: False for the first block of a network.
        activation: options of `PairedActivation`.
    """

    adjacency: Tensor

    def __init__(
        self,
        adjacency: Float[Tensor, "parts nodes nodes"],
        inputs: int,
        outputs: int,
        stride: int = 1,
        residual: bool = True,
        dropout: float = 0.0,
        **activation: Any,
    ) -> None:
        super().__init__()
        parts, nodes, _ = adjacency.shape
        self.stride = stride
        self.register_buffer("adjacency", adjacency.clone())
        self.importance = nn.Parameter(torch.ones_like(adjacency))
        self.spatial = nn.Conv2d(inputs, parts * outputs, 1)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.act = PairedActivation(nodes, **activation)
        self.temporal = nn.Conv2d(outputs, outputs, (TAPS, 1), (stride, 1), (TAPS // 2, 0))
        self.norm2 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout)
        self.kept = residual
        self.beside: nn.Module | None = None
        if residual and (inputs != outputs or stride != 1):
            self.beside = nn.Sequential(nn.Conv2d(inputs, outputs, 1, (stride, 1)), nn.BatchNorm2d(outputs))

    def forward(self, x: Float[Tensor, "n in t nodes"]) -> Float[Tensor, "n out kept nodes"]:
        mixed = self.spatial(x).unflatten(1, (self.adjacency.shape[0], -1))
        mixed = torch.einsum("nkctv,kvw->nctw", mixed, self.adjacency * self.importance)
        y = self.dropout(self.norm2(self.temporal(self.act(0, self.norm1(mixed)))))
        if self.kept:
            y = y + (x if self.beside is None else self.beside(x))
        return self.act(1, y)


class STGCN(nn.Module):
    """The network; all ReLU at first.

    Args:
        adjacency: `[K, V, V]`, as from `graph.spatial_adjacency`.
        channels, strides: of each block.
        coordinates: C of the input.
        dropout: of every block but the first.
        activation: options of `PairedActivation`.
    """

    def __init__(
        self,
        adjacency: Float[Tensor, "parts nodes nodes"],
        classes: int,
        channels: Sequence[int] = (16, 16, 16),
        strides: Sequence[int] = (1, 1, 1),
        coordinates: int = 3,
        dropout: float = 0.0,
        **activation: Any,
    ) -> None:
        super().__init__()
        self.coordinates = coordinates
        self.norm = nn.BatchNorm1d(coordinates * adjacency.shape[1])
        widths = [coordinates, *channels]
        self.blocks = nn.ModuleList(
            Block(adjacency, widths[i], widths[i + 1], strides[i], i > 0, dropout if i else 0.0, **activation)
            for i in range(len(channels))
        )
        self.head = nn.Linear(widths[-1], classes)

    @property
    def nodes(self) -> int:
        """V."""
        return self.norm.num_features // self.coordinates

    @property
    def pairs(self) -> list[PairedActivation]:
        """The activations of each block."""
        return [block.act for block in self.blocks]  # type: ignore[misc]

    def outputs(self, x: Float[Tensor, "n c t nodes *persons"]) -> tuple[Tensor, list[Tensor]]:
        """Logits `[N, classes]`, and what leaves each block, `[N * M, C, T, V]`.

        With persons, their features are averaged before the head.
        """
        batch = x.shape[0]
        if x.dim() == 5:
            x = x.permute(0, 4, 1, 2, 3).flatten(0, 1)
        flat = x.permute(0, 1, 3, 2).flatten(1, 2)  # [N * M, C * V, T]
        x = self.norm(flat).unflatten(1, (x.shape[1], x.shape[3])).transpose(2, 3)
        left = []
        for block in self.blocks:
            x = block(x)
            left.append(x)
        pooled = x.mean((2, 3)).unflatten(0, (batch, -1)).mean(1)
        return self.head(pooled), left

    def forward(self, x: Float[Tensor, "n c t nodes *persons"]) -> Float[Tensor, "n classes"]:
        return self.outputs(x)[0]
