"""The ordinary leaky integrate-and-fire neuron in Triton: one program for all T steps, the membrane in registers.

The backward computes the membranes again, segment by segment: those at segment borders and those of one segment lie in
scratch, 2 sqrt(T) of them, freed when it returns.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from effml.kernels.spiking.gpu import surrogate_derivative
from effml.kernels.spiking.surrogate import Surrogate

_RESET = {"subtract": 0, "zero": 1, "none": 2}
BLOCK = 512
WARPS = 4


def forward(x: Tensor, v: Tensor | None, beta: Tensor, threshold: float, reset: str) -> tuple[Tensor, Tensor]:
    """As `reference.forward`."""
    steps, n = x.shape
    spikes, last = torch.empty_like(x), torch.empty_like(x[0])
    if n:
        forward_kernel[(triton.cdiv(n, BLOCK),)](
            x, v if v is not None else x, spikes, last, beta, steps, n, THRESHOLD=threshold, RESET=_RESET[reset],
            HAS_STATE=v is not None, BLOCK=BLOCK, num_warps=WARPS, enable_fp_fusion=False,
        )  # fmt: skip
    return spikes, last


def backward(
    x: Tensor, v: Tensor | None, grad_spikes: Tensor, grad_v: Tensor | None, beta: Tensor, threshold: float, reset: str,
    surrogate: Surrogate,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """As `reference.backward`."""
    steps, n = x.shape
    grad_x, grad_start = torch.empty_like(x), torch.empty_like(x[0])
    segment = math.isqrt(steps - 1) + 1
    states = x.new_empty(triton.cdiv(steps, segment) + segment + 1, n)
    sums = x.new_zeros(triton.cdiv(n, BLOCK))
    if n:
        backward_kernel[(len(sums),)](
            x, v if v is not None else x, grad_spikes, grad_v if grad_v is not None else x, grad_x, grad_start, states,
            sums, beta, steps, n, segment, THRESHOLD=threshold, RESET=_RESET[reset], SLOPE=surrogate.slope,
            SURROGATE=surrogate.code, HAS_STATE=v is not None, HAS_GRAD_V=grad_v is not None, BLOCK=BLOCK,
            num_warps=WARPS, enable_fp_fusion=False,
        )  # fmt: skip
    return grad_x, grad_start, sums.sum()


@triton.jit
def next_membrane(x, v, beta, THRESHOLD: tl.constexpr, RESET: tl.constexpr):
    if RESET == 0:
        return beta * v + x - tl.where(v > THRESHOLD, THRESHOLD, 0.0)
    elif RESET == 1:
        return beta * tl.where(v > THRESHOLD, 0.0, v) + x
    else:
        return beta * v + x


@triton.jit
def forward_kernel(
    x_ptr, v_ptr, spikes_ptr, last_ptr, beta_ptr, steps, n, THRESHOLD: tl.constexpr, RESET: tl.constexpr,
    HAS_STATE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    beta = tl.load(beta_ptr)
    v = tl.zeros([BLOCK], x_ptr.dtype.element_ty)
    if HAS_STATE:
        v = tl.load(v_ptr + i, mask=inside, other=0.0)
    stride = n.to(tl.int64)
    for t in range(0, steps):
        v = next_membrane(tl.load(x_ptr + t * stride + i, mask=inside, other=0.0), v, beta, THRESHOLD, RESET)
        tl.store(spikes_ptr + t * stride + i, (v > THRESHOLD).to(v.dtype), mask=inside)
    tl.store(last_ptr + i, v, mask=inside)


@triton.jit
def backward_kernel(
    x_ptr, v_ptr, grad_spikes_ptr, grad_v_ptr, grad_x_ptr, grad_start_ptr, states_ptr, sums_ptr, beta_ptr, steps, n,
    segment, THRESHOLD: tl.constexpr, RESET: tl.constexpr, SLOPE: tl.constexpr, SURROGATE: tl.constexpr,
    HAS_STATE: tl.constexpr, HAS_GRAD_V: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    beta = tl.load(beta_ptr)
    zero = tl.zeros([BLOCK], x_ptr.dtype.element_ty)
    v, carried = zero, zero
    if HAS_STATE:
        v = tl.load(v_ptr + i, mask=inside, other=0.0)
    if HAS_GRAD_V:
        carried = tl.load(grad_v_ptr + i, mask=inside, other=0.0)
    stride = n.to(tl.int64)
    segments = tl.cdiv(steps, segment)
    for t in range(0, (segments - 1) * segment + 1):
        if t % segment == 0:  # the membrane before each segment, in scratch behind those of one segment
            tl.store(states_ptr + (segment + 1 + t // segment) * stride + i, v, mask=inside)
        v = next_membrane(tl.load(x_ptr + t * stride + i, mask=inside, other=0.0), v, beta, THRESHOLD, RESET)
    tl.debug_barrier()
    of_beta = zero
    for back in range(0, segments):
        begin = (segments - 1 - back) * segment
        end = tl.minimum(begin + segment, steps)
        v = tl.load(states_ptr + (segment + segments - back) * stride + i, mask=inside, other=0.0)
        for t in range(begin, end):
            tl.store(states_ptr + (t - begin) * stride + i, v, mask=inside)
            v = next_membrane(tl.load(x_ptr + t * stride + i, mask=inside, other=0.0), v, beta, THRESHOLD, RESET)
        tl.debug_barrier()
        for down in range(0, end - begin):
            t = end - 1 - down
            spike = tl.load(grad_spikes_ptr + t * stride + i, mask=inside, other=0.0)
            d = carried + spike * surrogate_derivative(v - THRESHOLD, SLOPE, SURROGATE)
            tl.store(grad_x_ptr + t * stride + i, d, mask=inside)
            v = tl.load(states_ptr + (t - begin) * stride + i, mask=inside, other=0.0)
            if RESET == 1:
                d = tl.where(v > THRESHOLD, 0.0, d)
            of_beta += tl.where(inside, d * v, 0.0)
            carried = beta * d
        tl.debug_barrier()
    tl.store(grad_start_ptr + i, carried, mask=inside)
    tl.store(sums_ptr + tl.program_id(0), tl.sum(of_beta, axis=0))
