"""Two back ends without encryption: one computes on numpy vectors with the same slots, the other only counts.

The simulator is the oracle of the packing: `numpy.roll` for rotations, exact products, the same levels and scales. The
counter tells what a network would cost, and which keys it needs, before anything is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from effml.models.encrypted.backend import Cipher, CkksBackend, Vector
from effml.models.encrypted.parameters import Parameters


def _nominal(parameters: Parameters) -> list[float]:
    return [2.0**bits for bits in parameters.bits[:-1]]


class Simulator(CkksBackend):
    """Plain complex128 vectors. A value is what a decryption would give, so relabelling a scale multiplies."""

    name = "simulator"

    def __init__(self, parameters: Parameters, steps: Iterable[int] = ()) -> None:
        super().__init__(parameters, _nominal(parameters), steps)

    # Data are (values, scale): the product with the scale is what a library's ciphertext holds.

    def _encode(self, values: Vector, level: int, scale: float) -> ndarray:
        return np.asarray(values.slots())

    def _constant(self, value: complex, level: int, scale: float) -> complex:
        return value

    def _rotate(self, x: ndarray, step: int) -> ndarray:
        return np.roll(x, -step)

    def _conjugate(self, x: ndarray) -> ndarray:
        return np.conj(x)

    def _mul_plain(self, x: ndarray, p: Any) -> ndarray:
        return x * p

    def _mul(self, x: ndarray, y: ndarray) -> ndarray:
        return x * y

    def _relinearise(self, x: ndarray) -> ndarray:
        return x

    def _rescale(self, x: ndarray, scale: float) -> ndarray:
        return x

    def _drop(self, x: ndarray, now: int, level: int) -> ndarray:
        return x

    def relabel(self, x: Cipher, scale: float) -> Cipher:
        return Cipher(x.data * (x.scale / scale), x.level, scale)

    def _relabel(self, x: ndarray, scale: float) -> ndarray:
        return x

    def _add(self, x: ndarray, y: ndarray) -> ndarray:
        return x + y

    def _subtract(self, x: ndarray, y: ndarray) -> ndarray:
        return x - y

    def _add_into(self, total: ndarray, x: ndarray) -> ndarray:
        return total + x

    def _add_plain(self, x: ndarray, p: Any) -> ndarray:
        return x + p

    def _negate(self, x: ndarray) -> ndarray:
        return -x

    def _encrypt(self, values: ndarray) -> ndarray:
        return values.astype(complex)

    def _decrypt(self, x: ndarray) -> ndarray:
        return x

    def save(self, x: Cipher, path: Path) -> None:
        with open(path, "wb") as stream:
            np.save(stream, x.data)

    def load(self, path: Path, level: int, scale: float) -> Cipher:
        return Cipher(np.load(path, allow_pickle=False), level, scale)

    def save_keys(self, folder: Path) -> None:
        return


class Counter(Simulator):
    """Does nothing and counts it; every rotation is allowed, and noted in `wanted`."""

    name = "counter"

    def __init__(self, parameters: Parameters, conjugates: bool = True) -> None:
        super().__init__(parameters)
        self.conjugates = conjugates
        self.wanted: set[int] = set()

    def rotate(self, x: Cipher, step: int) -> Cipher:
        self.wanted.add(step)
        self.ledger.note("rotate", x.level)
        return x

    def relabel(self, x: Cipher, scale: float) -> Cipher:
        return Cipher(None, x.level, scale)

    def _nothing(self, *_: Any, **__: Any) -> Any:
        return None

    if not TYPE_CHECKING:
        _encode = _constant = _rotate = _conjugate = _mul_plain = _mul = _relinearise = _rescale = _drop = _nothing
        _relabel = _add = _subtract = _add_into = _add_plain = _negate = _encrypt = _decrypt = _nothing
        save = load = save_keys = _nothing

    def fresh(self) -> Cipher:
        """A ciphertext as a client would send it."""
        return Cipher(None, self.parameters.levels, self.parameters.scale)
