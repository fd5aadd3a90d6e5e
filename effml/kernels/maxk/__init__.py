"""MaxK: keep the k largest values of each row, and multiply by graphs in that form (MaxK-GNN, ASPLOS 2024).

`maxk` selects, `spgemm` multiplies an adjacency by the selected, `sspmm` is its gradient, sampled at the selected places,
from the same adjacency untransposed. Gradients run through all of them.
"""

from __future__ import annotations

from numbers import Integral

from jaxtyping import Float, Int
from torch import Tensor

from effml.kernels.csr import Csr
from effml.kernels.maxk import ops
from effml.kernels.maxk.cbsr import VALUE_DTYPES, Cbsr, check_places, index_dtype
from effml.kernels.maxk.partition import EdgeGroups, edge_groups

__all__ = ["Cbsr", "EdgeGroups", "edge_groups", "maxk", "spgemm", "sspmm"]


def maxk(x: Float[Tensor, "N H"], k: int, *, backend: str | None = None) -> Cbsr:
    """Keep the k largest *signed* values of each row (MaxK-GNN, eq. 2): `y = x * m`, `m_ij = 1` iff `j` in `topk(x_i)`.

    Exactly k values are stored in every row, in ascending column order; of equal values the lowest column wins. NaN counts
    as larger than infinity and -0 equals 0, as in `torch.topk`. The gradient passes at the kept places and is zero
    elsewhere (eq. 3).

    Args:
        x: `[N, H]` float32, bfloat16, float16 or float64, of any strides; H at most 32,768.
        k: values to keep, in `1 .. H`. `k = H` keeps everything: the layer is then linear.
        backend: `"reference"`, `"numba"` (CPU), `"triton"` (GPU); default by device. Never another one instead.

    Returns:
        The kept values in CBSR form, of x's dtype.

    Raises:
        ValueError: k outside `1 .. H`, x not a matrix, H too large for a 16-bit index, or a back end not for x's device.
        TypeError: x is not floating point, or k no integer.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a torch tensor, got {type(x).__name__}")
    if x.dim() != 2:
        raise ValueError(f"x must be a matrix [N, H], got shape {tuple(x.shape)}")
    if x.dtype not in VALUE_DTYPES:
        raise TypeError(f"x must be floating point, got {x.dtype}")
    columns = x.shape[1]
    if not isinstance(k, Integral) or isinstance(k, bool):
        raise TypeError(f"k must be an integer, got {k!r}")
    k = int(k)
    if not 1 <= k <= columns:
        raise ValueError(f"k must be in 1..{columns} (the columns of x), got {k}")
    index_dtype(columns)  # refuses what a 16-bit index cannot reach
    values, index = ops.select(x, k, backend)
    return Cbsr(values, index, columns, checked=True)


def spgemm(adj: Csr, x: Cbsr, *, backend: str | None = None) -> Float[Tensor, "M H"]:
    """`Y = A @ X` for X in CBSR form (MaxK-GNN, section 4.2, row-wise product): `Y[i] = sum_j A[i, j] * X[j]`.

    Sums are in float32 (float64 for float64 values) and rounded once to the dtype of `x.values`. The gradient reaches
    `x.values` alone, through `sspmm`: the adjacency's weights are constants.

    Args:
        adj: `[M, N]` adjacency, any weights or none (all 1). CPU: columns ascending in each row, as the gradient needs.
        x: `[N, H]` in CBSR form, on adj's device.
        backend: as in `maxk`.

    Returns:
        Dense `[M, H]`, zero in rows without neighbours. On GPU sums of rows of more than 64 edges are atomic, so that
        their last bits vary from run to run; on CPU results are the same every time.

    Raises:
        ValueError: `adj.columns` and `x.rows` differ, the devices differ, a place of x lies outside its columns, or the
            adjacency's weights require a gradient.
        TypeError: x is not in CBSR form, or adj no Csr.
    """
    if not isinstance(x, Cbsr):
        raise TypeError(
            f"x must be in CBSR form, as maxk(x, k) returns it, got {type(x).__name__}; spmm takes dense ones"
        )
    _check(adj, x.rows, x.device)
    x.check_places()
    return ops.spgemm(adj, x.values, x.index, x.columns, backend)


def sspmm(
    adj: Csr, grad: Float[Tensor, "M H"], index: Int[Tensor, "N k"], *, backend: str | None = None
) -> Float[Tensor, "N k"]:
    """`dX = (A^T @ dY)` sampled at CBSR places (MaxK-GNN, section 4.3, outer product): the adjoint of `spgemm`.

    `dX[j, t] = sum_i A[i, j] * dY[i, index[j, t]]`. A is read by rows: no transpose is made or kept.

    Args:
        adj: `[M, N]` adjacency, as given to `spgemm`.
        grad: `[M, H]` gradient of its result.
        index: `[N, k]` index of the CBSR operand.
        backend: as in `maxk`.

    Returns:
        `[N, k]` gradient of the CBSR operand's values, of grad's dtype.

    Raises:
        ValueError: shapes or devices differ; a place in `index` beyond H; on CPU, columns of a row of `adj` that do not
            ascend.
        TypeError: `index` is not of the dtype that H columns call for, or grad not floating point.
    """
    if not isinstance(grad, Tensor) or not isinstance(index, Tensor) or index.dim() != 2:
        raise TypeError("grad and index must be torch tensors, index [N, k]")
    _check(adj, index.shape[0], grad.device)
    if grad.dim() != 2 or grad.shape[0] != adj.rows:
        raise ValueError(f"grad must be [{adj.rows}, H], a row for each row of A, got {tuple(grad.shape)}")
    if index.dtype != index_dtype(grad.shape[1]):
        wanted = index_dtype(grad.shape[1])
        raise TypeError(f"the index of a matrix of {grad.shape[1]} columns is {wanted}, got {index.dtype}")
    if not grad.is_floating_point():
        raise TypeError(f"grad must be floating point, got {grad.dtype}")
    check_places(index, grad.shape[1])
    return ops.sspmm(adj, grad, index, backend)


def _check(adj: Csr, rows: int, device: object) -> None:
    if not isinstance(adj, Csr):
        raise TypeError(f"adj must be a Csr, got {type(adj).__name__}; Csr.from_edge_index and Csr.from_torch make one")
    if adj.columns != rows:
        raise ValueError(f"the adjacency has {adj.columns} columns, but its right-hand side {rows} rows")
    if adj.device != device:
        raise ValueError(f"the adjacency is on {adj.device}, but its right-hand side on {device}")
    if adj.values is not None and adj.values.requires_grad:
        raise ValueError(
            "the adjacency's weights are constants here; detach them, or use spmm, which has their gradient"
        )
