"""One block of neurons of the reversible node at a time, forwards through all T steps, in numba.

The numbers are those of `reference.step`. `scalars` is laid out by `cpu._scalars`; modes are 0 paper, 1 bits, 2 anchor,
3 exact.
"""

from __future__ import annotations

import numba
import numpy as np

from effml.kernels.spiking.cpu_blocks import gather, pack, scatter


def _forward(x, start, y, u, bits, anchors, largest, scalars, half, block, mode, anchor_every):
    keep, k, threshold, alpha, beta = scalars[0], scalars[1], scalars[2], scalars[3], scalars[4]
    grid, fine, zero, point5, one, two = scalars[6], scalars[7], scalars[8], scalars[9], scalars[10], scalars[11]
    half_grid = grid * point5
    steps, pairs = x.shape[0], x.shape[1] // 2
    for b in numba.prange((pairs + block - 1) // block):
        first, last = b * block, min(pairs, (b + 1) * block)
        v1, v2 = np.zeros(block, x.dtype), np.zeros(block, x.dtype)
        flag1, flag2 = np.zeros(block, np.uint8), np.zeros(block, np.uint8)
        if start.size:
            gather(start, v1, v2, first, last, half)
            if mode == 3:
                for i in range(block):
                    v1[i] = np.floor(v1[i] * grid + point5) * fine
                    v2[i] = np.floor(v2[i] * grid + point5) * fine
        top = zero
        for t in range(steps):
            p = first
            while p < last:  # one run: pairs that lie in one row, hence side by side
                row = p // half
                a, i0, n = p + row * half, p - first, min((row + 1) * half, last) - p
                c = a + half
                if mode != 3:
                    for i in range(n):
                        x1, x2, w1, w2 = x[t, a + i], x[t, c + i], v1[i0 + i], v2[i0 + i]
                        m1 = keep * w1 + k * x1
                        fired1 = m1 >= threshold
                        y1 = beta * x2
                        y1 = (y1 + one) if fired1 else y1
                        u1 = (zero if fired1 else m1) + alpha * w2
                        m2 = keep * u1 + k * y1
                        fired2 = m2 >= threshold
                        y2 = beta * x1
                        y2 = (y2 + one) if fired2 else y2
                        y[t, a + i], y[t, c + i] = y1, y2
                        v1[i0 + i] = u1
                        v2[i0 + i] = (zero if fired2 else m2) + alpha * w1
                        flag1[i0 + i], flag2[i0 + i] = fired1, fired2
                else:
                    for i in range(n):
                        w1, w2 = v1[i0 + i], v2[i0 + i]
                        x1 = np.floor(x[t, a + i] * grid + point5) * fine
                        x2 = np.floor(x[t, c + i] * grid + point5) * fine
                        m1 = np.floor((keep * w1 + k * x1) * grid) * fine
                        fired1 = m1 >= threshold
                        y1 = (one if fired1 else zero) + beta * x2
                        half1, half2 = np.floor(w1 * half_grid), np.floor(w2 * half_grid)
                        u1 = (zero if fired1 else m1) + half2 * fine
                        m2 = np.floor((keep * u1 + k * y1) * grid) * fine
                        fired2 = m2 >= threshold
                        u2 = (zero if fired2 else m2) + half1 * fine
                        y[t, a + i] = y1
                        y[t, c + i] = (one if fired2 else zero) + beta * x1
                        v1[i0 + i], v2[i0 + i] = u1, u2
                        flag1[i0 + i] = w1 * grid - two * half1 != zero
                        flag2[i0 + i] = w2 * grid - two * half2 != zero
                        top = max(top, abs(u1), abs(u2))
                if mode == 2 and (t + 1) % anchor_every == 0 and t + 1 < steps:
                    for i in range(n):
                        anchors[t // anchor_every, a + i] = v1[i0 + i]
                        anchors[t // anchor_every, c + i] = v2[i0 + i]
                p += n
            if mode == 1 or mode == 3:
                pack(flag1, bits[t, 0], first, last)
                pack(flag2, bits[t, 1], first, last)
        largest[b] = top
        scatter(v1, v2, u, first, last, half)


parallel = numba.njit(parallel=True, cache=True)(_forward)
serial = numba.njit(cache=True)(_forward)
