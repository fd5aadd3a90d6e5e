"""Matrices for the tests of the sparse product, and the error measured against the terms that go into each sum."""

import numpy as np
import torch

from effml.kernels import Csr
from effml.kernels.spmm import spmm_reference

TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 2**-8, torch.float16: 2**-10}


def heavy_tailed(rows: int, columns: int, hub: int = 0, weighted: bool = False, device: str = "cpu") -> Csr:
    """Degrees from 0 to about 100 with one row of `hub` nonzeros; columns drawn with repetition."""
    degrees = np.minimum(np.random.zipf(1.5, rows) - 1, 100)
    degrees[rows // 2] = max(hub, degrees[rows // 2])
    return of_degrees(degrees, columns, weighted).to(device)


def of_degrees(degrees, columns: int = 50, weighted: bool = False) -> Csr:
    """Rows of these degrees, columns drawn with repetition."""
    indptr = torch.from_numpy(np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64))
    indices = torch.randint(0, columns, (int(indptr[-1]),), dtype=torch.int32)
    return Csr(indptr, indices, torch.randn(indices.numel()) if weighted else None, columns)


def scaled_error(adj: Csr, x: torch.Tensor, y: torch.Tensor) -> float:
    """Largest |y - exact| over sum |A| |X|, the size of the terms that went into it."""
    exact = spmm_reference(adj, x.double())
    magnitude = adj.with_values(None if adj.values is None else adj.values.abs())
    scale = spmm_reference(magnitude, x.double().abs())
    error = (y.double() - exact).abs()
    assert torch.all(error[scale == 0] == 0), "a sum of nothing is exactly 0"
    rounding = torch.finfo(y.dtype).smallest_normal * torch.finfo(y.dtype).eps  # below the normal range
    return float(((error - rounding).clamp_min(0) / scale.clamp_min(1e-300)).max())
