"""Who computes the product: ours, the libraries' calls and the two re-implementations, each as a call of one argument.

A library gets its best form of the matrix before anything is timed: int32 indices, sorted, on the device.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from effml.kernels import Csr, spmm

Product = Callable[[Tensor], Tensor]
LIBRARIES = ("torch", "torch reduce", "pyg", "scipy")


def providers(adj: Csr, dtype: torch.dtype, wanted: Iterable[str]) -> dict[str, Product]:
    """Name -> product with `adj`, a matrix of ones; names that cannot do this dtype or device are left out."""
    cuda, single = adj.device.type != "cpu", dtype == torch.float32
    makers: dict[str, Callable[[], Product]] = {
        "effml": lambda: lambda x: spmm(adj, x),
        "torch": lambda: _torch(adj, dtype),
    }
    if multiplied_by_torch(adj, dtype):
        makers["pyg"] = lambda: _pyg(adj)
    if single and not cuda:
        makers |= {"torch reduce": lambda: _torch_reduce(adj, dtype), "scipy": lambda: _scipy(adj)}
    if single or cuda:
        makers |= {"groups": lambda: _baseline(adj, "groups"), "rows": lambda: _baseline(adj, "rows")}
    return {name: makers[name]() for name in dict.fromkeys(("effml", "torch", *wanted)) if name in makers}


def torch_csr(adj: Csr, dtype: torch.dtype) -> Tensor:
    """The matrix as torch multiplies it fastest, without torch's warning that the format may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return adj.to_torch(dtype)


def _torch(adj: Csr, dtype: torch.dtype) -> Product:
    if multiplied_by_torch(adj, dtype):
        matrix = torch_csr(adj, dtype)
        return lambda x: matrix @ x
    single = torch_csr(adj, torch.float32)
    return lambda x: (single @ x.float()).to(dtype)


def torch_into(adj: Csr, x: Tensor, out: Tensor) -> Callable[[], object]:
    """torch's product written to a result that is there, in the best form for `x`'s dtype."""
    if multiplied_by_torch(adj, x.dtype):
        matrix = torch_csr(adj, x.dtype)
        return lambda: torch.mm(matrix, x, out=out)
    single, wide, given = torch_csr(adj, torch.float32), x.float(), out.float()
    return lambda: out.copy_(torch.mm(single, wide.copy_(x), out=given))


def multiplied_by_torch(adj: Csr, dtype: torch.dtype) -> bool:
    """Whether torch has a sparse product of this dtype: none of halves on a CPU."""
    return adj.device.type != "cpu" or dtype in (torch.float32, torch.float64)


def _torch_reduce(adj: Csr, dtype: torch.dtype) -> Product:
    """torch's own CPU kernel, which MKL's is bypassed for where a reduction is named."""
    matrix = torch_csr(adj, dtype)
    return lambda x: torch.sparse.mm(matrix, x, "sum")


def _pyg(adj: Csr) -> Product:
    from torch_geometric import EdgeIndex

    rows = torch.repeat_interleave(torch.arange(adj.rows, device=adj.device), adj.degrees)
    edges = torch.stack([rows, adj.indices.long()])
    matrix = EdgeIndex(edges, sparse_size=(adj.rows, adj.columns), sort_order="row")

    def product(x: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return matrix.matmul(x)

    return product


def _scipy(adj: Csr) -> Product:
    import numpy as np
    import scipy.sparse

    ones = np.ones(adj.nnz, dtype=np.float32)
    matrix = scipy.sparse.csr_array((ones, adj.indices.numpy(), adj.indptr.numpy()), shape=(adj.rows, adj.columns))
    return lambda x: torch.from_numpy(matrix @ x.numpy())


def _baseline(adj: Csr, name: str) -> Product:
    if adj.device.type == "cpu":
        from effml.experiments.accel_gcn import cpu_baselines as baselines
    else:
        from effml.experiments.accel_gcn import gpu_baselines as baselines  # type: ignore[no-redef]
    product = getattr(baselines, name)
    return lambda x: product(adj, x)
