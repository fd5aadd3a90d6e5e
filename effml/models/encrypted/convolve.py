"""Convolutions over channels, frames and nodes as sums of rotated ciphertexts times plaintexts.

Baby-step giant-step: a rotation by every sum of a small (baby) and a large (giant) shift is had by rotating inputs by the
baby shifts, and sums of products by the giant ones, whose plaintexts are rolled back beforehand. Giant sums run by
Horner's rule, so that one key serves all giant shifts, and baby shifts are chained. What is zero is never multiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from effml.models.encrypted.backend import Cipher, CkksBackend
from effml.models.encrypted.layout import Layout, Pair

NodeCiphers = list[Cipher]  # the groups of one pair


@dataclass(frozen=True)
class Split:
    """Shifts of channels and frames, each as baby + giant: `channels[0]` of them are babies; `taps[0]` of the taps."""

    channel_babies: int
    channel_giants: int
    tap_babies: int
    tap_giants: int

    @property
    def shifts(self) -> tuple[int, int]:
        return self.channel_babies * self.channel_giants, self.tap_babies * self.tap_giants

    def tap(self, baby: int, giant: int) -> int:
        """The tap, counted from the middle one."""
        return baby + giant * self.tap_babies

    @property
    def baby_taps(self) -> range:
        return range(-(self.tap_babies // 2), self.tap_babies // 2 + 1)

    @property
    def giant_taps(self) -> range:
        return range(-(self.tap_giants // 2), self.tap_giants // 2 + 1)

    @property
    def babies(self) -> int:
        return self.channel_babies * self.tap_babies

    @property
    def giants(self) -> int:
        return self.channel_giants * self.tap_giants

    @property
    def keys(self) -> int:
        """Rotation keys that the split needs."""
        taps = 2 * (self.tap_babies > 1) + 2 * (self.tap_giants > 1)
        return taps + (self.channel_babies > 1) + (self.channel_giants > 1)


def splits(channels: int, taps: int) -> Iterator[Split]:
    """All ways to split so many channel shifts (a power of two) and taps (odd)."""
    for tap_babies in (count for count in range(1, taps + 1) if taps % count == 0):
        for channel_babies in (1 << power for power in range(channels.bit_length())):
            yield Split(channel_babies, channels // channel_babies, tap_babies, taps // tap_babies)


def best_split(channels: int, taps: int, cost: Callable[[Split], float]) -> Split:
    """The cheapest split."""
    return min(splits(channels, taps), key=cost)


class Babies:
    """Rotations of a ciphertext by baby shifts, each made from the one before, when asked for, once."""

    def __init__(self, backend: CkksBackend, layout: Layout, x: Cipher, dilation: int = 1) -> None:
        self.backend = backend
        self.channel_step, self.frame_step = layout.channel_step, layout.batch * dilation
        self.made: dict[tuple[bool, int, int], Cipher] = {(False, 0, 0): x}

    def __call__(self, channel: int, tap: int = 0, conjugate: bool = False) -> Cipher:
        key = (conjugate, channel, tap)
        if key not in self.made:
            if tap:
                step = self.frame_step if tap > 0 else -self.frame_step
                before = self(channel, tap - 1 if tap > 0 else tap + 1, conjugate)
                self.made[key] = self.backend.rotate(before, step)
            elif channel:
                self.made[key] = self.backend.rotate(self(channel - 1, 0, conjugate), self.channel_step)
            else:
                self.made[key] = self.backend.conjugate(self(0))
        return self.made[key]


def giant_sum(
    backend: CkksBackend, layout: Layout, split: Split, sums: dict[tuple[int, int], Cipher], dilation: int = 1
) -> Cipher:
    """Rotate sums, by (channel giant, tap giant), each by its giant shift and add them up."""
    rows = {tap: _horner(backend, sums, tap, split, layout) for tap in split.giant_taps}
    step = layout.batch * dilation * split.tap_babies
    total = rows[0]
    for sign in (1, -1):
        side: Cipher | None = None
        for distance in range(split.tap_giants // 2, 0, -1):
            row = rows[sign * distance]
            side = row if side is None else side if row is None else backend.accumulate(side, row)
            side = None if side is None else backend.rotate(side, sign * step)
        total = side if total is None else total if side is None else backend.accumulate(total, side)
    if total is None:
        raise ValueError("a convolution whose weights are all zero")
    return total


def _horner(
    backend: CkksBackend, sums: dict[tuple[int, int], Cipher], tap: int, split: Split, layout: Layout
) -> Cipher | None:
    total: Cipher | None = None
    step = layout.channel_step * split.channel_babies
    for giant in reversed(range(split.channel_giants)):
        if total is not None:
            total = backend.rotate(total, step)
        if (giant, tap) in sums:
            found = sums[giant, tap]
            total = found if total is None else backend.accumulate(total, found)
    return total


def complex_weights(
    weights: Callable[[int, int], ndarray | None], target: Pair, source: Pair
) -> tuple[ndarray, ndarray]:
    """Weights between two nodes' and two nodes' channels as factors of z = x0 + i x1 and of its conjugate.

    Args:
        weights: `[...]` of (target node, source node), None for zero.
    """
    known = [
        [None if node is None or origin is None else weights(node, origin) for origin in source] for node in target
    ]
    shape = next((entry.shape for row in known for entry in row if entry is not None), None)
    if shape is None:
        return np.zeros(0), np.zeros(0)
    m = [[np.zeros(shape) if entry is None else entry for entry in row] for row in known]
    if source[1] is None:  # z is real
        direct = m[0][0] + 1j * m[1][0] if target[1] is not None else m[0][0]
        return direct, np.zeros(0)
    if target[1] is None:
        return (m[0][0] - 1j * m[0][1]) / 2, (m[0][0] + 1j * m[0][1]) / 2
    direct = (m[0][0] + m[1][1] + 1j * (m[1][0] - m[0][1])) / 2
    mirrored = (m[0][0] - m[1][1] + 1j * (m[1][0] + m[0][1])) / 2
    return direct, mirrored if np.any(mirrored) else np.zeros(0)


def diagonal(layout: Layout, weight: ndarray, shift: int, groups: tuple[int, int]) -> ndarray:
    """`[channels]`: what each output channel of a group takes from the input channel `shift` places on.

    Args:
        weight: `[out, in]`.
        groups: output group, input group.
    """
    out, into = weight.shape
    rows = layout.channel(groups[0], 0, out)
    columns = layout.channel(groups[1], shift, into)
    held = np.zeros(layout.channels, dtype=weight.dtype)
    real = (rows < out) & (columns < into)
    held[real] = weight[rows[real], columns[real]]
    return held


def bias_of(layout: Layout, bias: ndarray, target: Pair, group: int) -> ndarray:
    """`[channels]`: the constants `[C, V]` of a pair's nodes."""
    rows = layout.channel(group, 0, len(bias))
    inside = rows < len(bias)
    held = np.zeros(layout.channels, dtype=complex if target[1] is not None else float)
    held[inside] = bias[rows[inside], target[0]]
    if target[1] is not None:
        held[inside] += 1j * bias[rows[inside], target[1]]
    return held
