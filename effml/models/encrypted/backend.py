"""What a CKKS library must do, and the bookkeeping of levels and scales that all of them share.

A back end implements the underscored operations on its own objects; the public ones check levels and scales, count, and
keep the books, so that they are the same for every library and for the simulator. Knows no network.

Levels count down: a ciphertext at level l can be rescaled l times. `primes[l]` is what rescaling from level l divides by.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy import ndarray

from effml.models.encrypted.ledger import Ledger
from effml.models.encrypted.parameters import Parameters

CLOSE = 1e-9  # relative difference of scales that are the same but for rounding


class LevelMismatch(ValueError):
    """Two operands whose levels or scales differ: a mistake in the program, never in the input."""


class Vector(Protocol):
    """Slots that are made only when a library needs them."""

    def slots(self) -> ndarray: ...


@dataclass(slots=True)
class Cipher:
    """A ciphertext: the library's object, its level, and its scale as a float."""

    data: Any
    level: int
    scale: float


@dataclass(slots=True)
class Plain:
    """An encoded plaintext."""

    data: Any
    level: int
    scale: float


class CkksBackend(ABC):
    """Arithmetic on encrypted complex vectors of `parameters.slots` numbers.

    Attributes:
        name: what `backend=` calls it.
        conjugates: whether it can conjugate slots; two nodes share a ciphertext only then.
        ledger: what has been done so far.
        steps: rotations that there are keys for.
    """

    name = ""
    conjugates = True
    encodes_at_level = True
    """Whether encoding costs less at a lower level."""

    def __init__(self, parameters: Parameters, primes: list[float], steps: Iterable[int] = ()) -> None:
        self.parameters, self.primes = parameters, primes
        self.steps = frozenset(steps)
        self.ledger = Ledger()

    # -- plaintexts -----------------------------------------------------------------------------------------------

    def encode(self, values: Vector, level: int, scale: float) -> Plain:
        """Encode a vector for operands at `level`."""
        self.ledger.note("encode", level)
        return Plain(self._encode(values, level, scale), level, scale)

    def constant(self, value: complex, level: int, scale: float) -> Plain:
        """Encode one number in all slots."""
        self.ledger.note("encode_constant", level)
        return Plain(self._constant(value, level, scale), level, scale)

    # -- arithmetic -----------------------------------------------------------------------------------------------

    def rotate(self, x: Cipher, step: int) -> Cipher:
        """Slot i takes the value of slot i + step, cyclically."""
        if step not in self.steps:
            raise LevelMismatch(f"there is no key for a rotation by {step}")
        self.ledger.note("rotate", x.level)
        return Cipher(self._rotate(x.data, step), x.level, x.scale)

    def conjugate(self, x: Cipher) -> Cipher:
        """Complex conjugate of every slot."""
        self.ledger.note("conjugate", x.level)
        return Cipher(self._conjugate(x.data), x.level, x.scale)

    def mul_plain(self, x: Cipher, p: Plain) -> Cipher:
        self._expect_level(x, p)
        self.ledger.note("mul_plain", x.level)
        return Cipher(self._mul_plain(x.data, p.data), x.level, x.scale * p.scale)

    def mul(self, x: Cipher, y: Cipher) -> Cipher:
        """Product of three polynomials: `relinearise` it before anything else than adding."""
        self._expect_level(x, y)
        self.ledger.note("mul", x.level)
        return Cipher(self._mul(x.data, y.data), x.level, x.scale * y.scale)

    def relinearise(self, x: Cipher) -> Cipher:
        """Back to two polynomials, in place."""
        self.ledger.note("relinearise", x.level)
        return Cipher(self._relinearise(x.data), x.level, x.scale)

    def rescale(self, x: Cipher, scale: float | None = None) -> Cipher:
        """Divide by the level's prime, in place; one level down.

        Args:
            scale: what the scale is by construction, put in place of the product of floats.
        """
        if x.level == 0:
            raise LevelMismatch("a ciphertext at level 0 cannot be rescaled")
        exact = x.scale / self.primes[x.level]
        if scale is not None and not math.isclose(exact, scale, rel_tol=CLOSE):
            raise LevelMismatch(f"rescaling gives a scale of {exact}, not {scale}")
        self.ledger.note("rescale", x.level)
        found = exact if scale is None else scale
        return Cipher(self._rescale(x.data, found), x.level - 1, found)

    def drop(self, x: Cipher, level: int) -> Cipher:
        """The same values at a lower level, where everything costs less."""
        if level > x.level:
            raise LevelMismatch(f"a ciphertext at level {x.level} cannot be raised to {level}")
        if level == x.level:
            return x
        self.ledger.note("drop", x.level)
        return Cipher(self._drop(x.data, x.level, level), level, x.scale)

    def relabel(self, x: Cipher, scale: float) -> Cipher:
        """The same ciphertext read at another scale, in place: every value times `x.scale / scale`, at no cost."""
        return Cipher(self._relabel(x.data, scale), x.level, scale)

    def add(self, x: Cipher, y: Cipher) -> Cipher:
        self._expect_same(x, y)
        self.ledger.note("add", x.level)
        return Cipher(self._add(x.data, y.data), x.level, x.scale)

    def subtract(self, x: Cipher, y: Cipher) -> Cipher:
        self._expect_same(x, y)
        self.ledger.note("add", x.level)
        return Cipher(self._subtract(x.data, y.data), x.level, x.scale)

    def accumulate(self, total: Cipher | None, x: Cipher) -> Cipher:
        """`total + x`, written over `total`; x itself where there is no total yet."""
        if total is None:
            return x
        self._expect_same(total, x)
        self.ledger.note("add", x.level)
        return Cipher(self._add_into(total.data, x.data), total.level, total.scale)

    def add_plain(self, x: Cipher, p: Plain) -> Cipher:
        self._expect_same(x, p)
        self.ledger.note("add_plain", x.level)
        return Cipher(self._add_plain(x.data, p.data), x.level, x.scale)

    def negate(self, x: Cipher) -> Cipher:
        return Cipher(self._negate(x.data), x.level, x.scale)

    def _expect_level(self, x: Cipher, y: Cipher | Plain) -> None:
        if x.level != y.level:
            raise LevelMismatch(f"operands at levels {x.level} and {y.level}")

    def _expect_same(self, x: Cipher, y: Cipher | Plain) -> None:
        self._expect_level(x, y)
        if not math.isclose(x.scale, y.scale, rel_tol=CLOSE):
            raise LevelMismatch(f"operands with scales {x.scale} and {y.scale}")

    # -- what a client does ---------------------------------------------------------------------------------------

    def encrypt(self, values: ndarray) -> Cipher:
        """Encrypt `[slots]` complex numbers at the top level with the parameters' scale."""
        return Cipher(self._encrypt(np.asarray(values)), self.parameters.levels, self.parameters.scale)

    def decrypt(self, x: Cipher) -> ndarray:
        """`[slots]` complex numbers."""
        return self._decrypt(x.data)

    # -- what a library does --------------------------------------------------------------------------------------

    @abstractmethod
    def _encode(self, values: Vector, level: int, scale: float) -> Any: ...
    @abstractmethod
    def _constant(self, value: complex, level: int, scale: float) -> Any: ...
    @abstractmethod
    def _rotate(self, x: Any, step: int) -> Any: ...
    @abstractmethod
    def _conjugate(self, x: Any) -> Any: ...
    @abstractmethod
    def _mul_plain(self, x: Any, p: Any) -> Any: ...
    @abstractmethod
    def _mul(self, x: Any, y: Any) -> Any: ...
    @abstractmethod
    def _relinearise(self, x: Any) -> Any: ...
    @abstractmethod
    def _rescale(self, x: Any, scale: float) -> Any: ...
    @abstractmethod
    def _drop(self, x: Any, now: int, level: int) -> Any: ...
    @abstractmethod
    def _relabel(self, x: Any, scale: float) -> Any: ...
    @abstractmethod
    def _add(self, x: Any, y: Any) -> Any: ...
    @abstractmethod
    def _subtract(self, x: Any, y: Any) -> Any: ...
    @abstractmethod
    def _add_into(self, total: Any, x: Any) -> Any: ...
    @abstractmethod
    def _add_plain(self, x: Any, p: Any) -> Any: ...
    @abstractmethod
    def _negate(self, x: Any) -> Any: ...
    @abstractmethod
    def _encrypt(self, values: ndarray) -> Any: ...
    @abstractmethod
    def _decrypt(self, x: Any) -> ndarray: ...
    @abstractmethod
    def save(self, x: Cipher, path: Path) -> None:
        """Write the library's bytes of a ciphertext, level and scale apart."""

    @abstractmethod
    def load(self, path: Path, level: int, scale: float) -> Cipher:
        """Read what `save` wrote.

        Raises:
            MissingRequirement: the file holds no ciphertext of these parameters, or one of another level or scale.
        """

    @abstractmethod
    def save_keys(self, folder: Path) -> None:
        """Write public, relinearisation and rotation keys; never the secret one."""
