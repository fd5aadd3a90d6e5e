"""A folded network laid out for one parameter set: packing, pairs of nodes, levels, shifts. Everything but the keys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from effml.errors import UserError
from effml.models.encrypted.convolve import Split, best_split
from effml.models.encrypted.fold import FoldedBlock, FoldedNetwork
from effml.models.encrypted.layout import Layout, Pair, single_nodes
from effml.models.encrypted.pairing import choose_pairs
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
        return self.level_after + 1 + self.block.activation_levels * int(self.block.second.active[pair[0]])


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
    fused: bool

    @property
    def dilation(self) -> int:
        """Distance of the frames that are left at the end."""
        return int(np.prod([stage.block.stride for stage in self.stages]))

    @property
    def head_level(self) -> int:
        return self.stages[-1].level_after

    def schedule(self) -> list[tuple[str, int, int]]:
        """(layer, level of its input, level of its output), for a table."""
        rows = []
        for number, stage in enumerate(self.stages):
            first, second = int(stage.block.first.active.sum()), int(stage.block.second.active.sum())
            entry = [stage.temporal_level(pair) for pair in stage.targets]
            level, after = stage.level - stage.block.graph_levels, stage.level_after
            rows.append((f"block {number} graph convolution", stage.level, level))
            if first:
                rows.append(
                    (f"block {number} activation 1 ({first} nodes)", level, level - stage.block.activation_levels)
                )
            rows.append((f"block {number} temporal convolution", max(entry), min(entry) - 1))
            if second:
                rows.append(
                    (f"block {number} activation 2 ({second} nodes)", after + stage.block.activation_levels, after)
                )
        rows.append(("head", self.head_level, self.head_level - 1))
        return rows


def lay_out(network: FoldedNetwork, parameters: Parameters, paired: bool = True) -> Program:
    """Choose packing and shifts for a network.

    Args:
        paired: two nodes a ciphertext, for a back end that can conjugate.

    Raises:
        UserError: the parameters have other levels than the network takes, or an unfused network is to be paired.
    """
    if parameters.levels != network.levels:
        raise UserError(f"the parameters have {parameters.levels} levels; the network takes {network.levels}")
    if paired and not network.fused:
        raise UserError("an unfused network is computed with one node a ciphertext")
    layout = Layout.choose(parameters.slots, network.widest, network.frames, paired)
    chosen = choose_pairs(network, layout) if paired else [single_nodes(network.nodes)] * (len(network.blocks) + 1)
    stages: list[Stage] = []
    level, dilation = parameters.levels, 1
    for block, sources, targets in zip(network.blocks, chosen[:-1], chosen[1:], strict=True):
        graph, temporal = _splits(block, layout, sources, targets)
        stages.append(Stage(block, sources, targets, level, dilation, graph, temporal))
        level -= block.depth
        dilation *= block.stride
    head = best_split(layout.period(network.blocks[-1].temporal.shape[0]), 1, lambda split: split.babies + split.giants)
    return Program(network, layout, parameters, stages, chosen[0], paired, head, network.fused)


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
