"""The dense products that MaxK is measured against, each at its best setting. Knows nothing of MaxK.

torch CSR with int32 indices and a cached transpose (MKL on CPU, cuSPARSE on CUDA), PyG's EdgeIndex, effml's own product,
in float32 and, where the library has it, bfloat16; on CPU also with the operand on huge pages, which torch does not ask
for by itself and which spares its random reads their TLB misses.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from effml.kernels import Csr, pages, spmm

Provider = Callable[[], Tensor]
REFERENCE = "torch-csr"
OWN = "effml-spmm"


def products(adj: Csr, x: Tensor) -> dict[str, Provider]:
    """Provider -> a call that computes `adj @ x`; one that cannot run here is not in it."""
    library, narrow = adj.to_torch(), x.bfloat16()
    candidates: dict[str, Provider] = {
        REFERENCE: lambda: library @ x,
        "torch-csr-bf16": _torch_bf16(adj, narrow),
        "pyg": _edge_index(adj, x),
        OWN: lambda: spmm(adj, x),
        f"{OWN}-bf16": lambda: spmm(adj, narrow),
    }
    if x.device.type == "cpu":
        paged = pages.empty(*x.shape, dtype=x.dtype).copy_(x)
        candidates["torch-csr-hugepages"] = lambda: library @ paged
    return {name: call for name, call in candidates.items() if _runs(call)}


def _torch_bf16(adj: Csr, x: Tensor) -> Provider:
    library = adj.to_torch(torch.bfloat16)
    return lambda: library @ x


def _edge_index(adj: Csr, x: Tensor) -> Provider:
    """PyG's own form, sorted by row and with its CSR cached."""
    from torch_geometric import EdgeIndex

    rows = torch.repeat_interleave(torch.arange(adj.rows, device=adj.device), adj.degrees)
    pairs = torch.stack([rows.to(torch.int32), adj.indices])
    index = EdgeIndex(pairs, sparse_size=(adj.rows, adj.columns), sort_order="row").fill_cache_()
    weight = adj.values if adj.values is not None else torch.ones(adj.nnz, device=adj.device)
    return lambda: index.matmul(x, input_value=weight)


def _runs(call: Provider) -> bool:
    """Whether the library implements this call on this device."""
    try:
        call()
    except (NotImplementedError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return False
    return True


class LibraryProduct(torch.autograd.Function):
    """`A @ x` by torch's CSR product, its gradient by the CSR product with the cached transpose."""

    @staticmethod
    def forward(ctx, adj: Csr, x: Tensor) -> Tensor:
        ctx.adj = adj
        return _library(adj) @ x

    @staticmethod
    def backward(ctx, grad: Tensor):
        return None, _library(ctx.adj.transpose()) @ grad.contiguous()


def library_product(adj: Csr, x: Tensor) -> Tensor:
    """torch's CSR product with gradients; a `Product` for the networks."""
    return LibraryProduct.apply(adj, x)


def _library(adj: Csr) -> Tensor:
    return adj.cached("torch", adj.to_torch)
