"""A laid-out network on ciphertexts: blocks, then the head."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from effml.models.encrypted.backend import Cipher, CkksBackend
from effml.models.encrypted.convolve import Babies, NodeCiphers, bias_of, diagonal, giant_sum
from effml.models.encrypted.fused import FusedBlock
from effml.models.encrypted.program import Program, Stage
from effml.models.encrypted.unfused import UnfusedBlock

HEAD_ROOM = 14  # bits that logits may have before the point


def evaluate_block(
    program: Program, stage: Stage, backend: CkksBackend, inputs: list[NodeCiphers], chosen: Iterable[int] | None = None
) -> dict[int, NodeCiphers]:
    """Output pairs of a block, all or those chosen."""
    kind = FusedBlock if program.fused else UnfusedBlock
    evaluation = kind(program, stage, backend, inputs)
    return {target: evaluation(target) for target in (range(len(stage.targets)) if chosen is None else chosen)}


def evaluate_head(program: Program, backend: CkksBackend, inputs: list[NodeCiphers]) -> NodeCiphers:
    """Logits: class k of sequence b is the real part of slot (k, 0, b) of group k // channels.

    Nodes are added first, then one small matrix product, then frames. Two nodes in one ciphertext are added by weights
    times 1 - i: (a + i b)(1 - i) = (a + b) + i (b - a). The other slots hold partial sums.
    """
    layout, network, split = program.layout, program.network, program.head_split
    level, scale = program.head_level, program.parameters.scale
    after = 2.0 ** min(program.parameters.scale_bits, program.parameters.bits[0] - HEAD_ROOM)
    pooled: list[Cipher] = []
    for group in range(len(inputs[0])):
        total = inputs[0][group]
        if len(inputs) > 1:
            total = backend.add(total, inputs[1][group])
        for groups in inputs[2:]:
            total = backend.accumulate(total, groups[group])
        pooled.append(total)
    babies = [Babies(backend, layout, x) for x in pooled]
    kept = layout.kept(program.dilation)
    weight = network.head / (network.nodes * kept.sum())
    turned = weight * (1 - 1j) if program.paired else weight
    plain_scale = after * backend.primes[level] / scale
    out = []
    for group in range(layout.groups(len(weight))):
        sums: dict[tuple[int, int], Cipher] = {}
        for source_group in range(len(pooled)):
            for shift in range(layout.period(weight.shape[1])):
                values = diagonal(layout, turned, shift, (group, source_group))
                if not np.any(values):
                    continue
                giant, small = divmod(shift, split.channel_babies)
                roll = giant * split.channel_babies * layout.channel_step
                plain = backend.encode(layout.pattern(values, kept, roll), level, plain_scale)
                product = backend.mul_plain(babies[source_group](small), plain)
                sums[giant, 0] = backend.accumulate(sums.get((giant, 0)), product)
        x = backend.rescale(giant_sum(backend, layout, split, sums), after)
        x = _sum_frames(backend, x, layout.batch * program.dilation, layout.frames // program.dilation)
        bias = bias_of(layout, network.head_bias[:, None], (0, None), group)
        out.append(backend.add_plain(x, backend.encode(layout.pattern(bias), x.level, x.scale)))
    return out


def _sum_frames(backend: CkksBackend, x: Cipher, step: int, frames: int) -> Cipher:
    """Slot i becomes the sum over slots i + step k, k < frames (a power of two).

    Doubling, with every rotation made of the ones that there are keys for: at level 0 a rotation costs next to nothing,
    a key as much as at any level.
    """
    distance = 1
    while distance < frames:
        moved = x
        for _ in range(distance):
            moved = backend.rotate(moved, step)
        x = backend.add(x, moved)
        distance *= 2
    return x


def evaluate(program: Program, backend: CkksBackend, inputs: list[NodeCiphers]) -> NodeCiphers:
    """The whole network in this process."""
    for stage in program.stages:
        outputs = evaluate_block(program, stage, backend, inputs)
        inputs = [outputs[target] for target in range(len(stage.targets))]
    return evaluate_head(program, backend, inputs)
