"""A sparse matrix in CSR form, as every graph kernel here takes it; knows nothing of graphs' features or models.

`indptr` is int64 so that more than 2^31 nonzeros are addressable; `indices` is int32, as the fastest library calls
want. Derived facts that kernels need again and again (transpose, degrees, a partition) are built once and cached with
the matrix through `cached`.
"""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

T = TypeVar("T")

_keys = itertools.count(1)
_live: weakref.WeakValueDictionary[int, Csr] = weakref.WeakValueDictionary()


@dataclass(eq=False)
class Csr:
    """Rows times columns sparse matrix.

    Args:
        indptr: int64 `[rows + 1]`, offsets into `indices`.
        indices: int32 `[nnz]`, column of each nonzero.
        values: `[nnz]` floating point, or None for a pattern whose nonzeros are all 1.
        columns: number of columns.
    """

    indptr: Int[Tensor, " rows_plus_1"]
    indices: Int[Tensor, " nnz"]
    values: Float[Tensor, " nnz"] | None
    columns: int
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)
    _pattern_cache: dict[Any, Any] = field(default_factory=dict, repr=False)
    _version: int = field(default=0, init=False, repr=False)
    key: int = field(default_factory=_keys.__next__, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.indptr.dtype != torch.int64:
            raise TypeError(f"indptr must be int64, got {self.indptr.dtype}")
        if self.indices.dtype != torch.int32:
            raise TypeError(f"indices must be int32, got {self.indices.dtype}")
        if self.values is not None and self.values.shape != self.indices.shape:
            shapes = f"values {tuple(self.values.shape)} and indices {tuple(self.indices.shape)}"
            raise ValueError(f"{shapes} differ in shape")
        _live[self.key] = self

    @staticmethod
    def live(key: int) -> Csr | None:
        """The matrix with this `key`, or None when it is gone.

        Operators that torch compiles take tensors and numbers alone; the key leads them back to what is cached here.
        """
        return _live.get(key)

    @property
    def rows(self) -> int:
        return self.indptr.numel() - 1

    @property
    def nnz(self) -> int:
        return self.indices.numel()

    @property
    def device(self) -> torch.device:
        return self.indices.device

    @property
    def degrees(self) -> Int[Tensor, " rows"]:
        """Nonzeros of each row, int64."""
        return self.indptr[1:] - self.indptr[:-1]

    def cached(self, key: Any, build: Callable[[], T]) -> T:
        """What `build` returns, built at the first call with this key and kept until values are written to."""
        version = 0 if self.values is None or self.values.is_inference() else self.values._version
        if version != self._version:
            self._cache.clear()
            self._version = version
        if key not in self._cache:
            self._cache[key] = build()
        return self._cache[key]

    def cached_pattern(self, key: Any, build: Callable[[], T]) -> T:
        """As `cached`, for what depends on the pattern alone: shared with every matrix made by `with_values`."""
        if key not in self._pattern_cache:
            self._pattern_cache[key] = build()
        return self._pattern_cache[key]

    def transpose(self) -> Csr:
        """The transpose, rows in ascending order of column; cached."""
        return self.cached("transpose", self._transpose)

    def transpose_order(self) -> Int[Tensor, " nnz"]:
        """Where each nonzero of the transpose stands in this matrix; cached."""
        return self.cached_pattern("transpose_order", lambda: torch.sort(self.indices, stable=True).indices)

    def _transpose(self) -> Csr:
        pattern = self.cached_pattern("transpose", self._transpose_pattern)
        return pattern.with_values(None if self.values is None else self.values[self.transpose_order()])

    def _transpose_pattern(self) -> Csr:
        rows = torch.repeat_interleave(torch.arange(self.rows, device=self.device), self.degrees)
        counts = torch.bincount(self.indices, minlength=self.columns)
        indptr = torch.zeros(self.columns + 1, dtype=torch.int64, device=self.device)
        torch.cumsum(counts, 0, out=indptr[1:])
        return Csr(indptr, rows[self.transpose_order()].to(torch.int32), None, self.rows)

    def to(self, device: torch.device | str) -> Csr:
        """A copy on `device`; caches are not carried."""
        values = None if self.values is None else self.values.to(device)
        return Csr(self.indptr.to(device), self.indices.to(device), values, self.columns)

    def with_values(self, values: Tensor | None) -> Csr:
        """The same pattern with other values (or None for all ones)."""
        other = Csr(self.indptr, self.indices, values, self.columns)
        other._pattern_cache = self._pattern_cache
        return other

    def to_torch(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """torch CSR tensor: the fastest form for `torch.sparse` on CPU (MKL) and CUDA (cuSPARSE).

        Its indices are int32 wherever they can be; beyond 2^31 nonzeros both index arrays are int64.
        """
        values = torch.ones(self.nnz, dtype=dtype, device=self.device) if self.values is None else self.values.to(dtype)
        index = torch.int32 if self.nnz < 2**31 else torch.int64
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            size = (self.rows, self.columns)
            return torch.sparse_csr_tensor(
                self.indptr.to(index), self.indices.to(index), values, size, check_invariants=False
            )

    @staticmethod
    def from_torch(matrix: Float[Tensor, "rows columns"]) -> Csr:
        """A torch matrix of any layout, sparse or dense; duplicate entries of an uncoalesced COO one are summed.

        Raises:
            ValueError: not a matrix.
            TypeError: not a torch tensor.
        """
        if not isinstance(matrix, Tensor):
            raise TypeError(f"a torch matrix is needed, got {type(matrix).__name__}")
        if matrix.ndim != 2:
            raise ValueError(f"a matrix is needed, got shape {[*matrix.shape]}")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            csr = (matrix.coalesce() if matrix.layout == torch.sparse_coo else matrix).to_sparse_csr()
        # Copies: torch.compile cannot follow a view into a sparse tensor.
        pattern = csr.crow_indices().long().clone(), csr.col_indices().int().clone()
        return Csr(*pattern, csr.values().clone(), matrix.shape[1])

    @staticmethod
    def from_edge_index(
        edge_index: Int[Tensor, "2 edges"], num_nodes: int, weight: Tensor | None = None, *, coalesce: bool = True
    ) -> Csr:
        """Adjacency whose row `i` holds the sources `j` of the edges `j -> i` (PyG's `edge_index` convention).

        Columns come out ascending. With `coalesce`, duplicate edges are merged (weights summed; a pattern stays a
        pattern).

        Raises:
            ValueError: not `[2, edges]`, ids outside `0 .. num_nodes - 1`, or another number of weights than of edges.
            TypeError: ids that are no integers.
        """
        check_edges(edge_index, weight)
        if num_nodes < 0:
            raise ValueError(f"num_nodes must not be negative, got {num_nodes}")
        source, target = edge_index[0].long(), edge_index[1].long()
        if edge_index.numel() and (int(edge_index.min()) < 0 or int(edge_index.max()) >= num_nodes):
            raise ValueError(f"edge_index holds node ids outside 0..{num_nodes - 1}")
        key = target * num_nodes + source
        key, order = torch.sort(key, stable=True)
        values = None if weight is None else weight[order]
        if coalesce and key.numel():
            key, inverse = torch.unique_consecutive(key, return_inverse=True)
            if values is not None:
                values = values.new_zeros(key.numel()).index_add_(0, inverse, values)
        rows, cols = key // max(num_nodes, 1), key % max(num_nodes, 1)
        indptr = torch.zeros(num_nodes + 1, dtype=torch.int64, device=key.device)
        torch.cumsum(torch.bincount(rows, minlength=num_nodes), 0, out=indptr[1:])
        return Csr(indptr, cols.to(torch.int32), values, num_nodes)


def check_edges(edge_index: Tensor, weight: Tensor | None) -> None:
    """Refuse what is no `[2, edges]` of integers, or weights that are not one per edge.

    Raises:
        ValueError, TypeError: with the shape or dtype that was given.
    """
    if edge_index.ndim != 2 or edge_index.shape[0] != 2:
        raise ValueError(f"edge_index must be [2, edges], got {[*edge_index.shape]}")
    if edge_index.dtype == torch.bool or edge_index.is_floating_point() or edge_index.is_complex():
        raise TypeError(f"edge_index holds node ids and must be of integers, got {edge_index.dtype}")
    if weight is not None and weight.shape != edge_index.shape[1:]:
        raise ValueError(f"weight {[*weight.shape]} needs one entry per edge: {edge_index.shape[1]}")
