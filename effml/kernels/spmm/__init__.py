"""Sparse matrix times dense features, `Y = A X`, with gradients: what a graph layer spends its time on.

The operator is a `torch.library` custom op, so that it runs inside `torch.compile`; the back end follows the device of
`x`. Nothing here knows of graphs' labels, layers or models. Method: Accel-GCN (ICCAD 2023, arXiv 2308.11825).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from effml.kernels.csr import Csr
from effml.kernels.spmm.edges import adjacency_of
from effml.kernels.spmm.reference import spmm_reference

__all__ = ["spmm", "spmm_reference"]

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def spmm(
    adj: Csr | Int[Tensor, "2 edges"],
    x: Float[Tensor, "columns d"],
    edge_weight: Float[Tensor, " edges"] | None = None,
) -> Float[Tensor, "rows d"]:
    """`A x`: row `i` of the result is the sum of `values[e] * x[indices[e]]` over the nonzeros `e` of row `i`.

    Args:
        adj: the sparse matrix; or PyG's `edge_index`, whose edges `j -> i` add `x[j]` to row `i` (duplicates add up),
            turned into a matrix at its first use and remembered with the tensor.
        x: float32, bfloat16, float16 (both summed in float32) or float64, any width of at least 1.
        edge_weight: only with an `edge_index`: one factor for each edge.

    Differentiable in `x` and in the weights, also inside `torch.compile`. The transpose that the gradient needs is
    built once and kept with the matrix. Under `torch.compile` pass a `Csr`: an `edge_index` breaks the graph.

    Raises:
        ValueError: shapes do not match, or the tensors lie on different devices.
        TypeError: a dtype other than the four above, or an `adj` that is neither (`Csr.from_torch` takes torch's matrices).
    """
    if not isinstance(adj, Csr | Tensor):
        raise TypeError(f"adj must be a Csr or an edge_index, got {type(adj).__name__}")
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a torch tensor, got {type(x).__name__}")
    if isinstance(adj, Tensor):
        matrix = adjacency_of(adj, edge_weight, num_nodes=x.shape[0])
    elif edge_weight is not None:
        raise ValueError("edge_weight goes with an edge_index; a Csr carries its weights: adj.with_values(weights)")
    else:
        matrix = adj
    if x.ndim != 2 or x.shape[0] != matrix.columns:
        raise ValueError(f"x must be [{matrix.columns}, d] for {matrix.rows} x {matrix.columns}, got {[*x.shape]}")
    if x.dtype not in DTYPES:
        raise TypeError(f"x must be float32, bfloat16, float16 or float64, got {x.dtype}")
    if x.device != matrix.indices.device:
        raise ValueError(f"x is on {x.device} and the matrix on {matrix.indices.device}: move one with .to()")
    return _spmm(x, matrix.values, matrix.indptr, matrix.indices, matrix.columns, matrix.key, False)


@torch.library.custom_op("effml::spmm", mutates_args=())
def _spmm(
    x: Tensor, values: Tensor | None, indptr: Tensor, indices: Tensor, columns: int, key: int, transposed: bool
) -> Tensor:
    adj = _matrix(values, indptr, indices, columns, key)
    if transposed:
        adj = adj.transpose()
    return _backend(x).multiply(adj, x.contiguous())


@torch.library.custom_op("effml::sddmm", mutates_args=())
def _sddmm(left: Tensor, right: Tensor, indptr: Tensor, indices: Tensor, columns: int, key: int) -> Tensor:
    adj = _matrix(None, indptr, indices, columns, key)
    return _backend(left).sddmm(adj, left, right)


def _matrix(values: Tensor | None, indptr: Tensor, indices: Tensor, columns: int, key: int) -> Csr:
    """The caller's matrix with what it has cached; one made anew where it has been freed since (in a backward pass)."""
    adj = Csr.live(key)
    if adj is None or adj.indices.data_ptr() != indices.data_ptr():
        return Csr(indptr, indices, values, columns)
    same = adj.values is values or (
        adj.values is not None and values is not None and adj.values.data_ptr() == values.data_ptr()
    )
    return adj if same else adj.with_values(values)


def _backend(x: Tensor):
    if x.device.type == "cpu":
        from effml.kernels.spmm import cpu

        return cpu
    if x.device.type in ("cuda", "xpu"):
        from effml.kernels.spmm import gpu

        return gpu
    raise NotImplementedError(f"spmm has no kernel for {x.device.type}; move the matrix and x to the CPU or a GPU")


@_spmm.register_fake
def _(x, values, indptr, indices, columns, key, transposed):
    return x.new_empty(columns if transposed else indptr.shape[0] - 1, x.shape[1])


@_sddmm.register_fake
def _(left, right, indptr, indices, columns, key):
    return left.new_empty(indices.shape[0])


def _save_spmm(ctx, inputs, output):
    x, values, indptr, indices, *ctx.rest, ctx.transposed = inputs
    ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, values, indptr, indices)


def _spmm_backward(ctx, gradient):
    x, values, indptr, indices = ctx.saved_tensors
    of_x = of_values = None
    if ctx.needs_input_grad[0]:
        of_x = _spmm(gradient, values, indptr, indices, *ctx.rest, not ctx.transposed)
    if ctx.needs_input_grad[1]:
        left, right = (x, gradient) if ctx.transposed else (gradient, x)
        of_values = _sddmm(left, right, indptr, indices, *ctx.rest).to(values.dtype)
    return of_x, of_values, None, None, None, None, None


def _save_sddmm(ctx, inputs, output):
    left, right, indptr, indices, *ctx.rest = inputs
    ctx.save_for_backward(left, right, indptr, indices)


def _sddmm_backward(ctx, gradient):
    left, right, indptr, indices = ctx.saved_tensors
    of_left = _spmm(right, gradient, indptr, indices, *ctx.rest, False)
    of_right = _spmm(left, gradient, indptr, indices, *ctx.rest, True)
    return of_left, of_right, None, None, None, None


_spmm.register_autograd(_spmm_backward, setup_context=_save_spmm)
_sddmm.register_autograd(_sddmm_backward, setup_context=_save_sddmm)
