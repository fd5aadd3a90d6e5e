"""The reversible spiking node in Triton: one program for all T steps of a block of neurons, its state in registers.

X is read once and Y written once, with the spikes packed eight to a byte; the backward reads Y, the bits and dY and
writes dX. Mode `bits` replays forwards, so its backward keeps the states at segment borders and then those of one
segment in scratch: 2 sqrt(T) states in all, freed when it returns. Multiply-adds are not fused (`enable_fp_fusion`) and
division is rounded, so that the membranes of the inverse are those of the forward, as in `reference.py`.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from effml.kernels.spiking.bits import packed_width
from effml.kernels.spiking.rule import Rule

_MODE = {"paper": 0, "bits": 1, "anchor": 2, "exact": 3}
FORWARD_BLOCK, BACKWARD_BLOCK = 512, 256  # pairs in one program; the backward holds twice the values in registers
WARPS = 4


def forward(x: Tensor, v: Tensor | None, alpha: Tensor, beta: Tensor, rule: Rule) -> tuple[Tensor, ...]:
    """As `reference.forward`."""
    steps, rows, _, half = x.shape
    pairs = rows * half
    y, u = torch.empty_like(x), torch.empty_like(x[0])
    kept_bits = rule.mode in ("bits", "exact")
    bits = x.new_empty((steps, 2, packed_width(pairs)) if kept_bits else (0, 2, 0), dtype=torch.uint8)
    anchors = x.new_empty((rule.anchors(steps) if rule.mode == "anchor" else 0, rows, 2, half))
    programs = triton.cdiv(pairs, FORWARD_BLOCK)
    largest = x.new_zeros(programs)
    if pairs:
        forward_kernel[(programs,)](
            x, v if v is not None else x, y, u, bits, anchors, largest, alpha, beta, steps, pairs, half,
            packed_width(pairs), K=rule.k, THRESHOLD=rule.threshold, MODE=_MODE[rule.mode], HAS_STATE=v is not None,
            ANCHOR_EVERY=rule.anchor_every, BLOCK=FORWARD_BLOCK, num_warps=WARPS, enable_fp_fusion=False,
        )  # fmt: skip
    return y, u, bits, anchors, largest


def backward(
    y: Tensor, u: Tensor, v: Tensor | None, bits: Tensor, anchors: Tensor, grad_y: Tensor, grad_u: Tensor | None,
    alpha: Tensor, beta: Tensor, rule: Rule, coupling: bool = True,
) -> tuple[Tensor, ...]:  # fmt: skip
    """As `reference.backward`."""
    steps, rows, _, half = y.shape
    pairs = rows * half
    grad_x, grad_v = torch.empty_like(y), torch.empty_like(u)
    segment = math.isqrt(steps - 1) + 1  # ceil(sqrt(T))
    states = y.new_empty((triton.cdiv(steps, segment) + segment if rule.mode == "bits" else 0, 2, pairs))
    programs = triton.cdiv(pairs, BACKWARD_BLOCK)
    sums = y.new_zeros(programs, 2)
    if pairs:
        backward_kernel[(programs,)](
            y, u, v if v is not None else y, bits, anchors, grad_y, grad_u if grad_u is not None else y, grad_x, grad_v,
            states, sums, alpha, beta, steps, pairs, half, packed_width(pairs), segment, K=rule.k,
            THRESHOLD=rule.threshold, SLOPE=rule.surrogate.slope, SURROGATE=rule.surrogate.code,
            DETACHED=rule.detach_reset, MODE=_MODE[rule.mode], HAS_STATE=v is not None, HAS_GRAD_U=grad_u is not None,
            COUPLING=coupling, ANCHOR_EVERY=rule.anchor_every, BLOCK=BACKWARD_BLOCK, num_warps=WARPS,
            enable_fp_fusion=False,
        )  # fmt: skip
    return grad_x, grad_v, sums.sum(0)


@triton.jit
def membrane(v, x, K: tl.constexpr, MODE: tl.constexpr):
    m = (1 - K) * v + K * x
    if MODE == 3:
        m = tl.floor(m * 65536.0) * (1.0 / 65536.0)
    return m


@triton.jit
def pack(flags):
    """Bits of [BLOCK / 8, 8] flags: one byte a row."""
    return tl.sum(flags.to(tl.int32) << tl.arange(0, 8)[None, :], axis=1).to(tl.uint8)


@triton.jit
def unpack(bytes_):
    return ((bytes_.to(tl.int32)[:, None] >> tl.arange(0, 8)[None, :]) & 1) != 0


@triton.jit
def surrogate_derivative(x, SLOPE: tl.constexpr, SURROGATE: tl.constexpr):
    if SURROGATE == 0:
        scaled = x * (1.5707963267948966 * SLOPE)
        return (SLOPE / 2) / (scaled * scaled + 1)
    elif SURROGATE == 1:
        grown = tl.abs(x) * SLOPE + 1
        return 1 / (grown * grown)
    elif SURROGATE == 2:
        falling = tl.exp(-tl.abs(x) * SLOPE)
        return falling * SLOPE / ((falling + 1) * (falling + 1))
    else:
        return tl.maximum(1 - tl.abs(x) * SLOPE, 0.0) * SLOPE


@triton.jit
def divide(a, b):
    """Rounded as the CPU's: Triton's own float32 division is off by up to 2 ulp."""
    if a.dtype == tl.float32:
        return tl.div_rn(a, b)
    else:
        return a / b


@triton.jit
def forward_kernel(
    x_ptr, v_ptr, y_ptr, u_ptr, bits_ptr, anchors_ptr, largest_ptr, alpha_ptr, beta_ptr, steps, pairs, half, width,
    K: tl.constexpr, THRESHOLD: tl.constexpr, MODE: tl.constexpr, HAS_STATE: tl.constexpr, ANCHOR_EVERY: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    p = pid * BLOCK + tl.arange(0, BLOCK // 8)[:, None] * 8 + tl.arange(0, 8)[None, :]
    inside = p < pairs
    first = p + p // half * half  # group 1's place in one step of [rows, 2, half]; its partner lies `half` further
    byte = pid * (BLOCK // 8) + tl.arange(0, BLOCK // 8)
    alpha, beta = tl.load(alpha_ptr), tl.load(beta_ptr)
    if HAS_STATE:
        v1, v2 = tl.load(v_ptr + first, mask=inside, other=0.0), tl.load(v_ptr + first + half, mask=inside, other=0.0)
        if MODE == 3:
            v1, v2 = tl.floor(v1 * 65536.0 + 0.5) * (1.0 / 65536.0), tl.floor(v2 * 65536.0 + 0.5) * (1.0 / 65536.0)
    else:
        v1 = tl.zeros([BLOCK // 8, 8], x_ptr.dtype.element_ty)
        v2 = v1
    largest = tl.zeros([BLOCK // 8, 8], x_ptr.dtype.element_ty)
    stride = (2 * pairs).to(tl.int64)
    for t in range(0, steps):
        at = t * stride
        x1 = tl.load(x_ptr + at + first, mask=inside, other=0.0)
        x2 = tl.load(x_ptr + at + first + half, mask=inside, other=0.0)
        if MODE == 3:
            x1, x2 = tl.floor(x1 * 65536.0 + 0.5) * (1.0 / 65536.0), tl.floor(x2 * 65536.0 + 0.5) * (1.0 / 65536.0)
            half1, half2 = tl.floor(v1 * 32768.0), tl.floor(v2 * 32768.0)
            coupled1, coupled2 = half1 * (1.0 / 65536.0), half2 * (1.0 / 65536.0)
            flag1, flag2 = v1 * 65536.0 != 2 * half1, v2 * 65536.0 != 2 * half2
        else:
            coupled1, coupled2 = alpha * v1, alpha * v2
        m1 = membrane(v1, x1, K, MODE)
        s1 = m1 >= THRESHOLD
        y1 = s1.to(x1.dtype) + beta * x2
        u1 = tl.where(s1, 0.0, m1) + coupled2
        m2 = membrane(u1, y1, K, MODE)
        s2 = m2 >= THRESHOLD
        y2 = s2.to(x1.dtype) + beta * x1
        v1, v2 = u1, tl.where(s2, 0.0, m2) + coupled1
        tl.store(y_ptr + at + first, y1, mask=inside)
        tl.store(y_ptr + at + first + half, y2, mask=inside)
        if MODE == 1:
            flag1, flag2 = s1, s2
        if MODE == 1 or MODE == 3:
            words = bits_ptr + t * (2 * width).to(tl.int64) + byte
            tl.store(words, pack(flag1 & inside), mask=byte < width)
            tl.store(words + width, pack(flag2 & inside), mask=byte < width)
        if MODE == 3:
            largest = tl.maximum(largest, tl.maximum(tl.abs(v1), tl.abs(v2)))
        if MODE == 2:  # noqa: SIM102 - the outer one is decided when compiling
            if ((t + 1) % ANCHOR_EVERY == 0) & (t + 1 < steps):
                at_anchor = anchors_ptr + (t // ANCHOR_EVERY) * stride + first
                tl.store(at_anchor, v1, mask=inside)
                tl.store(at_anchor + half, v2, mask=inside)
    tl.store(u_ptr + first, v1, mask=inside)
    tl.store(u_ptr + first + half, v2, mask=inside)
    if MODE == 3:
        tl.store(largest_ptr + pid, tl.max(tl.max(largest, axis=1), axis=0))


@triton.jit
def replay(v1, v2, y1, y2, s1, s2, alpha, beta, K: tl.constexpr):
    """One step forwards from V, Y and the stored spikes: the next V and the membranes on the way."""
    m1 = membrane(v1, divide(y2 - s2.to(y2.dtype), beta), K, 1)
    u1 = tl.where(s1, 0.0, m1) + alpha * v2
    m2 = membrane(u1, y1, K, 1)
    u2 = tl.where(s2, 0.0, m2) + alpha * v1
    return u1, u2, m1, m2


@triton.jit
def backward_kernel(
    y_ptr, u_ptr, v_ptr, bits_ptr, anchors_ptr, grad_y_ptr, grad_u_ptr, grad_x_ptr, grad_v_ptr, states_ptr, sums_ptr,
    alpha_ptr, beta_ptr, steps, pairs, half, width, segment, K: tl.constexpr, THRESHOLD: tl.constexpr,
    SLOPE: tl.constexpr, SURROGATE: tl.constexpr, DETACHED: tl.constexpr, MODE: tl.constexpr, HAS_STATE: tl.constexpr,
    HAS_GRAD_U: tl.constexpr, COUPLING: tl.constexpr, ANCHOR_EVERY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    p = pid * BLOCK + tl.arange(0, BLOCK // 8)[:, None] * 8 + tl.arange(0, 8)[None, :]
    inside = p < pairs
    first = p + p // half * half
    byte = pid * (BLOCK // 8) + tl.arange(0, BLOCK // 8)
    alpha, beta = tl.load(alpha_ptr), tl.load(beta_ptr)
    stride, bit_stride = (2 * pairs).to(tl.int64), (2 * width).to(tl.int64)
    zero = tl.zeros([BLOCK // 8, 8], y_ptr.dtype.element_ty)
    d1, d2 = zero, zero
    if HAS_GRAD_U:
        d1 = tl.load(grad_u_ptr + first, mask=inside, other=0.0)
        d2 = tl.load(grad_u_ptr + first + half, mask=inside, other=0.0)
    w1, w2 = zero, zero
    segments = tl.cdiv(steps, segment)
    if MODE == 1:
        if HAS_STATE:
            w1 = tl.load(v_ptr + first, mask=inside, other=0.0)
            w2 = tl.load(v_ptr + first + half, mask=inside, other=0.0)
        # V at the start of each segment, in scratch behind the places for one segment's own states.
        for t in range(0, (segments - 1) * segment + 1):
            if t % segment == 0:
                at_border = states_ptr + (segment + t // segment) * stride + p
                tl.store(at_border, w1, mask=inside)
                tl.store(at_border + pairs, w2, mask=inside)
            words = bits_ptr + t * bit_stride + byte
            s1 = unpack(tl.load(words, mask=byte < width, other=0))
            s2 = unpack(tl.load(words + width, mask=byte < width, other=0))
            y1 = tl.load(y_ptr + t * stride + first, mask=inside, other=0.0)
            y2 = tl.load(y_ptr + t * stride + first + half, mask=inside, other=0.0)
            w1, w2, m1, m2 = replay(w1, w2, y1, y2, s1, s2, alpha, beta, K)
        tl.debug_barrier()
    else:
        w1 = tl.load(u_ptr + first, mask=inside, other=0.0)
        w2 = tl.load(u_ptr + first + half, mask=inside, other=0.0)
    of_alpha, of_beta = zero, zero
    for back in range(0, segments):
        begin = (segments - 1 - back) * segment
        end = tl.minimum(begin + segment, steps)
        if MODE == 1:
            at_border = states_ptr + (segment + segments - 1 - back) * stride + p
            w1 = tl.load(at_border, mask=inside, other=0.0)
            w2 = tl.load(at_border + pairs, mask=inside, other=0.0)
            for t in range(begin, end):
                at_state = states_ptr + (t - begin) * stride + p
                tl.store(at_state, w1, mask=inside)
                tl.store(at_state + pairs, w2, mask=inside)
                words = bits_ptr + t * bit_stride + byte
                s1 = unpack(tl.load(words, mask=byte < width, other=0))
                s2 = unpack(tl.load(words + width, mask=byte < width, other=0))
                y1 = tl.load(y_ptr + t * stride + first, mask=inside, other=0.0)
                y2 = tl.load(y_ptr + t * stride + first + half, mask=inside, other=0.0)
                w1, w2, m1, m2 = replay(w1, w2, y1, y2, s1, s2, alpha, beta, K)
            tl.debug_barrier()
        for down in range(0, end - begin):
            t = end - 1 - down
            y1 = tl.load(y_ptr + t * stride + first, mask=inside, other=0.0)
            y2 = tl.load(y_ptr + t * stride + first + half, mask=inside, other=0.0)
            if MODE == 1 or MODE == 3:
                words = bits_ptr + t * bit_stride + byte
                flag1 = unpack(tl.load(words, mask=byte < width, other=0))
                flag2 = unpack(tl.load(words + width, mask=byte < width, other=0))
            if MODE == 1:
                at_state = states_ptr + (t - begin) * stride + p
                w1 = tl.load(at_state, mask=inside, other=0.0)
                w2 = tl.load(at_state + pairs, mask=inside, other=0.0)
                s1, s2 = flag1, flag2
                x1 = divide(y2 - s2.to(y2.dtype), beta)
                u1, _, m1, m2 = replay(w1, w2, y1, y2, s1, s2, alpha, beta, K)
            else:
                if MODE == 2:  # noqa: SIM102
                    if ((t + 1) % ANCHOR_EVERY == 0) & (t + 1 < steps):
                        at_anchor = anchors_ptr + (t // ANCHOR_EVERY) * stride + first
                        w1 = tl.load(at_anchor, mask=inside, other=0.0)
                        w2 = tl.load(at_anchor + half, mask=inside, other=0.0)
                u1 = w1
                m2 = membrane(u1, y1, K, MODE)
                s2 = m2 >= THRESHOLD
                x1 = divide(y2 - s2.to(y2.dtype), beta)
                if MODE == 3:
                    w1 = (w2 - tl.where(s2, 0.0, m2)) * 2 + flag1.to(y1.dtype) * (1.0 / 65536.0)
                else:
                    w1 = divide(w2 - tl.where(s2, 0.0, m2), alpha)
                m1 = membrane(w1, x1, K, MODE)
                s1 = m1 >= THRESHOLD
                if MODE == 3:
                    w2 = (u1 - tl.where(s1, 0.0, m1)) * 2 + flag2.to(y1.dtype) * (1.0 / 65536.0)
                else:
                    w2 = divide(u1 - tl.where(s1, 0.0, m1), alpha)
            g1 = tl.load(grad_y_ptr + t * stride + first, mask=inside, other=0.0)
            g2 = tl.load(grad_y_ptr + t * stride + first + half, mask=inside, other=0.0)
            to_s2 = g2 if DETACHED else g2 - d2 * m2
            dm2 = tl.where(s2, 0.0, d2) + to_s2 * surrogate_derivative(m2 - THRESHOLD, SLOPE, SURROGATE)
            e = d1 + (1 - K) * dm2
            f = g1 + K * dm2
            to_s1 = f if DETACHED else f - e * m1
            dm1 = tl.where(s1, 0.0, e) + to_s1 * surrogate_derivative(m1 - THRESHOLD, SLOPE, SURROGATE)
            tl.store(grad_x_ptr + t * stride + first, beta * g2 + K * dm1, mask=inside)
            tl.store(grad_x_ptr + t * stride + first + half, beta * f, mask=inside)
            if COUPLING:
                x2 = divide(y1 - s1.to(y1.dtype), beta)
                of_alpha += tl.where(inside, e * w2 + d2 * w1, 0.0)
                of_beta += tl.where(inside, f * x2 + g2 * x1, 0.0)
            d1, d2 = alpha * d2 + (1 - K) * dm1, alpha * e
        if MODE == 1:
            tl.debug_barrier()  # the next segment writes over the states just read
    tl.store(grad_v_ptr + first, d1, mask=inside)
    tl.store(grad_v_ptr + first + half, d2, mask=inside)
    if COUPLING:
        tl.store(sums_ptr + 2 * pid, tl.sum(tl.sum(of_alpha, axis=1), axis=0))
        tl.store(sums_ptr + 2 * pid + 1, tl.sum(tl.sum(of_beta, axis=1), axis=0))
