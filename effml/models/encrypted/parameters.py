"""How many levels a network takes, and the smallest secure ring that has them. Decided before any key is made.

Levels: a block takes one for its graph convolution and one for its temporal convolution, the head takes one, and every
nonlinear layer that is left takes one: L = 2 blocks + 1 + n (LinGCN, NeurIPS 2023, arXiv 2309.14331). The unfused way
takes a level for each of 1x1 convolution, adjacency, square and coefficients.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from effml.errors import UserError

LIMITS = {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881, 65536: 1747}
"""Most bits of the modulus, key-switching prime included, at 128-bit security by ring size: HomomorphicEncryption.org's
standard of 2018 (ternary secrets, classical), and OpenFHE's table for 65536, which SEAL cannot check."""
LARGEST = 32768  # SEAL knows the security of no larger ring
END_BITS, LEAST_SCALE_BITS = 47, 33  # the sizes of LinGCN, recalled; its figure's latencies agree with them
MOST_SCALE_BITS = 40  # more precision than any network here has use for
MOST_BITS = 60  # of a prime, in SEAL
KEY_SWITCH_MARGIN = 9  # bits by which the key-switching prime quiets rotations to the level of rounding


def fused_levels(blocks: int, nonlinear: int) -> int:
    """L of a network whose coefficients are folded into neighbouring plaintexts."""
    return 2 * blocks + 1 + nonlinear


def unfused_levels(blocks: int, nonlinear: int) -> int:
    """L where every factor is multiplied by itself: convolution, adjacency, temporal convolution, two an activation."""
    return 3 * blocks + 1 + 2 * nonlinear


@dataclass(frozen=True)
class Parameters:
    """A CKKS parameter set.

    Args:
        ring: N, the degree of the polynomials; N/2 slots.
        bits: sizes of the primes: base, one a level, and the key-switching prime.
        insecure: whether security was given up on purpose; for tests of the arithmetic alone.
    """

    ring: int
    bits: tuple[int, ...]
    insecure: bool = False

    def __post_init__(self) -> None:
        """Raises UserError for a ring that is no power of two, or one that is not secure with so many bits."""
        if self.ring < 8 or self.ring & (self.ring - 1):
            raise UserError(f"ring {self.ring} is no power of two")
        if len(self.bits) < 3:
            raise UserError("a parameter set needs a base prime, at least one level and a key-switching prime")
        if not self.insecure and not self.secure:
            raise UserError(
                f"ring {self.ring} with a modulus of {self.total_bits} bits is below 128-bit security; the limit for it is "
                f"{LIMITS.get(self.ring, 0)} bits. Take a larger ring, fewer nonlinear layers or a smaller scale"
            )

    @property
    def levels(self) -> int:
        return len(self.bits) - 2

    @property
    def slots(self) -> int:
        return self.ring // 2

    @property
    def scale_bits(self) -> int:
        return min(self.bits[1:-1])

    @property
    def scale(self) -> float:
        """The scale of ciphertexts between layers."""
        return 2.0**self.scale_bits

    @property
    def total_bits(self) -> int:
        return sum(self.bits)

    @property
    def secure(self) -> bool:
        """Whether the modulus is within the 128-bit limit of the ring."""
        return self.total_bits <= LIMITS.get(self.ring, 0)

    @property
    def key_bytes(self) -> int:
        """Bytes of one rotation key: (L + 1) digits of two polynomials with L + 2 residues of 8 bytes."""
        return (self.levels + 1) * (self.levels + 2) * 2 * self.ring * 8

    def ciphertext_bytes(self, level: int) -> int:
        """Bytes of a ciphertext at a level, uncompressed."""
        return 2 * (level + 1) * self.ring * 8

    @property
    def digest(self) -> str:
        """A name by which client and server tell that they mean the same parameters."""
        return hashlib.sha256(json.dumps([self.ring, self.bits]).encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(held: dict[str, Any]) -> Parameters:
        return Parameters(int(held["ring"]), tuple(int(bit) for bit in held["bits"]), bool(held["insecure"]))

    def verdict(self) -> str:
        """One line: levels, bits, ring, and how they stand to the limit."""
        limit = LIMITS.get(self.ring, 0)
        standing = "128-bit secure" if self.secure else "NOT 128-bit secure"
        return f"L = {self.levels}, {self.total_bits} bits of at most {limit}, N = {self.ring}: {standing}"


def choose(
    levels: int,
    scale_bits: int | None = None,
    end_bits: int | None = None,
    ring: int | None = None,
    insecure: bool = False,
) -> Parameters:
    """The smallest secure ring with so many levels.

    Without wishes, the ring is that of the published sizes, 33 bits a level and 47 at both ends; what room it leaves goes
    into precision: first a key-switching prime 9 bits above the base, which is where key switching is as quiet as
    rounding, then up to 40 bits a level.

    Args:
        levels: L.
        scale_bits: size of a level's prime.
        end_bits: size of the base and of the key-switching prime.
        ring: take this ring and no other.
        insecure: allow a ring below 128-bit security (with `ring` alone).

    Raises:
        UserError: no ring, or not the wanted one, is secure with so many bits.
    """
    if insecure and ring is None:
        raise UserError("insecure parameters need a ring: name one")
    least, base = scale_bits or LEAST_SCALE_BITS, end_bits or END_BITS
    needed = 2 * base + levels * least
    if ring is None:
        ring = next((size for size, limit in LIMITS.items() if needed <= limit), None)
        if ring is None:
            raise UserError(
                f"{levels} levels of {least} bits need a modulus of {needed} bits; the largest ring, {max(LIMITS)}, is "
                f"secure up to {max(LIMITS.values())}"
            )
    room = 10**6 if insecure else LIMITS.get(ring, 0)
    quiet = min(MOST_BITS, base + KEY_SWITCH_MARGIN)
    scale = least
    if scale_bits is None:
        fitting = (size for size in range(MOST_SCALE_BITS, least, -1) if base + levels * size + quiet <= room)
        scale = next(fitting, least)
    special = base if end_bits is not None else max(base, min(MOST_BITS, room - base - levels * scale))
    return Parameters(ring, (base, *[scale] * levels, special), insecure)
