"""The reversible spiking node in plain torch: its equations, their inverse, and the two swept backwards in one pass.

A reconstruction of the node of "Towards Zero Memory Footprint Spiking Neural Network Training" (arXiv 2308.08649),
consistent with what the abstract and the public reviews tell of equations 1-6; k = 1/tau, H(0) = 1:

    M1 = (1-k) V1 + k X1    S1 = H(M1 - threshold)    Y1 = S1 + beta X2    U1 = (1 - S1) M1 + alpha V2
    M2 = (1-k) U1 + k Y1    S2 = H(M2 - threshold)    Y2 = S2 + beta X1    U2 = (1 - S2) M2 + alpha V1

U is the next step's V. Tensors are [T, rows, 2, half]: the two groups lie along axis 2. Every product and sum is
rounded on its own, in this order (no `lerp`, no fused multiply-add), so that M comes out of the inverse as it went in.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from effml.kernels.spiking.bits import pack_bits, unpack_bits
from effml.kernels.spiking.rule import GRID, Rule

Half = Float[Tensor, "rows half"]


class Recovered(NamedTuple):
    """What one step's backward needs, for both groups; `s` is bool."""

    m1: Half
    m2: Half
    s1: Tensor
    s2: Tensor
    x1: Half
    x2: Half
    v1: Half
    v2: Half


def step(x1: Half, x2: Half, v1: Half, v2: Half, alpha: Tensor, beta: Tensor, rule: Rule) -> tuple:
    """One time step: y1, y2, u1, u2, s1, s2."""
    m1 = _membrane(v1, x1, rule)
    s1 = m1 >= rule.threshold
    y1 = s1 + beta * x2
    u1 = m1.masked_fill(s1, 0) + _coupled(v2, alpha, rule)
    m2 = _membrane(u1, y1, rule)
    s2 = m2 >= rule.threshold
    y2 = s2 + beta * x1
    u2 = m2.masked_fill(s2, 0) + _coupled(v1, alpha, rule)
    return y1, y2, u1, u2, s1, s2


def inverse(y1: Half, y2: Half, u1: Half, u2: Half, alpha: Tensor, beta: Tensor, rule: Rule, lost=None) -> Recovered:
    """What went into `step`, from what came out; `lost` [2, rows, half] are the shifted-out bits of mode `exact`."""
    m2 = _membrane(u1, y1, rule)
    s2 = m2 >= rule.threshold
    x1 = (y2 - s2.to(y2.dtype)) / beta
    v1 = _decoupled(u2 - m2.masked_fill(s2, 0), alpha, None if lost is None else lost[0])
    m1 = _membrane(v1, x1, rule)
    s1 = m1 >= rule.threshold
    x2 = (y1 - s1.to(y1.dtype)) / beta
    v2 = _decoupled(u1 - m1.masked_fill(s1, 0), alpha, None if lost is None else lost[1])
    return Recovered(m1, m2, s1, s2, x1, x2, v1, v2)


def forward(
    x: Float[Tensor, "T rows 2 half"], v: Float[Tensor, "rows 2 half"] | None, alpha: Tensor, beta: Tensor, rule: Rule
) -> tuple[Tensor, Tensor, UInt8[Tensor, "T 2 bytes"], Float[Tensor, "anchors rows 2 half"], Tensor]:
    """Y, the last U, packed bits (spikes in `bits`, lost bits in `exact`), anchors, and the largest |U| (`exact`)."""
    if rule.mode == "exact":
        x = torch.floor(x * GRID + 0.5) / GRID
        v = None if v is None else torch.floor(v * GRID + 0.5) / GRID
    v1, v2 = (torch.zeros_like(x[0, :, 0]),) * 2 if v is None else (v[:, 0], v[:, 1])
    y, bits, anchors, largest = torch.empty_like(x), [], [], x.new_zeros(1)
    for t, (x1, x2) in enumerate(zip(x[:, :, 0], x[:, :, 1], strict=True)):
        y1, y2, u1, u2, s1, s2 = step(x1, x2, v1, v2, alpha, beta, rule)
        y[t, :, 0], y[t, :, 1] = y1, y2
        if rule.mode == "bits":
            bits.append(torch.stack((s1.flatten(), s2.flatten())))
        elif rule.mode == "exact":
            bits.append(torch.stack((v1.flatten(), v2.flatten())) * GRID % 2 == 1)
            largest = torch.cat((largest, u1.abs().flatten(), u2.abs().flatten())).max(0, keepdim=True).values
        elif rule.mode == "anchor" and rule.is_anchor(t, len(x)):
            anchors.append(torch.stack((u1, u2), 1))
        v1, v2 = u1, u2
    packed = pack_bits(torch.stack(bits)) if bits else x.new_empty(0, dtype=torch.uint8)
    kept = torch.stack(anchors) if anchors else x.new_empty(0, *x.shape[1:])
    return y, torch.stack((v1, v2), 1), packed, kept, largest


def backward(
    y: Float[Tensor, "T rows 2 half"],
    u: Float[Tensor, "rows 2 half"],
    v: Float[Tensor, "rows 2 half"] | None,
    bits: UInt8[Tensor, "T 2 bytes"],
    anchors: Float[Tensor, "anchors rows 2 half"],
    grad_y: Float[Tensor, "T rows 2 half"],
    grad_u: Float[Tensor, "rows 2 half"] | None,
    alpha: Tensor,
    beta: Tensor,
    rule: Rule,
    coupling: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of X, of V at the start, and [2] of alpha and beta (0 unless `coupling`), in one sweep."""
    grad_x = torch.empty_like(y)
    zero = torch.zeros_like(y[0, :, 0])
    d1, d2 = (zero, zero) if grad_u is None else (grad_u[:, 0], grad_u[:, 1])
    of_couplings = y.new_zeros(2)
    keep = 1 - rule.k
    for t, step_ in recovered_steps(y, u, v, bits, anchors, alpha, beta, rule):
        m1, m2, s1, s2, x1, x2, v1, v2 = step_
        g1, g2 = grad_y[t, :, 0], grad_y[t, :, 1]
        slope2 = rule.surrogate.derivative(m2 - rule.threshold)
        to_s2 = g2 if rule.detach_reset else g2 - d2 * m2
        dm2 = d2.masked_fill(s2, 0) + to_s2 * slope2
        e = d1 + keep * dm2
        f = g1 + rule.k * dm2
        slope1 = rule.surrogate.derivative(m1 - rule.threshold)
        to_s1 = f if rule.detach_reset else f - e * m1
        dm1 = e.masked_fill(s1, 0) + to_s1 * slope1
        torch.add(beta * g2, rule.k * dm1, out=grad_x[t, :, 0])  # straight to their places: no copies
        torch.mul(f, beta, out=grad_x[t, :, 1])
        if coupling:
            of_couplings += torch.stack(((e * v2 + d2 * v1).sum(), (f * x2 + g2 * x1).sum()))
        d1, d2 = alpha * d2 + keep * dm1, alpha * e
    return grad_x, torch.stack((d1, d2), 1), of_couplings


def recovered_steps(y, u, v, bits, anchors, alpha, beta, rule: Rule):
    """Yield (t, Recovered) from the last step to the first, the way the rule's mode recovers them."""
    steps, rows, _, half = y.shape
    if rule.mode == "bits":
        spikes = unpack_bits(bits, rows * half).view(steps, 2, rows, half)
        states = [(torch.zeros_like(y[0, :, 0]),) * 2 if v is None else (v[:, 0], v[:, 1])]
        for t in range(steps - 1):
            states.append(_replayed(y[t], spikes[t], states[t], alpha, beta, rule)[1])
        for t in reversed(range(steps)):
            yield t, _replayed(y[t], spikes[t], states[t], alpha, beta, rule)[0]
        return
    u1, u2 = u[:, 0], u[:, 1]
    lost = unpack_bits(bits, rows * half).view(steps, 2, rows, half) if rule.mode == "exact" else None
    for t in reversed(range(steps)):
        if rule.mode == "anchor" and rule.is_anchor(t, steps):
            u1, u2 = anchors[(t + 1) // rule.anchor_every - 1].unbind(1)
        back = inverse(y[t, :, 0], y[t, :, 1], u1, u2, alpha, beta, rule, None if lost is None else lost[t])
        yield t, back
        u1, u2 = back.v1, back.v2


def _replayed(y: Tensor, spikes: Tensor, v: tuple[Half, Half], alpha: Tensor, beta: Tensor, rule: Rule):
    """Run one step forwards again from its V, its Y and its stored spikes: nothing is divided by alpha."""
    (s1, s2), (v1, v2) = spikes, v
    x1, x2 = (y[:, 1] - s2.to(y.dtype)) / beta, (y[:, 0] - s1.to(y.dtype)) / beta
    m1 = _membrane(v1, x1, rule)
    u1 = m1.masked_fill(s1, 0) + alpha * v2
    m2 = _membrane(u1, y[:, 0], rule)
    u2 = m2.masked_fill(s2, 0) + alpha * v1
    return Recovered(m1, m2, s1, s2, x1, x2, v1, v2), (u1, u2)


def _membrane(v: Half, x: Half, rule: Rule) -> Half:
    m = (1 - rule.k) * v + rule.k * x
    return torch.floor(m * GRID) / GRID if rule.mode == "exact" else m


def _coupled(v: Half, alpha: Tensor, rule: Rule) -> Half:
    """alpha V; in mode `exact`, where alpha is 1/2, V shifted right by one place of the grid."""
    return torch.floor(v * (GRID / 2)) / GRID if rule.mode == "exact" else alpha * v


def _decoupled(coupled: Half, alpha: Tensor, lost: Tensor | None) -> Half:
    return coupled / alpha if lost is None else coupled * 2 + lost.to(coupled.dtype) / GRID
