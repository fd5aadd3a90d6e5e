"""A block on ciphertexts with everything folded: one level for each convolution, one for each activation.

Between blocks every ciphertext is at one level and at the parameters' scale. Plaintexts are encoded at the level and the
scale that make the next rescaling land exactly where it should, so that scales never drift. Residuals are multiplied at
the level of the temporal convolution and added to its sums before these are rotated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy import ndarray

from effml.models.encrypted.activate import activate, scale_before
from effml.models.encrypted.backend import Cipher, CkksBackend, Plain
from effml.models.encrypted.convolve import (
    Babies,
    NodeCiphers,
    Split,
    bias_of,
    complex_weights,
    diagonal,
    giant_sum,
)
from effml.models.encrypted.fold import Quadratic
from effml.models.encrypted.layout import Pair
from effml.models.encrypted.program import Program, Stage

Weights = Callable[[int, int], "ndarray | None"]


class FusedBlock:
    """One block on one back end: call it with the number of an output pair."""

    def __init__(self, program: Program, stage: Stage, backend: CkksBackend, inputs: list[NodeCiphers]) -> None:
        self.stage, self.backend, self.inputs = stage, backend, inputs
        self.layout, self.scale = program.layout, program.parameters.scale
        self.babies: dict[tuple[int, int, int], Babies] = {}
        self.temporal: dict[tuple[int, ...], Plain | None] = {}

    def __call__(self, target: int) -> NodeCiphers:
        pair = self.stage.targets[target]
        held = [self._first(pair, x) for x in self._graph(pair)]
        return self._temporal(pair, held)

    # -- graph convolution ----------------------------------------------------------------------------------------

    def _graph(self, pair: Pair) -> NodeCiphers:
        stage, backend, level = self.stage, self.backend, self.stage.level
        block = stage.block
        after = self._arrival(block.first, pair, level - 1)
        present = (block.graph != 0).any((2, 3))

        def weights(node: int, origin: int) -> ndarray | None:
            return block.graph[node, origin] if present[node, origin] else None

        out = []
        for group in range(self.layout.groups(stage.out)):
            sums: dict[tuple[int, int], Cipher] = {}
            self._mix_nodes(sums, stage.graph_split, (group, pair), weights, level, after)
            x = backend.rescale(giant_sum(backend, self.layout, stage.graph_split, sums), after)
            out.append(self._add_bias(x, bias_of(self.layout, block.graph_bias, pair, group)))
        return out

    def _mix_nodes(
        self,
        sums: dict[tuple[int, int], Cipher],
        split: Split,
        where: tuple[int, Pair],
        weights: Weights,
        level: int,
        after: float,
    ) -> None:
        """Add to `sums` what an output (group, pair) takes from all inputs by weights `[out, in]` of two nodes."""
        group, pair = where
        backend, layout = self.backend, self.layout
        scale = after * backend.primes[level] / self.scale
        for source, origin in enumerate(self.stage.sources):
            for conjugate, weight in enumerate(complex_weights(weights, pair, origin)):
                for source_group, shift in self._shifts(weight):
                    values = diagonal(layout, weight, shift, (group, source_group))
                    if not np.any(values):
                        continue
                    giant, small = divmod(shift, split.channel_babies)
                    roll = giant * split.channel_babies * layout.channel_step
                    baby = self._baby(source, source_group, level)(small, 0, bool(conjugate))
                    product = backend.mul_plain(baby, backend.encode(layout.pattern(values, None, roll), level, scale))
                    sums[giant, 0] = backend.accumulate(sums.get((giant, 0)), product)

    def _shifts(self, weight: ndarray) -> Iterator[tuple[int, int]]:
        if weight.size:
            for source_group in range(self.layout.groups(weight.shape[1])):
                for shift in range(self.layout.period(weight.shape[1])):
                    yield source_group, shift

    def _baby(self, source: int, group: int, level: int) -> Babies:
        """Rotations of an input at a level, shared by all outputs."""
        key = (source, group, level)
        if key not in self.babies:
            dropped = self.backend.drop(self.inputs[source][group], level)
            self.babies[key] = Babies(self.backend, self.layout, dropped)
        return self.babies[key]

    # -- activation and temporal convolution ----------------------------------------------------------------------

    def _first(self, pair: Pair, x: Cipher) -> Cipher:
        x = self._activate(self.stage.block.first, pair, x)
        # Levels that the rest of the block has no use for go before the many rotations of the temporal convolution.
        return self.backend.drop(x, self.stage.temporal_level(pair))

    def _temporal(self, pair: Pair, held: NodeCiphers) -> NodeCiphers:
        stage, backend, layout = self.stage, self.backend, self.layout
        block, split, level = stage.block, stage.temporal_split, held[0].level
        after = self._arrival(block.second, pair, level - 1)
        babies = [Babies(backend, layout, x, stage.dilation) for x in held]
        out = []
        for group in range(layout.groups(stage.out)):
            sums: dict[tuple[int, int], Cipher] = {}
            for source_group in range(len(held)):
                for shift in range(layout.period(stage.out)):
                    for giant_tap in split.giant_taps:
                        for baby_tap in split.baby_taps:
                            giant, small = divmod(shift, split.channel_babies)
                            places = (group, source_group, shift, baby_tap, giant_tap)
                            plain = self._temporal_plain(places, level, after)
                            if plain is None:
                                continue
                            product = backend.mul_plain(babies[source_group](small, baby_tap), plain)
                            key = (giant, giant_tap)
                            sums[key] = backend.accumulate(sums.get(key), product)
            self._add_residual(sums, (group, pair), level, after)
            x = backend.rescale(giant_sum(backend, layout, split, sums, stage.dilation), after)
            x = self._add_bias(x, bias_of(layout, block.temporal_bias, pair, group))
            out.append(self._activate(block.second, pair, x))
        return out

    def _arrival(self, act: Quadratic, pair: Pair, level: int) -> float:
        """At what scale a convolution has to arrive for what follows to end at the parameters' scale."""
        return scale_before(self.backend, level, pair) if act.active[pair[0]] else self.scale

    def _activate(self, act: Quadratic, pair: Pair, x: Cipher) -> Cipher:
        return activate(self.backend, self.layout, act, pair, x) if act.active[pair[0]] else x

    def _temporal_plain(self, places: tuple[int, int, int, int, int], level: int, after: float) -> Plain | None:
        """The plaintext of one channel shift and tap, encoded once for all nodes; None if it is zero."""
        key = (*places, level, round(after))
        if key in self.temporal:
            return self.temporal[key]
        group, source_group, shift, baby_tap, giant_tap = places
        stage, layout, split = self.stage, self.layout, self.stage.temporal_split
        tap = split.tap(baby_tap, giant_tap)
        weight = stage.block.temporal[:, :, tap + stage.block.temporal.shape[2] // 2]
        values = diagonal(layout, weight, shift, (group, source_group))
        mask = layout.reachable(tap * stage.dilation)
        plain = None
        if np.any(values) and np.any(mask & layout.kept(stage.dilation)):
            giant = shift // split.channel_babies * split.channel_babies
            frames = giant_tap * split.tap_babies * stage.dilation
            roll = giant * layout.channel_step + frames * layout.batch
            scale = after * self.backend.primes[level] / self.scale
            plain = self.backend.encode(layout.pattern(values, mask, roll), level, scale)
        self.temporal[key] = plain
        return plain

    def _add_residual(
        self, sums: dict[tuple[int, int], Cipher], where: tuple[int, Pair], level: int, after: float
    ) -> None:
        residual = self.stage.block.residual
        if residual is not None:
            self._mix_nodes(
                sums,
                self.stage.temporal_split,
                where,
                lambda node, other: residual[node] if node == other else None,
                level,
                after,
            )

    def _add_bias(self, x: Cipher, bias: ndarray) -> Cipher:
        if not np.any(bias):
            return x
        return self.backend.add_plain(x, self.backend.encode(self.layout.pattern(bias), x.level, x.scale))
