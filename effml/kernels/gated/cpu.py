"""The gated polynomial on the CPU: one pass forward, one pass backward, over `[batch, sites]` (numba).

Work is cut into blocks of sites, whose row of the table stays in the first-level cache while the batch streams by, and
where there are fewer blocks than threads also into chunks of the batch.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

BLOCK = 1024  # sites; 4 table rows + 4 sums of float32 are 32 kB
SMALL = 1 << 19  # elements that one thread does in about the time that starting more takes


def _forward(z, table, y, chunks):
    batch, sites = z.shape
    zero = z.dtype.type(0)  # plain literals would widen float32 arithmetic to float64
    blocks = (sites + BLOCK - 1) // BLOCK
    for task in prange(blocks * chunks):
        low = (task // chunks) * BLOCK
        high = min(sites, low + BLOCK)
        first = (task % chunks) * batch // chunks
        last = (task % chunks + 1) * batch // chunks
        relu, c0, c1, c2 = table[0, low:high], table[1, low:high], table[2, low:high], table[3, low:high]
        for row in range(first, last):
            source, target = z[row, low:high], y[row, low:high]
            for i in range(high - low):
                value = source[i]
                target[i] = relu[i] * (value if value > zero else zero) + ((c2[i] * value + c1[i]) * value + c0[i])


def _backward(grad, z, table, grad_z, sums, chunks):
    batch, sites = z.shape
    zero, one = z.dtype.type(0), z.dtype.type(1)  # plain literals would widen float32 arithmetic to float64
    blocks = (sites + BLOCK - 1) // BLOCK
    for task in prange(blocks * chunks):
        chunk = task % chunks
        low = (task // chunks) * BLOCK
        high = min(sites, low + BLOCK)
        relu, c1, c2 = table[0, low:high], table[2, low:high], table[3, low:high]
        of_relu, of_one = sums[chunk, 0, low:high], sums[chunk, 1, low:high]
        of_z, of_square = sums[chunk, 2, low:high], sums[chunk, 3, low:high]
        for i in range(high - low):
            of_relu[i] = of_one[i] = of_z[i] = of_square[i] = zero
        for row in range(chunk * batch // chunks, (chunk + 1) * batch // chunks):
            g_row, z_row, target = grad[row, low:high], z[row, low:high], grad_z[row, low:high]
            for i in range(high - low):
                g, value = g_row[i], z_row[i]
                positive = one if value > zero else zero
                target[i] = g * (relu[i] * positive + (c2[i] + c2[i]) * value + c1[i])
                gz = g * value
                of_relu[i] += gz * positive
                of_one[i] += g
                of_z[i] += gz
                of_square[i] += gz * value


_forward_serial = njit(cache=True, error_model="numpy")(_forward)
_forward_parallel = njit(parallel=True, cache=True, error_model="numpy")(_forward)
_backward_serial = njit(cache=True, error_model="numpy")(_backward)
_backward_parallel = njit(parallel=True, cache=True, error_model="numpy")(_backward)


def _threads(elements: int) -> int:
    """Threads worth starting. One thread is a plain call: numba's team, even of one, has its idle members spin beside
    torch's, and on a busy machine waits whole time slices for them."""
    if elements < SMALL:
        return 1
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if threads > 1:
        numba.set_num_threads(threads)
    return threads


def _chunks(batch: int, sites: int, threads: int) -> int:
    blocks = max(1, -(-sites // BLOCK))
    return max(1, min(batch, -(-2 * threads // blocks))) if threads > 1 else 1


def _array(tensor: Tensor, dtype: torch.dtype) -> np.ndarray:
    return tensor.detach().to(dtype).contiguous().numpy()


def forward(z: Tensor, table: Tensor) -> Tensor:
    """`[batch, sites]` and `[4, sites]` to `[batch, sites]`; half precisions are computed in float32."""
    y = torch.empty(z.shape, dtype=table.dtype)
    threads = _threads(z.numel())
    kernel = _forward_parallel if threads > 1 else _forward_serial
    kernel(_array(z, table.dtype), _array(table, table.dtype), y.numpy(), _chunks(z.shape[0], z.shape[1], threads))
    return y.to(z.dtype)


def backward(grad: Tensor, z: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of `z`, and of the table: the sums over the batch of `grad` times relu(z), 1, z, z^2."""
    grad_z = torch.empty(z.shape, dtype=table.dtype)
    threads = _threads(z.numel())
    chunks = _chunks(z.shape[0], z.shape[1], threads)
    sums = torch.empty(chunks, *table.shape, dtype=table.dtype)
    arrays = _array(grad, table.dtype), _array(z, table.dtype), _array(table, table.dtype)
    kernel = _backward_parallel if threads > 1 else _backward_serial
    kernel(*arrays, grad_z.numpy(), sums.numpy(), chunks)
    return grad_z.to(z.dtype), sums.sum(0)
