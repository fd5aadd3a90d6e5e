"""Wide binary features as sparse matrices."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def one_hot_rows(rows: Sequence[Sequence[int]], width: int) -> Tensor:
    """`[rows, width]` float32 torch CSR tensor with a 1 at each listed column of each row."""
    columns = [sorted(set(row)) for row in rows]
    indptr = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in columns], out=indptr[1:])
    indices = np.fromiter((column for row in columns for column in row), dtype=np.int64, count=int(indptr[-1]))
    return csr(torch.from_numpy(indptr), torch.from_numpy(indices), torch.ones(len(indices)), (len(rows), width))


def one_hot_table(table: Tensor) -> Tensor:
    """`[rows, sum of distinct values of each column]` float32 torch CSR tensor: each categorical column one-hot.

    Args:
        table: `[rows, columns]` integers; the values of a column are coded in ascending order.
    """
    columns, width = [], 0
    for column in table.t():
        values, code = torch.unique(column, return_inverse=True)
        columns.append(code + width)
        width += len(values)
    indices = torch.stack(columns, 1).reshape(-1)
    indptr = torch.arange(len(table) + 1) * table.shape[1]
    return csr(indptr, indices, torch.ones(len(indices)), (len(table), width))


def csr(indptr: Tensor, indices: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """A torch CSR tensor with int32 indices, which torch multiplies faster than int64 ones."""
    indptr, indices = indptr.to(torch.int32), indices.to(torch.int32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(indptr, indices, values, size, check_invariants=False)


def take_rows(x: Tensor, nodes: Tensor) -> Tensor:
    """These rows of a torch CSR tensor, as another."""
    indptr, lengths = x.crow_indices(), x.crow_indices().diff()[nodes]
    start = torch.repeat_interleave(indptr[nodes] - torch.cumsum(lengths, 0) + lengths, lengths)
    taken = start + torch.arange(start.numel(), device=x.device)
    offsets = torch.cat((lengths.new_zeros(1), torch.cumsum(lengths, 0)))
    return csr(offsets, x.col_indices()[taken], x.values()[taken], (len(nodes), x.shape[1]))
