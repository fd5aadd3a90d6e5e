"""Counts of what was done to ciphertexts, by operation and level. The same ledger serves all back ends and the estimator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

KEY_SWITCHES = ("rotate", "conjugate", "relinearise")
OPERATIONS = (*KEY_SWITCHES, "mul_plain", "mul", "rescale", "add", "add_plain", "drop", "encode", "encode_constant")


class Ledger:
    """`counts[operation, level]`, the level being the operand's."""

    def __init__(self, counts: Iterable[tuple[str, int, int]] = ()) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()
        for operation, level, times in counts:
            self.counts[operation, level] += times

    def note(self, operation: str, level: int) -> None:
        self.counts[operation, level] += 1

    def merge(self, other: Ledger) -> None:
        self.counts.update(other.counts)

    def total(self, operation: str) -> int:
        """Times that an operation was done, at any level."""
        return sum(times for (name, _), times in self.counts.items() if name == operation)

    @property
    def rotations(self) -> int:
        """Key switches by a Galois key: rotations and conjugations."""
        return self.total("rotate") + self.total("conjugate")

    def rows(self) -> list[tuple[str, int, int]]:
        """(operation, level, times), sorted: what `Ledger` takes back."""
        return [(name, level, times) for (name, level), times in sorted(self.counts.items())]
