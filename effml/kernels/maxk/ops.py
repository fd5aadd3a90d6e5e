"""The MaxK operators as torch sees them: custom ops with fake kernels and gradients, dispatched to one back end.

Knows no arithmetic. A back end is chosen by the device (CPU: numba, CUDA: triton) or by name, and is the one that runs:
what it cannot do is an error, never another back end's work. Tensors go in and come out, so that `torch.compile` and
autograd see through; an adjacency's key leads back to what it has cached.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import torch
from torch import Tensor

from effml.kernels.csr import Csr
from effml.kernels.maxk.cbsr import index_dtype

BACKENDS = {"reference": "reference", "numba": "cpu", "triton": "gpu"}  # name: module


def resolve(backend: str | None, device: torch.device) -> str:
    """The back end that will run on `device`: the one named, else the device's own.

    Raises:
        ValueError: no such back end, or not one for this device.
    """
    if backend is None:
        backend = {"cpu": "numba", "cuda": "triton"}.get(device.type, "reference")
    if backend not in BACKENDS:
        raise ValueError(f"no MaxK back end is called {backend!r}; there are {', '.join(BACKENDS)}")
    interpreted = backend == "triton" and os.environ.get("TRITON_INTERPRET") == "1"
    home = {"numba": "cpu", "triton": "cuda"}.get(backend, device.type)
    if device.type != home and not interpreted:
        raise ValueError(f"the {backend} back end works on {home} tensors, not on {device.type} ones")
    return backend


def _module(backend: str) -> ModuleType:
    return importlib.import_module(f"effml.kernels.maxk.{BACKENDS[backend]}")


def _adjacency(indptr: Tensor, indices: Tensor, weights: Tensor | None, columns: int, key: int) -> Csr:
    """The caller's matrix with what it has cached; one made anew where it has been freed since (in a backward pass)."""
    adj = Csr.live(key)
    if adj is not None and adj.indices.data_ptr() == indices.data_ptr():
        return adj
    return Csr(indptr, indices, weights, columns)


@torch.library.custom_op("effml::maxk_select", mutates_args=())
def _select(x: Tensor, k: int, backend: str) -> tuple[Tensor, Tensor]:
    return _module(backend).select(x, k)


@_select.register_fake
def _(x: Tensor, k: int, backend: str) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape[0], k), x.new_empty(x.shape[0], k, dtype=index_dtype(x.shape[1]))


@torch.library.custom_op("effml::cbsr_unpack", mutates_args=())
def _unpack(values: Tensor, index: Tensor, columns: int, backend: str) -> Tensor:
    return _module(backend).unpack(values, index, columns)


@_unpack.register_fake
def _(values: Tensor, index: Tensor, columns: int, backend: str) -> Tensor:
    return values.new_empty(values.shape[0], columns)


@torch.library.custom_op("effml::cbsr_gather", mutates_args=())
def _gather(dense: Tensor, index: Tensor, backend: str) -> Tensor:
    return _module(backend).gather(dense, index)


@_gather.register_fake
def _(dense: Tensor, index: Tensor, backend: str) -> Tensor:
    return dense.new_empty(index.shape)


@torch.library.custom_op("effml::cbsr_spgemm", mutates_args=())
def _spgemm(
    values: Tensor,
    index: Tensor,
    indptr: Tensor,
    indices: Tensor,
    weights: Tensor | None,
    columns: int,
    key: int,
    backend: str,
) -> Tensor:
    adj = _adjacency(indptr, indices, weights, values.shape[0], key)
    return _module(backend).spgemm(adj, values, index, columns)


@_spgemm.register_fake
def _(values, index, indptr, indices, weights, columns, key, backend):
    return values.new_empty(indptr.shape[0] - 1, columns)


@torch.library.custom_op("effml::cbsr_sspmm", mutates_args=())
def _sspmm(
    grad: Tensor, index: Tensor, indptr: Tensor, indices: Tensor, weights: Tensor | None, key: int, backend: str
) -> Tensor:
    adj = _adjacency(indptr, indices, weights, index.shape[0], key)
    return _module(backend).sspmm(adj, grad, index)


@_sspmm.register_fake
def _(grad, index, indptr, indices, weights, key, backend):
    return grad.new_empty(index.shape)


# Gradients. Selection's mask is constant (MaxK-GNN, eq. 3): its gradient returns to the kept places. Unpacking and
# gathering are each other's adjoint, and so are spgemm and sspmm, so that gradients of gradients come out, too.


def _select_setup(ctx, inputs, output):
    x, _, ctx.backend = inputs
    ctx.columns = x.shape[1]
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])


def _select_backward(ctx, grad, _):
    return _unpack(grad, ctx.saved_tensors[0], ctx.columns, ctx.backend), None, None


def _unpack_setup(ctx, inputs, output):
    _, index, _, ctx.backend = inputs
    ctx.save_for_backward(index)


def _unpack_backward(ctx, grad):
    return _gather(grad, ctx.saved_tensors[0], ctx.backend), None, None, None


def _gather_setup(ctx, inputs, output):
    dense, index, ctx.backend = inputs
    ctx.columns = dense.shape[1]
    ctx.save_for_backward(index)


def _gather_backward(ctx, grad):
    return _unpack(grad, ctx.saved_tensors[0], ctx.columns, ctx.backend), None, None


def _spgemm_setup(ctx, inputs, output):
    _, index, indptr, indices, weights, _, ctx.key, ctx.backend = inputs
    ctx.save_for_backward(index, indptr, indices, weights)


def _spgemm_backward(ctx, grad):
    return _sspmm(grad, *ctx.saved_tensors, ctx.key, ctx.backend), *[None] * 7


def _sspmm_setup(ctx, inputs, output):
    grad, index, indptr, indices, weights, ctx.key, ctx.backend = inputs
    ctx.columns = grad.shape[1]
    ctx.save_for_backward(index, indptr, indices, weights)


def _sspmm_backward(ctx, grad):
    return _spgemm(grad, *ctx.saved_tensors, ctx.columns, ctx.key, ctx.backend), *[None] * 6


_select.register_autograd(_select_backward, setup_context=_select_setup)
_unpack.register_autograd(_unpack_backward, setup_context=_unpack_setup)
_gather.register_autograd(_gather_backward, setup_context=_gather_setup)
_spgemm.register_autograd(_spgemm_backward, setup_context=_spgemm_setup)
_sspmm.register_autograd(_sspmm_backward, setup_context=_sspmm_setup)


def select(x: Tensor, k: int, backend: str | None = None) -> tuple[Tensor, Tensor]:
    """Values and index of the k largest entries of each row."""
    return _select(x, k, resolve(backend, x.device))


def unpack(values: Tensor, index: Tensor, columns: int, backend: str | None = None) -> Tensor:
    """Dense form of a CBSR matrix."""
    return _unpack(values, index, columns, resolve(backend, values.device))


def spgemm(adj: Csr, values: Tensor, index: Tensor, columns: int, backend: str | None = None) -> Tensor:
    """`A @ X`, X in CBSR."""
    chosen = resolve(backend, values.device)
    return _spgemm(values, index, adj.indptr, adj.indices, adj.values, columns, adj.key, chosen)


def sspmm(adj: Csr, grad: Tensor, index: Tensor, backend: str | None = None) -> Tensor:
    """`A^T @ dY` at the places that `index` names."""
    chosen = resolve(backend, grad.device)
    return _sspmm(grad, index, adj.indptr, adj.indices, adj.values, adj.key, chosen)
