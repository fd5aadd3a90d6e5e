"""The gated polynomial in Triton: one read and one write forward, two reads and one write backward.

A program owns a block of sites and a chunk of the batch, keeps the block's table in registers while it walks the chunk,
and writes its partial sums to a row of its own: no atomics, so results do not depend on the order of programs.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 512  # 4 sites a thread, whatever the dtype: float32 table and half-precision data then share one layout


@triton.jit
def forward_kernel(z, table, y, batch, sites, rows, BLOCK: tl.constexpr):
    site = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = site < sites
    relu = tl.load(table + site, mask=inside)
    c0 = tl.load(table + sites + site, mask=inside)
    c1 = tl.load(table + 2 * sites + site, mask=inside)
    c2 = tl.load(table + 3 * sites + site, mask=inside)
    first = tl.program_id(1) * rows
    offset = first.to(tl.int64) * sites + site
    for _ in range(first, tl.minimum(first + rows, batch)):
        value = tl.load(z + offset, mask=inside).to(relu.dtype)
        result = relu * tl.where(value > 0, value, 0.0) + ((c2 * value + c1) * value + c0)
        tl.store(y + offset, result.to(y.dtype.element_ty), mask=inside)
        offset += sites


@triton.jit
def backward_kernel(grad, z, table, grad_z, sums, batch, sites, rows, BLOCK: tl.constexpr):
    site = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = site < sites
    relu = tl.load(table + site, mask=inside)
    c1 = tl.load(table + 2 * sites + site, mask=inside)
    c2 = tl.load(table + 3 * sites + site, mask=inside)
    of_relu = tl.zeros([BLOCK], dtype=relu.dtype)
    of_one = tl.zeros([BLOCK], dtype=relu.dtype)
    of_z = tl.zeros([BLOCK], dtype=relu.dtype)
    of_square = tl.zeros([BLOCK], dtype=relu.dtype)
    first = tl.program_id(1) * rows
    offset = first.to(tl.int64) * sites + site
    for _ in range(first, tl.minimum(first + rows, batch)):
        value = tl.load(z + offset, mask=inside, other=0.0).to(relu.dtype)
        g = tl.load(grad + offset, mask=inside, other=0.0).to(relu.dtype)
        slope = tl.where(value > 0, relu, 0.0) + 2.0 * c2 * value + c1
        tl.store(grad_z + offset, (g * slope).to(grad_z.dtype.element_ty), mask=inside)
        gz = g * value
        of_relu += tl.where(value > 0, gz, 0.0)
        of_one += g
        of_z += gz
        of_square += gz * value
        offset += sites
    target = sums + tl.program_id(1).to(tl.int64) * 4 * sites + site
    tl.store(target, of_relu, mask=inside)
    tl.store(target + sites, of_one, mask=inside)
    tl.store(target + 2 * sites, of_z, mask=inside)
    tl.store(target + 3 * sites, of_square, mask=inside)


def _rows(batch: int, sites: int) -> int:
    """Rows of the batch for one program: all of them, unless the blocks of sites alone leave multiprocessors idle."""
    blocks = triton.cdiv(sites, BLOCK)
    chunks = max(1, min(batch, triton.cdiv(1024, blocks)))
    return max(1, triton.cdiv(batch, chunks))


def forward(z: Tensor, table: Tensor) -> Tensor:
    """`[batch, sites]` and `[4, sites]` to `[batch, sites]`, in the dtype of `z`."""
    batch, sites = z.shape
    y = torch.empty_like(z)
    if y.numel():
        rows = _rows(batch, sites)
        grid = (triton.cdiv(sites, BLOCK), triton.cdiv(batch, rows))
        forward_kernel[grid](z.contiguous(), table.contiguous(), y, batch, sites, rows, BLOCK)
    return y


def backward(grad: Tensor, z: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of `z`, and of the table: the sums over the batch of `grad` times relu(z), 1, z, z^2."""
    batch, sites = z.shape
    grad_z = torch.empty_like(z)
    if not z.numel():
        return grad_z, torch.zeros_like(table)
    rows = _rows(batch, sites)
    grid = (triton.cdiv(sites, BLOCK), triton.cdiv(batch, rows))
    sums = torch.empty(grid[1], *table.shape, dtype=table.dtype, device=table.device)
    backward_kernel[grid](
        grad.contiguous(), z.contiguous(), table.contiguous(), grad_z, sums, batch, sites, rows, BLOCK
    )
    return grad_z, sums.sum(0)
