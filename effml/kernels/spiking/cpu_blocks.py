"""What the numba kernels of spiking neurons share: a block's state and flags in and out, and the surrogates.

Block `first:last` counts pairs; pair `p` lies at `p + p // half * half` of one step of [rows, 2, half], its partner
`half` further on. `first` is a multiple of 8.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit
def gather(state, one, two, first, last, half):
    for p in range(first, last):
        place = p + p // half * half
        one[p - first], two[p - first] = state[place], state[place + half]


@numba.njit
def scatter(one, two, state, first, last, half):
    for p in range(first, last):
        place = p + p // half * half
        state[place], state[place + half] = one[p - first], two[p - first]


@numba.njit
def pack(flags, out, first, last):
    """Flags beyond `last` must be 0."""
    for byte in range((last - first + 7) // 8):
        value = np.uint8(0)
        for place in range(8):
            value |= np.uint8(flags[8 * byte + place] << np.uint8(place))
        out[first // 8 + byte] = value


@numba.njit
def unpack(packed, flags, first, last):
    for byte in range((last - first + 7) // 8):
        value = packed[first // 8 + byte]
        for place in range(8):
            flags[8 * byte + place] = (value >> np.uint8(place)) & np.uint8(1)


@numba.njit
def surrogate_slope(code, threshold, s, m, out, n):
    """Surrogate derivative at `m - threshold`; codes as in `surrogate.CODES`. `threshold` and `s` have m's dtype."""
    zero, one = m.dtype.type(0), m.dtype.type(1)
    if code == 0:
        scale, half_s = m.dtype.type(np.pi / 2) * s, s / (one + one)
        for i in range(n):
            scaled = (m[i] - threshold) * scale
            out[i] = half_s / (scaled * scaled + one)
    elif code == 1:
        for i in range(n):
            grown = abs(m[i] - threshold) * s + one
            out[i] = one / (grown * grown)
    elif code == 2:
        for i in range(n):
            falling = np.exp(-abs(m[i] - threshold) * s)
            out[i] = falling * s / ((falling + one) * (falling + one))
    else:
        for i in range(n):
            out[i] = max(one - abs(m[i] - threshold) * s, zero) * s
