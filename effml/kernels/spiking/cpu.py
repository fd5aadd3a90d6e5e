"""The reversible spiking node on the CPU, in numba: every block of neurons runs through all T steps by itself.

A pair is one neuron of group 1 with its partner in group 2. A block of pairs keeps its state in cache over all steps,
so X is read once and Y written once; the backward recovers the block's membranes into a buffer of its own
(T x block values, whatever N is) and then sweeps the adjoint. The arithmetic is that of `reference.py`, operation by
operation (no fast-math), so the forward is bit-equal to it.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from effml.kernels.spiking import cpu_backward, cpu_forward
from effml.kernels.spiking.bits import packed_width
from effml.kernels.spiking.rule import GRID, Rule
from effml.kernels.threads import worker_threads

_MODE = {"paper": 0, "bits": 1, "anchor": 2, "exact": 3}
CACHE_BYTES = 256 * 1024  # of the second-level cache that a block's buffers may fill
SERIAL_BELOW = 1 << 16  # elements under which starting threads costs more than it brings


def forward(x: Tensor, v: Tensor | None, alpha: Tensor, beta: Tensor, rule: Rule) -> tuple[Tensor, ...]:
    """As `reference.forward`."""
    steps, rows, _, half = x.shape
    pairs = rows * half
    y, u = torch.empty_like(x), torch.empty_like(x[0])
    kept_bits = rule.mode in ("bits", "exact")
    bits = x.new_empty((steps, 2, packed_width(pairs)) if kept_bits else (0, 2, 0), dtype=torch.uint8)
    anchors = x.new_empty((rule.anchors(steps) if rule.mode == "anchor" else 0, rows, 2, half))
    threads = threads_for(x.numel())
    block = _block(pairs, 1, x.element_size(), threads)
    largest = torch.zeros(-(-pairs // block), dtype=x.dtype)
    start = x.new_zeros(0) if v is None else v.reshape(-1)
    run = cpu_forward.serial if threads == 1 else cpu_forward.parallel
    run(
        x.view(steps, -1).numpy(), start.numpy(), y.view(steps, -1).numpy(), u.view(-1).numpy(), bits.numpy(),
        anchors.flatten(1).numpy(), largest.numpy(), _scalars(x.dtype, alpha, beta, rule),
        half, block, _MODE[rule.mode], rule.anchor_every,
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
    threads = threads_for(y.numel())
    block = _block(pairs, steps, y.element_size(), threads)
    sums = np.zeros((-(-pairs // block), 2))
    none = y.new_zeros(0)
    run = cpu_backward.serial if threads == 1 else cpu_backward.parallel
    run(
        y.view(steps, -1).numpy(), u.view(-1).numpy(), (none if v is None else v.reshape(-1)).numpy(), bits.numpy(),
        anchors.flatten(1).numpy(), grad_y.view(steps, -1).numpy(),
        (none if grad_u is None else grad_u.reshape(-1)).numpy(), grad_x.view(steps, -1).numpy(),
        grad_v.view(-1).numpy(), sums, _scalars(y.dtype, alpha, beta, rule), half, block, _MODE[rule.mode],
        rule.anchor_every, rule.surrogate.code, rule.detach_reset, coupling,
    )  # fmt: skip
    return grad_x, grad_v, torch.from_numpy(sums.sum(0)).to(y.dtype)


def threads_for(elements: int) -> int:
    """How many threads are worth starting, set as numba's number."""
    threads = 1 if elements < SERIAL_BELOW else worker_threads()
    if threads > 1:
        numba.set_num_threads(threads)
    return threads


def _block(pairs: int, steps: int, itemsize: int, threads: int) -> int:
    """Pairs per block, a multiple of 8: what fits the cache over all steps, yet enough blocks to go round."""
    fits = CACHE_BYTES // (steps * (4 * itemsize + 2))
    return max(8, min(1024, fits, packed_width(pairs) // (2 * threads) * 8) // 8 * 8)


def _scalars(dtype: torch.dtype, alpha: Tensor, beta: Tensor, rule: Rule) -> np.ndarray:
    """All real constants in the working dtype, so that numba promotes nothing to float64."""
    values = [1 - rule.k, rule.k, rule.threshold, float(alpha), float(beta), rule.surrogate.slope, GRID, 1 / GRID]
    return np.array([*values, 0, 0.5, 1, 2], dtype=torch.empty(0, dtype=dtype).numpy().dtype)
