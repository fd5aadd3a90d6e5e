"""Where a number of a skeleton sequence sits in a ciphertext.

A ciphertext holds one node, or two: one in the real and one in the imaginary part of its slots. Linear maps with real
weights treat both parts alike, so that pairing halves the work of temporal convolutions.

Slot (c, t, b) = (c * frames + t) * batch + b, all slots used: a rotation by one channel (frames * batch slots) is exactly
cyclic, one by s frames is s * batch slots, and what wraps around is zeroed in plaintexts. A layer with fewer channels
than a ciphertext holds repeats them with its period, a power of two; a wider layer takes several ciphertexts (groups).
A stride leaves the kept frames where they are, `dilation` frames apart. b counts independent sequences.

With two nodes in a ciphertext, odd slots hold conjugates: x0 + i x1 at even ones, x0 - i x1 at odd ones. SEAL's slots go by
powers of 3, so that the vector i, -i, i, -i, ... and not i, i, i, ... is a monomial, X^(N/2), which multiplies exactly and
without a level. Rotations keep the parity of slots as long as `batch` is even.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from effml.errors import UserError

Pair = tuple[int, int | None]


def power_of_two(least: int) -> int:
    """The smallest power of two that is at least `least`."""
    return 1 << max(0, least - 1).bit_length()


@dataclass(frozen=True)
class Layout:
    """The slots of one ring for one network.

    Args:
        slots: N/2.
        channels: channels of one ciphertext, a power of two.
        frames: frame positions, a power of two, at least T.
        valid: T, the frames of a sequence.
    """

    slots: int
    channels: int
    frames: int
    valid: int

    @staticmethod
    def choose(slots: int, width: int, frames: int, paired: bool = True) -> Layout:
        """The layout that fits most sequences in; at least two if nodes are paired.

        Raises:
            UserError: not even one channel fits.
        """
        positions = power_of_two(frames) * (2 if paired else 1)
        if positions > slots:
            raise UserError(f"{frames} frames do not fit {slots} slots; take a larger ring")
        return Layout(slots, min(power_of_two(width), slots // positions), power_of_two(frames), frames)

    @property
    def batch(self) -> int:
        """Sequences that one set of ciphertexts carries."""
        return self.slots // (self.channels * self.frames)

    @property
    def channel_step(self) -> int:
        """Slots from one channel to the next."""
        return self.frames * self.batch

    def period(self, width: int) -> int:
        """Channels after which a ciphertext of a layer repeats itself."""
        return min(power_of_two(width), self.channels)

    def groups(self, width: int) -> int:
        """Ciphertexts that a layer takes for each node or pair."""
        return -(-width // self.channels)

    def channel(self, group: int, shift: int, width: int) -> ndarray:
        """`[channels]` the layer's channel at each place of a group, `shift` places on; those from `width` on are empty."""
        places = (np.arange(self.channels) + shift) % self.channels
        return (group * self.channels + places) % power_of_two(width)

    def pack(self, x: ndarray, pairs: list[Pair]) -> list[list[ndarray]]:
        """Sequences `[n, C, T, V]`, n at most `batch`, as slots by pair and group.

        Raises:
            UserError: more sequences than fit, or other frames than the layout's.
        """
        count, width, frames, _ = x.shape
        if count > self.batch:
            raise UserError(f"{count} sequences do not fit; one set of ciphertexts carries {self.batch}")
        if frames != self.valid:
            raise UserError(f"sequences have {frames} frames; the network takes {self.valid}")
        padded = np.zeros((power_of_two(width), self.frames, self.batch, x.shape[3]))
        padded[:width, :frames, :count] = np.moveaxis(x, 0, 2)
        packed = []
        for real, imaginary in pairs:
            held = padded[..., real] + (1j * padded[..., imaginary] if imaginary is not None else 0)
            groups = range(self.groups(width))
            packed.append([alternate(held[self.channel(group, 0, width)].reshape(-1)) for group in groups])
        return packed

    def read_logits(self, slots: list[ndarray], classes: int, count: int) -> ndarray:
        """Logits `[count, classes]` from the decrypted slots of the head's ciphertexts."""
        held = [part.real.reshape(self.channels, self.frames, self.batch)[:, 0, :count] for part in slots]
        return np.concatenate(held)[:classes].T

    def pattern(self, channels: ndarray, mask: ndarray | None = None, roll: int = 0) -> Pattern:
        """A plaintext that is `channels[c]` at frames where `mask`, for all sequences, rolled by `roll` slots."""
        return Pattern(self, channels, mask, roll)

    def constant(self, value: complex) -> Pattern:
        """The same number everywhere."""
        return Pattern(self, np.full(self.channels, value), None, 0)

    def kept(self, dilation: int) -> ndarray:
        """`[frames]` bool: the frames that a sequence still has."""
        positions = np.arange(self.frames)
        return (positions < self.valid) & (positions % dilation == 0)

    def reachable(self, shift: int) -> ndarray:
        """`[frames]` bool: frames from which the one `shift` on is inside the sequence."""
        source = np.arange(self.frames) + shift
        return (source >= 0) & (source < self.valid)

    def as_dict(self) -> dict[str, Any]:
        return {"slots": self.slots, "channels": self.channels, "frames": self.frames, "valid": self.valid}


@dataclass(frozen=True, eq=False)
class Pattern:
    """A vector of slots described by channel and frame; expanded when it is encoded."""

    layout: Layout
    channels: ndarray
    mask: ndarray | None
    roll: int

    def slots(self) -> ndarray:
        layout = self.layout
        held = np.repeat(self.channels, layout.channel_step)
        if self.mask is not None:
            held = held * np.tile(np.repeat(self.mask, layout.batch), layout.channels)
        return alternate(np.roll(held, self.roll) if self.roll else held)


def alternate(slots: ndarray) -> ndarray:
    """Conjugate odd slots, in place."""
    if np.iscomplexobj(slots):
        np.conj(slots[1::2], out=slots[1::2])
    return slots


def single_nodes(nodes: int) -> list[Pair]:
    """Every node alone."""
    return [(node, None) for node in range(nodes)]
