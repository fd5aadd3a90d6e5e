"""One decoding step on the CPU: the state is read and written once, in place.

A small model's step takes a microsecond or two, less than handing six arrays to a numba function does, so that the serial
variant is called through a C function pointer with addresses. States that no longer fit a core's own cache go to the
parallel variant. Shapes are the caller's business: a wrong one would be read out of bounds.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable
from typing import Any

import numba
import torch
from numba import types
from torch import Tensor

_TYPES = {torch.float32: types.float32, torch.float64: types.float64}
_OPTIONS: Any = {"fastmath": {"contract", "reassoc"}, "nogil": True}
PARALLEL = 1 << 19  # numbers in a state from which threads pay off


def step(state: Tensor, q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor, scale: float) -> Tensor:
    """`S <- gamma S + k^T v`, `o = scale q S`; `state [B, H, K, V]` contiguous float32 or float64, `o` in the dtype of `v`."""
    dtype = state.dtype
    q, k, values = _ready(q, dtype), _ready(k, dtype), _ready(v, dtype)
    log_gamma = _ready(log_gamma, torch.float64)
    o = torch.empty_like(values)
    if state.numel() >= PARALLEL and torch.get_num_threads() > 1:
        arrays = [x.detach().numpy() for x in (state, q, k, values, log_gamma, o)]
        _parallel()(*arrays, scale)
    else:
        tensors = (state, q, k, values, log_gamma, o)
        _pointer(dtype)(*[x.data_ptr() for x in tensors], scale, *state.shape)
    return o if v.dtype is dtype else o.to(v.dtype)


def _ready(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x if x.dtype is dtype and x.is_contiguous() else x.to(dtype).contiguous()


def _one(state, q, k, v, log_gamma, o, scale, bh):
    """The step of head `bh % H` of sequence `bh // H`."""
    heads, keys, values = state.shape[1:]
    b, h = bh // heads, bh % heads
    number = state.dtype.type
    gamma, scale = number(math.exp(log_gamma[h])), number(scale)
    out = o[b, h]
    for j in range(values):
        out[j] = 0
    for i in range(keys):
        ki, qi = k[b, h, i], q[b, h, i] * scale
        row = state[b, h, i]
        for j in range(values):
            s = gamma * row[j] + ki * v[b, h, j]
            row[j] = s
            out[j] += qi * s


@functools.cache
def _parallel() -> Callable[..., None]:
    one = numba.njit(**_OPTIONS)(_one)

    @numba.njit(parallel=True, **_OPTIONS)
    def every(state, q, k, v, log_gamma, o, scale):
        for bh in numba.prange(state.shape[0] * state.shape[1]):
            one(state, q, k, v, log_gamma, o, scale, bh)

    return every


@functools.cache
def _pointer(dtype: torch.dtype) -> Callable[..., None]:
    one = numba.njit(**_OPTIONS)(_one)
    number = types.CPointer(_TYPES[dtype])
    decays = types.CPointer(types.float64)
    sizes = [types.int64] * 4

    @numba.cfunc(types.void(number, number, number, number, decays, number, types.float64, *sizes), **_OPTIONS)
    def every(state, q, k, v, log_gamma, o, scale, B, H, K, V):
        s = numba.carray(state, (B, H, K, V))
        queries, keys, values = numba.carray(q, (B, H, K)), numba.carray(k, (B, H, K)), numba.carray(v, (B, H, V))
        gammas, outputs = numba.carray(log_gamma, (H,)), numba.carray(o, (B, H, V))
        for bh in range(B * H):
            one(s, queries, keys, values, gammas, outputs, scale, bh)

    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 6, ctypes.c_double, *[ctypes.c_int64] * 4)
    call: Any = signature(int(every.address or 0))
    call.keep = every  # the machine code lives as long as this object
    return call
