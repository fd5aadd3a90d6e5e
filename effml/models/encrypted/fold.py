"""A network's polynomials folded into the linear maps before them, so that an activation takes one level.

A quadratic node computes s x^2 + w x + o. With u = f x, f = sqrt|s| and g = w / f it is sign(s) u (u + sign(s) g) + o: one
product of ciphertexts, no coefficient left over. f is multiplied into the weights that make x; where these are shared by
all nodes (the temporal convolution), into what goes into them: the graph convolution, whose weights are per edge. A
linear node's slope goes the same way. Values shrink by f (7e-3 for a fresh LinGCN node); u (u + g) undoes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from effml.errors import UserError
from effml.models.stgcn.plain import Activation, Block, PlainSTGCN, Residual

NEGLIGIBLE = 1e-6  # a square coefficient below this changes features near 1 by less than the encryption's noise


@dataclass(eq=False)
class Quadratic:
    """sign * u (u + gap) + offset (gap is sign * g above) at the nodes that are `active`; u itself at the others.

    All arrays are `[V]`.
    """

    active: ndarray
    sign: ndarray
    gap: ndarray
    offset: ndarray


@dataclass(eq=False)
class FoldedBlock:
    """A block as it is computed on ciphertexts.

    Args:
        graph: `[V, V, Cout, Cin]` by target and source node.
        graph_bias: `[Cout, V]`.
        first: what follows the graph convolution.
        temporal: `[Cout, Cout, taps]`, shared by all nodes.
        temporal_bias: `[Cout, V]`, the residual's bias in it.
        residual: `[V, Cout, Cin]` by node, or None.
        second: what follows the temporal convolution.
    """

    graph: ndarray
    graph_bias: ndarray
    first: Quadratic
    temporal: ndarray
    temporal_bias: ndarray
    residual: ndarray | None
    second: Quadratic
    stride: int

    graph_levels = 1
    activation_levels = 1

    @property
    def kinds(self) -> list[tuple[bool, bool]]:
        """For each node, which of its two activations is quadratic."""
        return [(bool(one), bool(two)) for one, two in zip(self.first.active, self.second.active, strict=True)]

    @property
    def depth(self) -> int:
        """Levels from the block's input to its output: 2 and the most quadratics on any one node's way."""
        quadratics = max(one + two for one, two in self.kinds)
        return self.graph_levels + self.activation_levels * quadratics + 1


@dataclass(eq=False)
class FoldedNetwork:
    """`head` `[classes, C]` is applied to the mean over frames and nodes; `fused` tells how blocks are computed."""

    blocks: list[FoldedBlock]
    head: ndarray
    head_bias: ndarray
    width: int
    nodes: int
    frames: int
    fused: bool = True

    @property
    def levels(self) -> int:
        """L that the network takes: 2 blocks + 1 + n where it is fused."""
        return sum(block.depth for block in self.blocks) + 1

    @property
    def widest(self) -> int:
        return max([self.width, *(block.temporal.shape[0] for block in self.blocks)])


def fold(model: PlainSTGCN) -> FoldedNetwork:
    """Fold batch norms on the input, slopes and coefficients into neighbouring weights.

    Raises:
        UserError: a linear node with slope 0, which would be a constant.
    """
    scale, shift = model.input_scale, model.input_shift
    blocks = []
    for block in model.blocks:
        blocks.append(_fold_block(block, scale, shift))
        scale, shift = np.ones((block.temporal.shape[0], model.nodes)), np.zeros((block.temporal.shape[0], model.nodes))
    channels = model.input_scale.shape[0]
    return FoldedNetwork(blocks, model.head, model.head_bias, channels, model.nodes, model.frames)


def _fold_block(block: Block, scale: ndarray, shift: ndarray) -> FoldedBlock:
    ones = np.ones(scale.shape[1])
    second, after = _fold_activation(block.act2, ones)
    first, before = _fold_activation(block.act1, after)
    # [k, v, w] and [k, o, c] to [w, v, o, c]
    edges = np.einsum("kvw,koc->wvoc", block.adjacency, block.spatial, optimize=True)
    bias = block.bias + np.einsum("wvoc,cv->ow", edges, shift, optimize=True)
    graph = edges * before[:, None, None, None] * scale.T[None, :, None, :]
    graph_bias = bias * before
    # A linear node's constant is added with the bias; frames beyond the ends are masked by the next convolution.
    graph_bias = graph_bias + np.where(first.active, 0.0, first.offset)
    first.offset = np.where(first.active, first.offset, 0.0)
    temporal_bias = block.temporal_bias[:, None] * after
    residual = None
    if block.residual is not None:
        if isinstance(block.residual, Residual):
            weight, constant = block.residual.weight, block.residual.bias
        else:
            weight, constant = np.eye(scale.shape[0]), np.zeros(scale.shape[0])
        temporal_bias = temporal_bias + (constant[:, None] + weight @ shift) * after
        residual = after[:, None, None] * weight[None] * scale.T[:, None, :]
    temporal_bias = temporal_bias + np.where(second.active, 0.0, second.offset)
    second.offset = np.where(second.active, second.offset, 0.0)
    return FoldedBlock(graph, graph_bias, first, block.temporal, temporal_bias, residual, second, block.stride)


def _fold_activation(act: Activation, wanted: ndarray) -> tuple[Quadratic, ndarray]:
    """The activation that gives `wanted` times its value, and the factor that its input must bear."""
    square, slope, offset = wanted * act.square, wanted * act.slope, wanted * act.offset
    active = np.abs(act.square) >= NEGLIGIBLE
    if np.any(~active & (act.slope == 0)):
        node = int(np.flatnonzero(~active & (act.slope == 0))[0])
        raise UserError(
            f"node {node} has an activation of slope 0 and no square: a constant, which cannot be encrypted"
        )
    factor = np.where(active, np.sqrt(np.abs(square)), slope)
    sign = np.where(active, np.where(square < 0, -1.0, 1.0), 1.0)
    gap = np.where(active, sign * slope / np.where(active, factor, 1.0), 0.0)
    return Quadratic(active, sign, gap, offset), factor
