"""CBSR, the compressed balanced sparse row form: exactly k stored values in every row (MaxK-GNN, section 3.1).

Holds the form and its invariants; knows nothing of how rows are chosen or multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

_NARROW_COLUMNS = 2**8
_WIDE_COLUMNS = 2**15
VALUE_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def index_dtype(columns: int) -> torch.dtype:
    """The narrowest dtype that holds column ids 0 .. columns - 1: uint8 up to 256 columns, int16 up to 32,768.

    Raises:
        ValueError: more columns than a 16-bit index reaches.
    """
    if columns <= _NARROW_COLUMNS:
        return torch.uint8
    if columns <= _WIDE_COLUMNS:
        return torch.int16
    raise ValueError(f"a CBSR index is at most 16 bits wide and reaches {_WIDE_COLUMNS} columns, not {columns}")


@dataclass(eq=False)
class Cbsr:
    """A `rows x columns` matrix with exactly `k` stored values in every row; the other entries are zero.

    Row `r` needs no pointer: it starts at `r * k`. With fp32 values and a uint8 index a row takes `5 k` bytes, where a
    dense one takes `4 columns`. A stored value may be zero (dropout keeps the slot).

    Args:
        values: `[rows, k]` float32, bfloat16, float16 (or float64, for checking); carries the gradient.
        index: `[rows, k]` column of each value, distinct and ascending within a row; of dtype `index_dtype(columns)`.
        columns: number of columns of the matrix.

    Raises:
        TypeError: `values` or `index` of another dtype. A wider index is refused, never cast, for casting could wrap.
        ValueError: shapes differ, or `k` is not in `1 .. columns`.
    """

    values: Float[Tensor, "rows k"]
    index: Int[Tensor, "rows k"]
    columns: int
    checked: bool = field(default=False, repr=False)
    """Whether the places are known to lie within the columns, as those that `maxk` chose do."""

    def __post_init__(self) -> None:
        if self.values.dtype not in VALUE_DTYPES:
            raise TypeError(f"values must be floating point, got {self.values.dtype}")
        if self.index.dtype != index_dtype(self.columns):
            wanted = index_dtype(self.columns)
            raise TypeError(f"the index of a matrix of {self.columns} columns is {wanted}, got {self.index.dtype}")
        if self.values.shape != self.index.shape or self.values.dim() != 2:
            shapes = f"{tuple(self.values.shape)} and {tuple(self.index.shape)}"
            raise ValueError(f"values and index must be [rows, k] alike, got {shapes}")
        if not 1 <= self.k <= self.columns:
            raise ValueError(f"k must be in 1..{self.columns}, got {self.k}")

    @property
    def rows(self) -> int:
        return self.values.shape[0]

    @property
    def k(self) -> int:
        """Values stored in each row."""
        return self.values.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix, `(rows, columns)`."""
        return self.rows, self.columns

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def nbytes(self) -> int:
        """Bytes of values and index."""
        return self.values.nbytes + self.index.nbytes

    def with_values(self, values: Tensor) -> Cbsr:
        """The same pattern with other values, such as the same ones after dropout."""
        return Cbsr(values, self.index, self.columns, self.checked)

    def to(self, target: torch.device | str | torch.dtype) -> Cbsr:
        """A copy on another device, or with values of another dtype."""
        index = self.index if isinstance(target, torch.dtype) else self.index.to(target)
        return Cbsr(self.values.to(target), index, self.columns, self.checked)

    def check(self) -> None:
        """Raise ValueError unless columns are distinct, ascending and within `0 .. columns - 1` (reads all of it)."""
        wide = self.index.long()
        if wide.numel() and (int(wide.min()) < 0 or int(wide.max()) >= self.columns):
            raise ValueError(f"index holds columns outside 0..{self.columns - 1}")
        if bool((wide[:, 1:] <= wide[:, :-1]).any()):
            raise ValueError("the columns of each row must be distinct and ascending")

    def check_places(self) -> None:
        """Raise ValueError where a place lies outside the columns: kernels would read and write there. Once a matrix."""
        if not self.checked and not torch.compiler.is_compiling():
            check_places(self.index, self.columns)
            self.checked = True

    def to_dense(self) -> Float[Tensor, "rows columns"]:
        """The dense matrix, zero where nothing is stored; differentiable in `values`."""
        from effml.kernels.maxk import ops

        self.check_places()
        return ops.unpack(self.values, self.index, self.columns)


def check_places(index: Int[Tensor, "rows k"], columns: int) -> None:
    """Raise ValueError where a place lies outside `0 .. columns - 1`; on a GPU the device stops at it, without waiting."""
    if not index.numel():
        return
    if index.device.type == "cpu":
        low, high = (int(end) for end in index.aminmax())
        if low < 0 or high >= columns:
            raise ValueError(f"index has places from {low} to {high}, and the matrix {columns} columns")
    else:
        torch._assert_async(((index >= 0) & (index < columns)).all())  # asking the device now would stall its queue
