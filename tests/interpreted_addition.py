"""The smallest Triton kernel there is, for `test_triton_aot.py`: run here in the interpreter, compiled there."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(x_ptr + offsets, mask=inside)
    y = tl.load(y_ptr + offsets, mask=inside)
    tl.store(out_ptr + offsets, x + y, mask=inside)


@pytest.mark.parametrize("n", [1, 31, 64, 65])
def test_addition_equals_torch(n):
    x, y = torch.randn(n), torch.randn(n)
    out = torch.empty(n)
    add_kernel[(triton.cdiv(n, 64),)](x, y, out, n, BLOCK=64)
    torch.testing.assert_close(out, x + y, rtol=0, atol=0)
