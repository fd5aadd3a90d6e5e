"""A block as CryptoGCN computes it: one node a ciphertext, every factor multiplied by itself.

Ran et al. (NeurIPS 2022) pack by node as LinGCN does. Here a 1x1 convolution is a level (its plaintexts
shared by all nodes), the adjacency another, and a polynomial two: the square, then its coefficients. Batch norms are
folded, as they are there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from effml.models.encrypted.backend import Cipher, CkksBackend, Plain
from effml.models.encrypted.convolve import NodeCiphers, bias_of, diagonal, giant_sum
from effml.models.encrypted.fold import FoldedBlock, FoldedNetwork, Quadratic
from effml.models.encrypted.fused import FusedBlock
from effml.models.encrypted.layout import Pair
from effml.models.encrypted.program import Program, Stage
from effml.models.stgcn.plain import Activation, PlainSTGCN, Residual


@dataclass(eq=False)
class SeparateBlock(FoldedBlock):
    """A block whose factors stay apart.

    Args:
        spatial: `[K, V, Cout, Cin]`; the same for all nodes but where the input's batch norm is in it.
        adjacency: `[K, V, V]`, source before target.
    """

    spatial: ndarray
    adjacency: ndarray
    acts: tuple[Activation, Activation]

    graph_levels = 2
    activation_levels = 2


def leave(model: PlainSTGCN) -> FoldedNetwork:
    """The network with nothing folded but batch norms."""
    scale, shift = model.input_scale, model.input_shift
    blocks: list[FoldedBlock] = []
    for block in model.blocks:
        edges = np.einsum("kvw,koc->wvoc", block.adjacency, block.spatial, optimize=True)
        residual, beside = None, np.zeros((block.temporal.shape[0], model.nodes))
        if block.residual is not None:
            conv = isinstance(block.residual, Residual)
            weight = block.residual.weight if conv else np.eye(scale.shape[0])  # type: ignore[union-attr]
            constant = block.residual.bias[:, None] if conv else 0.0  # type: ignore[union-attr]
            residual, beside = weight[None] * scale.T[:, None, :], constant + weight @ shift
        blocks.append(
            SeparateBlock(
                edges * scale.T[None, :, None, :],
                block.bias + np.einsum("wvoc,cv->ow", edges, shift, optimize=True),
                _mark(block.act1),
                block.temporal,
                block.temporal_bias[:, None] + beside,
                residual,
                _mark(block.act2),
                block.stride,
                block.spatial[:, None] * scale.T[None, :, None, :],
                block.adjacency,
                (block.act1, block.act2),
            )
        )
        out = block.temporal.shape[0]
        scale, shift = np.ones((out, model.nodes)), np.zeros((out, model.nodes))
    width = model.input_scale.shape[0]
    return FoldedNetwork(blocks, model.head, model.head_bias, width, model.nodes, model.frames, fused=False)


def _mark(act: Activation) -> Quadratic:
    """Which nodes are polynomials; a linear node with a slope or an offset counts as one."""
    active = act.nonlinear | (act.slope != 1) | (act.offset != 0)
    return Quadratic(active, np.ones(len(active)), np.zeros(len(active)), np.zeros(len(active)))


class UnfusedBlock(FusedBlock):
    """One `SeparateBlock` on one back end."""

    block: SeparateBlock

    def __init__(self, program: Program, stage: Stage, backend: CkksBackend, inputs: list[NodeCiphers]) -> None:
        super().__init__(program, stage, backend, inputs)
        assert isinstance(stage.block, SeparateBlock)
        self.block = stage.block
        self.mapped: dict[tuple[int, int, int], Cipher] = {}
        self.spatial: dict[tuple[object, ...], Plain | None] = {}

    def _graph(self, pair: Pair) -> NodeCiphers:
        backend, level = self.backend, self.stage.level - 1
        node, out = pair[0], []
        for group in range(self.layout.groups(self.stage.out)):
            total: Cipher | None = None
            for part, source in np.argwhere(self.block.adjacency[:, :, node]):
                edge = float(self.block.adjacency[part, source, node])
                factor = backend.constant(edge, level, backend.primes[level])
                product = backend.mul_plain(self._mapped(int(part), int(source), group), factor)
                total = backend.accumulate(total, product)
            if total is None:
                raise ValueError(f"node {node} has no edge, not even to itself")
            x = backend.rescale(total, self.scale)
            out.append(self._add_bias(x, bias_of(self.layout, self.block.graph_bias, pair, group)))
        return out

    def _mapped(self, part: int, node: int, group: int) -> Cipher:
        """A node's channels through one partition's 1x1 convolution."""
        key = (part, node, group)
        if key not in self.mapped:
            stage, layout, backend, split = self.stage, self.layout, self.backend, self.stage.graph_split
            weight = self.block.spatial[part, node]
            sums: dict[tuple[int, int], Cipher] = {}
            for source_group, shift in self._shifts(weight):
                plain = self._spatial_plain(weight, (part, group, source_group, shift))
                if plain is None:
                    continue
                giant, small = divmod(shift, split.channel_babies)
                product = backend.mul_plain(self._baby(node, source_group, stage.level)(small), plain)
                sums[giant, 0] = backend.accumulate(sums.get((giant, 0)), product)
            self.mapped[key] = backend.rescale(giant_sum(backend, layout, split, sums), self.scale)
        return self.mapped[key]

    def _spatial_plain(self, weight: ndarray, places: tuple[int, int, int, int]) -> Plain | None:
        """Encoded once for all nodes with the same weights."""
        key = (*places, weight.tobytes())
        if key not in self.spatial:
            _, group, source_group, shift = places
            values = diagonal(self.layout, weight, shift, (group, source_group))
            plain = None
            if np.any(values):
                split, level = self.stage.graph_split, self.stage.level
                roll = shift // split.channel_babies * split.channel_babies * self.layout.channel_step
                plain = self.backend.encode(self.layout.pattern(values, None, roll), level, self.backend.primes[level])
            self.spatial[key] = plain
        return self.spatial[key]

    def _arrival(self, act: Quadratic, pair: Pair, level: int) -> float:
        return self.scale

    def _activate(self, act: Quadratic, pair: Pair, x: Cipher) -> Cipher:
        """s x^2 + w x + o: square, rescale, coefficients, rescale."""
        if not act.active[pair[0]]:
            return x
        backend, node = self.backend, pair[0]
        given = self.block.acts[0] if act is self.block.first else self.block.acts[1]
        square = backend.rescale(backend.relinearise(backend.mul(x, x)))
        level = square.level
        target = self.scale * backend.primes[level]
        total: Cipher | None = None
        if given.square[node]:
            factor = backend.constant(float(given.square[node]), level, target / square.scale)
            total = backend.mul_plain(square, factor)
        if given.slope[node]:
            factor = backend.constant(float(given.slope[node]), level, target / x.scale)
            total = backend.accumulate(total, backend.mul_plain(backend.drop(x, level), factor))
        if total is None:
            raise ValueError(f"node {node} has an activation that is constant")
        out = backend.rescale(total, self.scale)
        if given.offset[node]:
            out = backend.add_plain(out, backend.constant(float(given.offset[node]), out.level, out.scale))
        return out
