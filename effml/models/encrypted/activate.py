"""Quadratic activations on ciphertexts: one product a node, one relinearisation a ciphertext.

With two nodes in one ciphertext, y = a + i b, the parts are had from the conjugate: y + conj(y) = 2 a, y - conj(y) = 2 i b.
Products of each part with itself are added before one relinearisation, the second multiplied by -i, a monomial, first. The
factor 4 is taken back by reading the result at four times the scale. Both ways switch keys as often as a ciphertext has nodes.
"""

from __future__ import annotations

import math

from effml.models.encrypted.backend import Cipher, CkksBackend
from effml.models.encrypted.fold import Quadratic
from effml.models.encrypted.layout import Layout, Pair


def scale_before(backend: CkksBackend, level: int, pair: Pair) -> float:
    """The scale at which a ciphertext at `level` has to arrive, for the parameters' scale to come out."""
    parts = 1.0 if pair[1] is None else 4.0
    return math.sqrt(backend.parameters.scale * backend.primes[level] / parts)


def activate(backend: CkksBackend, layout: Layout, act: Quadratic, pair: Pair, y: Cipher) -> Cipher:
    """sign * y (y + gap) + offset for the nodes of a pair, one level down, at the parameters' scale."""
    real, imaginary = pair
    target = backend.parameters.scale
    if imaginary is None:
        shifted = backend.add_plain(y, backend.constant(float(act.gap[real]), y.level, y.scale))
        product = backend.mul(y, shifted)
        if act.sign[real] < 0:
            product = backend.negate(product)
        out = backend.rescale(backend.relinearise(product), target)
        offset: complex = float(act.offset[real])
    else:
        mirrored = backend.conjugate(y)
        twice_real, twice_imaginary = backend.add(y, mirrored), backend.subtract(y, mirrored)
        gap = 2 * float(act.gap[real])
        left = backend.add_plain(twice_real, backend.constant(gap, y.level, y.scale))
        if act.sign[real] < 0:
            left = backend.negate(left)
        gap = 2 * float(act.gap[imaginary])
        right = backend.add_plain(twice_imaginary, backend.encode(layout.constant(1j * gap), y.level, y.scale))
        turn = backend.encode(layout.constant(-1j * float(act.sign[imaginary])), y.level, 1.0)
        product = backend.mul(twice_real, left)
        product = backend.accumulate(product, backend.mul(twice_imaginary, backend.mul_plain(right, turn)))
        # Read at 4 times the scale, values shrink by the 4 that the doubled parts brought.
        out = backend.relabel(backend.rescale(backend.relinearise(product)), target)
        offset = complex(act.offset[real], act.offset[imaginary])
    if offset:
        out = backend.add_plain(out, backend.encode(layout.constant(offset), out.level, out.scale))
    return out
