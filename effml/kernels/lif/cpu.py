"""The ordinary leaky integrate-and-fire neuron on the CPU, in numba: every block of neurons runs through T by itself.

The arithmetic is that of `reference.py`, operation by operation. The backward computes the membranes again into a
buffer of T x block values, whatever N is.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from effml.kernels.spiking.cpu import CACHE_BYTES, threads_for
from effml.kernels.spiking.cpu_blocks import surrogate_slope
from effml.kernels.spiking.surrogate import Surrogate

_RESET = {"subtract": 0, "zero": 1, "none": 2}


def forward(x: Tensor, v: Tensor | None, beta: Tensor, threshold: float, reset: str) -> tuple[Tensor, Tensor]:
    """As `reference.forward`."""
    spikes, last = torch.empty_like(x), torch.empty_like(x[0])
    start = x.new_zeros(0) if v is None else v
    threads = threads_for(x.numel())
    run = _forward_serial if threads == 1 else _forward_parallel
    scalars, block = _scalars(x.dtype, beta, threshold, 0.0), _block(x.shape[1], 1, x.itemsize, threads)
    run(x.numpy(), start.numpy(), spikes.numpy(), last.numpy(), scalars, _RESET[reset], block)
    return spikes, last


def backward(
    x: Tensor, v: Tensor | None, grad_spikes: Tensor, grad_v: Tensor | None, beta: Tensor, threshold: float, reset: str,
    surrogate: Surrogate,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """As `reference.backward`."""
    steps, n = x.shape
    grad_x, grad_start = torch.empty_like(x), torch.empty_like(x[0])
    v, grad_v = (x.new_zeros(0) if state is None else state for state in (v, grad_v))
    threads = threads_for(x.numel())
    block = _block(n, steps, x.itemsize, threads)
    sums = np.zeros(-(-n // block))
    run = _backward_serial if threads == 1 else _backward_parallel
    run(
        x.numpy(), v.numpy(), grad_spikes.numpy(), grad_v.numpy(), grad_x.numpy(), grad_start.numpy(), sums,
        _scalars(x.dtype, beta, threshold, surrogate.slope), _RESET[reset], surrogate.code, block,
    )  # fmt: skip
    return grad_x, grad_start, torch.tensor(sums.sum(), dtype=x.dtype)


def _block(n: int, steps: int, itemsize: int, threads: int) -> int:
    """Neurons per block: what fits the cache over all steps, yet enough blocks to go round."""
    return max(16, min(4096, CACHE_BYTES // (steps * itemsize), n // (2 * threads)) // 16 * 16)


def _scalars(dtype: torch.dtype, beta: Tensor, threshold: float, slope: float) -> np.ndarray:
    return np.array([float(beta), threshold, slope], dtype=torch.empty(0, dtype=dtype).numpy().dtype)


def _forward(x, start, spikes, end, scalars, reset, block):
    beta, threshold = scalars[0], scalars[1]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    n = x.shape[1]
    for b in numba.prange((n + block - 1) // block):
        first, last = b * block, min(n, (b + 1) * block)
        v = np.zeros(last - first, x.dtype)
        if start.size:
            v[:] = start[first:last]
        for t in range(x.shape[0]):
            for i in range(last - first):
                new = _next(x[t, first + i], v[i], beta, threshold, reset, zero)
                spikes[t, first + i] = one if new > threshold else zero
                v[i] = new
        end[first:last] = v


def _backward(x, start, grad_spikes, grad_end, grad_x, grad_start, sums, scalars, reset, code, block):
    beta, threshold, slope = scalars[0], scalars[1], scalars[2]
    zero = x.dtype.type(0)
    steps, n = x.shape
    for b in numba.prange((n + block - 1) // block):
        first, last = b * block, min(n, (b + 1) * block)
        width = last - first
        v = np.zeros((steps + 1, width), x.dtype)
        carried, slopes = np.zeros(width, x.dtype), np.zeros(width, x.dtype)
        if start.size:
            v[0] = start[first:last]
        if grad_end.size:
            carried[:] = grad_end[first:last]
        for t in range(steps):
            for i in range(width):
                v[t + 1, i] = _next(x[t, first + i], v[t, i], beta, threshold, reset, zero)
        of_beta = 0.0
        for t in range(steps - 1, -1, -1):
            surrogate_slope(code, threshold, slope, v[t + 1], slopes, width)
            for i in range(width):
                d = carried[i] + grad_spikes[t, first + i] * slopes[i]
                grad_x[t, first + i] = d
                d = zero if reset == 1 and v[t, i] > threshold else d
                of_beta += d * v[t, i]
                carried[i] = beta * d
        sums[b] = of_beta
        grad_start[first:last] = carried


@numba.njit(inline="always")
def _next(x, v, beta, threshold, reset, zero):
    if reset == 0:
        return beta * v + x - (threshold if v > threshold else zero)
    return beta * (zero if reset == 1 and v > threshold else v) + x


_forward_parallel = numba.njit(parallel=True, cache=True)(_forward)
_forward_serial = numba.njit(cache=True)(_forward)
_backward_parallel = numba.njit(parallel=True, cache=True)(_backward)
_backward_serial = numba.njit(cache=True)(_backward)
