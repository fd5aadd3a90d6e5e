"""A folded network laid out for one parameter set: packing, pairs of nodes, levels, shifts. Everything but the keys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from effml.errors import UserError
from effml.models.encrypted.convolve import Split, best_split
from effml.models.encrypted.fold import FoldedBlock, FoldedNetwork
from effml.models.encrypted.layout import Layout, Pair, pair_nodes, single_nodes
from effml.models.encrypted.parameters import Parameters

KEY_COST = 8  # rotations that a further key has to save to be worth its time and memory


@dataclass(eq=False)
class Stage:
    """A block with its place in the chain of levels, and how its nodes are paired before and after.

    Args:
        level: of its inputs.
        dilation: distance of the frames that its inputs still have.
        graph_split, temporal_split: shifts of the two convolutions.
    """

    block: FoldedBlock
    sources: list[Pair]
    targets: list[Pair]
    level: int
    dilation: int
    graph_split: Split
    temporal_split: Split

    @property
    def width(self) -> int:
        """Input channels."""
        return self.block.graph.shape[3]

    @property
    def out(self) -> int:
        """Output channels."""
        return self.block.graph.shape[2]

    @property
    def level_after(self) -> int:
        return self.level - self.block.depth

    def temporal_level(self, pair: Pair) -> int:
        """The lowest level at which a pair can enter the temporal convolution."""
        return self.level_after + 1 + int(self.block.second.active[pair[0]])


@dataclass(eq=False)
class Program:
    """What is computed, in which order, at which level.

    Args:
        inputs: pairs of nodes as the client packs them.
        paired: whether two nodes share a ciphertext.
    """

    network: FoldedNetwork
    layout: Layout
    parameters: Parameters
    stages: list[Stage]
    inputs: list[Pair]
    paired: bool
    head_split: Split

    @property
    def dilation(self) -> int:
        """Distance of the frames that are left at the end."""
        return int(np.prod([stage.block.stride for stage in self.stages]))

    @property
    def head_level(self) -> int:
        return self.stages[-1].level_after

    def unpack(self, slots: list[ndarray], count: int) -> ndarray:
        """Logits `[count, classes]` from the decrypted slots of the head's ciphertexts."""
        layout = self.layout
        held = [part.real.reshape(layout.channels, layout.frames, layout.batch)[:, 0, :count] for part in slots]
        return np.concatenate(held)[: len(self.network.head)].T

    def schedule(self) -> list[tuple[str, int, int]]:
        """(layer, level of its input, level of its output), for a table."""
        rows = []
        for number, stage in enumerate(self.stages):
            first, second = stage.block.first.active.any(), stage.block.second.active.any()
            level = stage.level
            rows.append((f"block {number} graph convolution", level, level - 1))
            if first:
                rows.append(
                    (f"block {number} activation 1 ({stage.block.first.active.sum()} nodes)", level - 1, level - 2)
                )
            entry = [stage.temporal_level(pair) for pair in stage.targets]
            rows.append((f"block {number} temporal convolution", max(entry), min(entry) - 1))
            if second:
                rows.append(
                    (
                        f"block {number} activation 2 ({stage.block.second.active.sum()} nodes)",
                        stage.level_after + 1,
                        stage.level_after,
                    )
                )
        rows.append(("head", self.head_level, self.head_level - 1))
        return rows


def lay_out(network: FoldedNetwork, parameters: Parameters, paired: bool = True) -> Program:
    """Choose packing and shifts for a network.

    Args:
        paired: two nodes a ciphertext, for a back end that can conjugate.

    Raises:
        UserError: the parameters have other levels than the network takes.
    """
    if parameters.levels != network.levels:
        raise UserError(f"the parameters have {parameters.levels} levels; the network takes {network.levels}")
    layout = Layout.choose(parameters.slots, network.widest, network.frames, paired)
    stages: list[Stage] = []
    level, dilation = parameters.levels, 1
    sources = inputs = pair_nodes(_adjacency(network.blocks[0])) if paired else single_nodes(network.nodes)
    for block in network.blocks:
        targets = pair_nodes(_adjacency(block), list(block.kinds)) if paired else single_nodes(network.nodes)
        graph, temporal = _splits(block, layout, sources, targets)
        stages.append(Stage(block, sources, targets, level, dilation, graph, temporal))
        level -= block.depth
        dilation *= block.stride
        sources = targets
    head = best_split(layout.period(network.blocks[-1].temporal.shape[0]), 1, lambda split: split.babies + split.giants)
    return Program(network, layout, parameters, stages, inputs, paired, head)


def _splits(block: FoldedBlock, layout: Layout, sources: list[Pair], targets: list[Pair]) -> tuple[Split, Split]:
    """Baby and giant shifts of both convolutions with the fewest rotations."""
    width, out, taps = block.graph.shape[3], block.graph.shape[2], block.temporal.shape[2]
    # z and its conjugate are rotated where two nodes are mixed.
    into = sum(2 if pair[1] is not None else 1 for pair in sources) * layout.groups(width)
    onto = len(targets) * layout.groups(out)

    def graph_cost(split: Split) -> float:
        return into * (split.babies - 1) + onto * (split.giants - 1) + KEY_COST * split.keys

    def temporal_cost(split: Split) -> float:
        return onto * (split.babies + split.giants - 2) + KEY_COST * split.keys

    shifts = layout.period(out)
    if block.residual is not None:
        shifts = max(shifts, layout.period(width))
    return best_split(layout.period(width), 1, graph_cost), best_split(shifts, taps, temporal_cost)


def _adjacency(block: FoldedBlock) -> ndarray:
    return (block.graph != 0).any((2, 3))[None]
