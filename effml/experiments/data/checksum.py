"""Checksums of what is in memory: for data that is generated, or that a library keeps in files of its own."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import numpy as np


def of(*parts: Any) -> str:
    """sha256 over arrays, tensors and strings in this order; shapes and dtypes count, devices do not."""
    torch = sys.modules.get("torch")  # texts need no torch, and there are no tensors before it is imported
    total = hashlib.sha256()
    for part in parts:
        is_tensor = torch is not None and isinstance(part, torch.Tensor)
        if is_tensor and str(part.layout) == "torch.sparse_csr":
            total.update(of(part.crow_indices(), part.col_indices(), part.values(), str(tuple(part.shape))).encode())
        elif is_tensor or isinstance(part, np.ndarray):
            array = part.detach().cpu().numpy() if is_tensor else part
            array = np.ascontiguousarray(array)
            total.update(f"{array.dtype.str} {array.shape}\n".encode())
            total.update(array.data.cast("B") if array.size else b"")
        elif part is None:
            total.update(b"none\n")
        else:
            total.update(f"{part}\n".encode())
    return total.hexdigest()
