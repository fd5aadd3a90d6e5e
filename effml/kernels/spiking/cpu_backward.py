"""One block of neurons of the reversible node at a time, backwards: recover the membranes, then sweep the adjoint.

The numbers are those of `reference.backward`. `scalars` is laid out by `cpu._scalars`; modes are 0 paper, 1 bits,
2 anchor, 3 exact.
"""

from __future__ import annotations

import numba
import numpy as np

from effml.kernels.spiking.cpu_blocks import gather, scatter, surrogate_slope, unpack


def _backward(
    y, u, start, bits, anchors, grad_y, grad_u, grad_x, grad_v, sums, scalars, half, block, mode, anchor_every, code,
    detached, coupling,
):  # fmt: skip
    keep, k, threshold, alpha, beta = scalars[0], scalars[1], scalars[2], scalars[3], scalars[4]
    steepness, zero, one = scalars[5], scalars[8], scalars[10]
    steps, pairs = y.shape[0], y.shape[1] // 2
    for b in numba.prange((pairs + block - 1) // block):
        first, last = b * block, min(pairs, (b + 1) * block)
        m1, m2 = np.zeros((steps, block), y.dtype), np.zeros((steps, block), y.dtype)
        s1, s2 = np.zeros((steps, block), np.uint8), np.zeros((steps, block), np.uint8)
        # States and inputs are needed only for the gradients of alpha and beta.
        kept = steps if coupling else 0
        past1, past2 = np.zeros((kept, block), y.dtype), np.zeros((kept, block), y.dtype)
        w1, w2 = np.zeros(block, y.dtype), np.zeros(block, y.dtype)
        if mode == 1:
            if start.size:
                gather(start, w1, w2, first, last, half)
            _replay(y, bits, m1, m2, s1, s2, past1, past2, w1, w2, scalars, half, first, last)
        else:
            gather(u, w1, w2, first, last, half)
            _invert(
                y, bits, anchors, m1, m2, s1, s2, past1, past2, w1, w2, scalars, half, first, last, mode, anchor_every
            )
        d1, d2 = np.zeros(block, y.dtype), np.zeros(block, y.dtype)
        if grad_u.size:
            gather(grad_u, d1, d2, first, last, half)
        slope1, slope2 = np.zeros(block, y.dtype), np.zeros(block, y.dtype)
        reset = zero if detached else one
        of_alpha, of_beta = 0.0, 0.0
        for t in range(steps - 1, -1, -1):
            surrogate_slope(code, threshold, steepness, m1[t], slope1, last - first)
            surrogate_slope(code, threshold, steepness, m2[t], slope2, last - first)
            p = first
            while p < last:
                row = p // half
                a, i0, n = p + row * half, p - first, min((row + 1) * half, last) - p
                c = a + half
                if coupling:
                    for i in range(n):
                        e, f = _adjoint_first(
                            grad_y[t, a + i], grad_y[t, c + i], d1[i0 + i], d2[i0 + i], m2[t, i0 + i], s2[t, i0 + i],
                            slope2[i0 + i], reset, keep, k, zero,
                        )  # fmt: skip
                        x1 = (y[t, c + i] - (one if s2[t, i0 + i] else zero)) / beta
                        x2 = (y[t, a + i] - (one if s1[t, i0 + i] else zero)) / beta
                        of_alpha += e * past2[t, i0 + i] + d2[i0 + i] * past1[t, i0 + i]
                        of_beta += f * x2 + grad_y[t, c + i] * x1
                for i in range(n):
                    g2, dead2 = grad_y[t, c + i], d2[i0 + i]
                    e, f = _adjoint_first(
                        grad_y[t, a + i], g2, d1[i0 + i], dead2, m2[t, i0 + i], s2[t, i0 + i], slope2[i0 + i], reset,
                        keep, k, zero,
                    )  # fmt: skip
                    to_s1 = f - reset * (e * m1[t, i0 + i])
                    dm1 = (zero if s1[t, i0 + i] else e) + to_s1 * slope1[i0 + i]
                    grad_x[t, a + i] = beta * g2 + k * dm1
                    grad_x[t, c + i] = beta * f
                    d1[i0 + i] = alpha * dead2 + keep * dm1
                    d2[i0 + i] = alpha * e
                p += n
        sums[b, 0], sums[b, 1] = of_alpha, of_beta
        scatter(d1, d2, grad_v, first, last, half)


@numba.njit(inline="always")
def _adjoint_first(g1, g2, d1, d2, m2, s2, slope2, reset, keep, k, zero):
    """The gradients e of U1 and f of Y1 once the second half of the step has sent its share."""
    dm2 = (zero if s2 else d2) + (g2 - reset * (d2 * m2)) * slope2
    return d1 + keep * dm2, g1 + k * dm2


@numba.njit
def _replay(y, bits, m1, m2, s1, s2, past1, past2, w1, w2, scalars, half, first, last):
    """Mode bits: from V at the start forwards, with the stored spikes."""
    keep, k, alpha, beta, zero, one = scalars[0], scalars[1], scalars[3], scalars[4], scalars[8], scalars[10]
    for t in range(y.shape[0]):
        unpack(bits[t, 0], s1[t], first, last)
        unpack(bits[t, 1], s2[t], first, last)
        if past1.size:
            past1[t], past2[t] = w1, w2
        p = first
        while p < last:
            row = p // half
            a, i0, n = p + row * half, p - first, min((row + 1) * half, last) - p
            c = a + half
            for i in range(n):
                old1, old2, y1 = w1[i0 + i], w2[i0 + i], y[t, a + i]
                x1 = (y[t, c + i] - (one if s2[t, i0 + i] else zero)) / beta
                a1 = keep * old1 + k * x1
                u1 = (zero if s1[t, i0 + i] else a1) + alpha * old2
                a2 = keep * u1 + k * y1
                m1[t, i0 + i], m2[t, i0 + i] = a1, a2
                w1[i0 + i] = u1
                w2[i0 + i] = (zero if s2[t, i0 + i] else a2) + alpha * old1
            p += n


@numba.njit
def _invert(y, bits, anchors, m1, m2, s1, s2, past1, past2, w1, w2, scalars, half, first, last, mode, anchor_every):
    """Modes paper, anchor and exact: from the last U backwards."""
    keep, k, threshold, alpha, beta = scalars[0], scalars[1], scalars[2], scalars[3], scalars[4]
    grid, fine, zero, one, two = scalars[6], scalars[7], scalars[8], scalars[10], scalars[11]
    steps = y.shape[0]
    lost1, lost2 = np.zeros(w1.size, np.uint8), np.zeros(w1.size, np.uint8)
    for t in range(steps - 1, -1, -1):
        if mode == 2 and (t + 1) % anchor_every == 0 and t + 1 < steps:
            gather(anchors[t // anchor_every], w1, w2, first, last, half)
        if mode == 3:
            unpack(bits[t, 0], lost1, first, last)
            unpack(bits[t, 1], lost2, first, last)
        p = first
        while p < last:
            row = p // half
            a, i0, n = p + row * half, p - first, min((row + 1) * half, last) - p
            c = a + half
            if mode != 3:
                for i in range(n):
                    u1, y1 = w1[i0 + i], y[t, a + i]
                    a2 = keep * u1 + k * y1
                    fired2 = a2 >= threshold
                    x1 = (y[t, c + i] - (one if fired2 else zero)) / beta
                    v1 = (w2[i0 + i] - (zero if fired2 else a2)) / alpha
                    a1 = keep * v1 + k * x1
                    fired1 = a1 >= threshold
                    m1[t, i0 + i], m2[t, i0 + i] = a1, a2
                    s1[t, i0 + i], s2[t, i0 + i] = fired1, fired2
                    w1[i0 + i] = v1
                    w2[i0 + i] = (u1 - (zero if fired1 else a1)) / alpha
            else:
                for i in range(n):
                    u1, y1 = w1[i0 + i], y[t, a + i]
                    a2 = np.floor((keep * u1 + k * y1) * grid) * fine
                    fired2 = a2 >= threshold
                    x1 = (y[t, c + i] - (one if fired2 else zero)) / beta
                    v1 = (w2[i0 + i] - (zero if fired2 else a2)) * two + (fine if lost1[i0 + i] else zero)
                    a1 = np.floor((keep * v1 + k * x1) * grid) * fine
                    fired1 = a1 >= threshold
                    m1[t, i0 + i], m2[t, i0 + i] = a1, a2
                    s1[t, i0 + i], s2[t, i0 + i] = fired1, fired2
                    w1[i0 + i] = v1
                    w2[i0 + i] = (u1 - (zero if fired1 else a1)) * two + (fine if lost2[i0 + i] else zero)
            p += n
        if past1.size:
            past1[t], past2[t] = w1, w2


parallel = numba.njit(parallel=True, cache=True)(_backward)
serial = numba.njit(cache=True)(_backward)
