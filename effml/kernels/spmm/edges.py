"""From PyG's `edge_index` to the matrix that the kernel takes, remembered with the tensor; no SparseTensor needed.

Duplicate edges are kept, as message passing adds each of them up.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from effml.kernels.csr import Csr, check_edges

_known: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


@torch.compiler.disable
def adjacency_of(
    edge_index: Int[Tensor, "2 edges"], edge_weight: Float[Tensor, " edges"] | None, num_nodes: int
) -> Csr:
    """The matrix whose row `i` holds the sources of the edges `j -> i`, weighted; built once for each `edge_index`.

    A tensor that was written to since is read again.

    Raises:
        ValueError: not `[2, edges]`, node ids outside the range, or another number of weights than of edges.
        TypeError: a matrix, sparse or dense, where edges are wanted.
    """
    if edge_index.layout != torch.strided or edge_index.is_floating_point():
        what = "a sparse torch tensor" if edge_index.layout != torch.strided else f"a tensor of {edge_index.dtype}"
        raise TypeError(f"adj is {what}, and no edge_index; make the matrix once with Csr.from_torch(adj)")
    check_edges(edge_index, edge_weight)
    version, known = _known.get(edge_index, (None, None))
    if version != edge_index._version or known.rows != num_nodes:
        # Weighted by the edges' positions, the matrix also tells where each edge went.
        position = torch.arange(edge_index.shape[1], device=edge_index.device)
        known = Csr.from_edge_index(edge_index, num_nodes, position, coalesce=False)
        _known[edge_index] = (edge_index._version, known)
    return known.with_values(None if edge_weight is None else edge_weight[known.values])
