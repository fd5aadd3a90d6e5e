"""A trained ST-GCN as plain arrays, batch norms folded, activations polynomials: what is encrypted, and its oracle.

Numpy float64 alone; knows nothing of torch, training or encryption. `export` makes one from a trained network.

Axes: N sequences, C channels, T frames, V joints (nodes), M persons, K partitions of the adjacency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray


@dataclass(eq=False)
class Activation:
    """Node-wise polynomial `x * (square[j] * x + slope[j]) + offset[j]`, the same for all channels and frames.

    A linearized node has square 0, slope 1 and offset 0.
    """

    square: Float[ndarray, " nodes"]
    slope: Float[ndarray, " nodes"]
    offset: Float[ndarray, " nodes"]

    @property
    def nonlinear(self) -> Bool[ndarray, " nodes"]:
        """Nodes that need a ciphertext product."""
        return self.square != 0

    def __call__(self, x: Float[ndarray, "*batch nodes"]) -> Float[ndarray, "*batch nodes"]:
        return x * (self.square * x + self.slope) + self.offset


@dataclass(eq=False)
class Residual:
    """1x1 convolution beside a block that changes width or frame rate; its stride is the block's."""

    weight: Float[ndarray, "out in"]
    bias: Float[ndarray, " out"]


@dataclass(eq=False)
class Block:
    """Graph convolution, activation, temporal convolution, residual, activation.

        u[o, t, w] = sum_{k, v, c} spatial[k, o, c] * adjacency[k, v, w] * x[c, t, v] + bias[o, w]
        y = temporal convolution of act1(u) over t, zero-padded to both sides, every `stride`-th frame kept, + temporal_bias
        out = act2(y + residual(x))

    Args:
        spatial: `[K, Cout, Cin]`, batch norm folded in.
        adjacency: `[K, V, V]`, learned edge importance multiplied in; zero where there is no edge.
        bias: `[Cout, V]`; it differs between nodes because the convolution's bias is summed along their edges.
        temporal: `[Cout, Cout, taps]`, batch norm folded in; an odd number of taps.
        temporal_bias: `[Cout]`.
        residual: None (the first block), "identity", or `Residual`.
    """

    spatial: Float[ndarray, "parts out in"]
    adjacency: Float[ndarray, "parts nodes nodes"]
    bias: Float[ndarray, "out nodes"]
    act1: Activation
    temporal: Float[ndarray, "out out taps"]
    stride: int
    temporal_bias: Float[ndarray, " out"]
    residual: Literal["identity"] | Residual | None
    act2: Activation

    @property
    def edges(self) -> int:
        """Pairs of nodes between which something flows, partitions apart."""
        return int((self.adjacency != 0).sum())

    @property
    def nonlinear(self) -> int:
        """Multiplicative levels that its activations take: the most that any one node passes, 0, 1 or 2."""
        return int((self.act1.nonlinear.astype(int) + self.act2.nonlinear).max())

    def graph_convolution(self, x: Float[ndarray, "n in t nodes"]) -> Float[ndarray, "n out t nodes"]:
        mixed = np.zeros((len(x), self.spatial.shape[1], x.shape[2], x.shape[3]))
        for weight, along in zip(self.spatial, self.adjacency, strict=True):
            mixed += np.einsum("oc,nctw->notw", weight, x @ along, optimize=True)
        return mixed + self.bias[:, None, :]

    def temporal_convolution(self, x: Float[ndarray, "n out t nodes"]) -> Float[ndarray, "n out kept nodes"]:
        taps = self.temporal.shape[2]
        margin, frames = taps // 2, x.shape[2]
        padded = np.pad(x, ((0, 0), (0, 0), (margin, margin), (0, 0)))
        kept = [padded[:, :, tap : tap + frames : self.stride] for tap in range(taps)]
        shifted = sum(
            np.einsum("oc,nctv->notv", self.temporal[:, :, tap], kept[tap], optimize=True) for tap in range(taps)
        )
        return shifted + self.temporal_bias[:, None, None]

    def beside(self, x: Float[ndarray, "n in t nodes"]) -> Float[ndarray, "n out kept nodes"] | float:
        """What the residual adds; 0 without one."""
        if self.residual is None:
            return 0.0
        if self.residual == "identity":
            return x
        weight, bias = self.residual.weight, self.residual.bias
        return np.einsum("oc,nctv->notv", weight, x[:, :, :: self.stride], optimize=True) + bias[:, None, None]

    def forward(self, x: Float[ndarray, "n in t nodes"]) -> Float[ndarray, "n out kept nodes"]:
        return self.act2(self.temporal_convolution(self.act1(self.graph_convolution(x))) + self.beside(x))


@dataclass(eq=False)
class PlainSTGCN:
    """The network.

    Args:
        input_scale, input_shift: `[C, V]`, the batch norm on coordinates: `x * scale + shift`.
        head: `[classes, C]`, applied to the mean over persons, frames and nodes.
        frames: T of the sequences it was trained on.
    """

    input_scale: Float[ndarray, "in nodes"]
    input_shift: Float[ndarray, "in nodes"]
    blocks: list[Block]
    head: Float[ndarray, "classes out"]
    head_bias: Float[ndarray, " classes"]
    frames: int

    def __post_init__(self) -> None:
        """Raises ValueError naming the first array whose shape does not fit."""
        channels, nodes = self.input_scale.shape
        _expect("input_shift", self.input_shift, (channels, nodes))
        for number, block in enumerate(self.blocks):
            parts, out, _ = block.spatial.shape
            _expect(f"blocks[{number}].spatial", block.spatial, (parts, out, channels))
            _expect(f"blocks[{number}].adjacency", block.adjacency, (parts, nodes, nodes))
            _expect(f"blocks[{number}].bias", block.bias, (out, nodes))
            taps = block.temporal.shape[-1]
            _expect(f"blocks[{number}].temporal", block.temporal, (out, out, taps))
            _expect(f"blocks[{number}].temporal_bias", block.temporal_bias, (out,))
            for name, act in (("act1", block.act1), ("act2", block.act2)):
                for part in ("square", "slope", "offset"):
                    _expect(f"blocks[{number}].{name}.{part}", getattr(act, part), (nodes,))
            if taps % 2 == 0:
                raise ValueError(f"blocks[{number}].temporal has {taps} taps; expected an odd number")
            if block.residual == "identity" and (out != channels or block.stride != 1):
                raise ValueError(f"blocks[{number}] changes shape, so that its residual cannot be the identity")
            if isinstance(block.residual, Residual):
                _expect(f"blocks[{number}].residual.weight", block.residual.weight, (out, channels))
                _expect(f"blocks[{number}].residual.bias", block.residual.bias, (out,))
            channels = out
        classes = len(self.head)
        _expect("head", self.head, (classes, channels))
        _expect("head_bias", self.head_bias, (classes,))

    @property
    def nodes(self) -> int:
        return self.input_scale.shape[1]

    def effective_layers(self) -> int:
        """n: nonlinear layers that cost a level each. `2 * blocks` without linearization."""
        return sum(block.nonlinear for block in self.blocks)

    def synchronised(self) -> bool:
        """Whether all nodes of a block pass the same number of nonlinearities, which is what lets a level be dropped."""
        return all(
            len(np.unique(block.act1.nonlinear.astype(int) + block.act2.nonlinear)) == 1 for block in self.blocks
        )

    def normalise(self, x: Float[ndarray, "n in t nodes"]) -> Float[ndarray, "n in t nodes"]:
        """What enters the first block."""
        return x * self.input_scale[:, None, :] + self.input_shift[:, None, :]

    def features(self, x: Float[ndarray, "n in t nodes"]) -> Float[ndarray, "n out kept nodes"]:
        """What leaves the last block."""
        x = self.normalise(np.asarray(x, dtype=np.float64))
        for block in self.blocks:
            x = block.forward(x)
        return x

    def forward(self, x: Float[ndarray, "n in t nodes *persons"]) -> Float[ndarray, "n classes"]:
        """Logits of sequences `[N, C, T, V]`, or `[N, C, T, V, M]` with the mean over persons before the head."""
        persons = 1
        if x.ndim == 5:
            persons = x.shape[4]
            x = np.moveaxis(x, 4, 1).reshape(-1, *x.shape[1:4])
        pooled = self.features(x).mean((2, 3))
        return pooled.reshape(-1, persons, pooled.shape[1]).mean(1) @ self.head.T + self.head_bias


def _expect(name: str, array: ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
