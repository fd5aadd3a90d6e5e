"""Large CPU tensors on huge pages: what a kernel allocates for its result.

A fresh tensor of 200 MB is 50,000 page faults of 4 kB, which cost as much as the fastest kernels that fill it, and its
rows then miss the TLB at every random access. torch does not ask for huge pages unless told to for the whole process.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable

import torch
from torch import Tensor

_LARGE = 1 << 22  # bytes: below two huge pages there is nothing to gain
_PAGE = 4096
_MADV_HUGEPAGE = 14


def empty(*shape: int, dtype: torch.dtype) -> Tensor:
    """`torch.empty` on the CPU; asks Linux for huge pages where the tensor is large. A system that refuses is no error."""
    tensor = torch.empty(*shape, dtype=dtype)
    madvise = _madvise()
    if tensor.nbytes >= _LARGE and madvise is not None:
        start = -(-tensor.data_ptr() // _PAGE) * _PAGE
        madvise(start, tensor.data_ptr() + tensor.nbytes - start, _MADV_HUGEPAGE)
    return tensor


@functools.cache
def _madvise() -> Callable[[int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function
