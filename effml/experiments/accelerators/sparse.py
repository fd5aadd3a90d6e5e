"""Sparse operators as cases: CSR times dense by several providers, and block-sparse times dense over density."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from effml.experiments.accelerators import formulas as f
from effml.experiments.accelerators.cases import DTYPES, EPS, Case, normal, size_of
from effml.kernels import spmm
from effml.kernels.csr import Csr


def random_csr(rows: int, columns: int, density: float, dtype: str, generator: torch.Generator) -> Csr:
    """A uniformly random pattern with normal values; the same number of nonzeros in every row."""
    per_row = max(1, round(density * columns))
    keys = torch.rand(rows, columns, generator=generator).topk(per_row, dim=1).indices.sort(dim=1).values
    indptr = torch.arange(0, rows * per_row + 1, per_row, dtype=torch.int64)
    values = torch.randn(rows * per_row, generator=generator).to(DTYPES[dtype])
    return Csr(indptr, keys.reshape(-1).to(torch.int32), values, columns)


def stretched_csr(rows: int, columns: int, per_row: int, dtype: str, generator: torch.Generator) -> Csr:
    """One nonzero of each row in every one of `per_row` equal stretches of its columns, with normal values: for matrices
    so large that a draw for every entry would take longer than the product."""
    borders = torch.arange(per_row + 1) * columns // per_row
    drawn = (torch.rand(rows, per_row, generator=generator) * borders.diff()).long().minimum(borders.diff() - 1)
    values = torch.randn(rows * per_row, generator=generator).to(DTYPES[dtype])
    return Csr(torch.arange(rows + 1) * per_row, (borders[:-1] + drawn).flatten().int(), values, columns)


def sparse_dense(rows: int, densities: list[float], widths: list[int], dtype: str = "fp32") -> Iterator[Case]:
    """CSR [rows, rows] times dense [rows, width]."""
    for density in densities:
        nnz = rows * max(1, round(density * rows))
        for width in widths:

            def build(
                device: torch.device, g: torch.Generator, density: float = density, width: int = width
            ) -> tuple[Any, ...]:
                adj = random_csr(rows, rows, density, dtype, g).to(device)
                x = normal((rows, width), dtype, device, g)
                library = adj.to_torch(DTYPES[dtype])
                return adj, library, library.to_dense(), x

            yield Case(
                "spmm", {"shape": f"{rows}x{rows}x{width}", "density": density, "dtype": dtype}, dtype,
                f.spmm_flops(nnz, width), f.spmm_bytes(rows, rows, nnz, width, size_of(dtype)), build,
                {
                    "torch csr": lambda adj, library, dense, x: library @ x,
                    "effml": lambda adj, library, dense, x: spmm(adj, x),
                    "torch dense": lambda adj, library, dense, x: dense @ x,
                },
                lambda adj, library, dense, x: dense @ x, f.tolerance(EPS[dtype], max(1, round(density * rows))), "spmm",
            )  # fmt: skip


def block_sparse(rows: int, block: int, densities: list[float], width: int, dtype: str = "fp32") -> Iterator[Case]:
    """Square matrix of b x b blocks, a share of which is kept, times dense; dense GEMM beside."""
    blocks = rows // block
    for density in densities:
        kept = max(1, round(density * blocks))

        def build(device: torch.device, g: torch.Generator, kept: int = kept) -> tuple[Tensor, Tensor, Tensor]:
            mask = torch.zeros(blocks, blocks)
            chosen = torch.rand(blocks, blocks, generator=g).topk(kept, dim=1).indices
            mask.scatter_(1, chosen, 1.0)
            full = mask.repeat_interleave(block, 0).repeat_interleave(block, 1)
            dense = (torch.randn(rows, rows, generator=g) * full).to(DTYPES[dtype])
            x = normal((rows, width), dtype, device, g)
            return dense.to_sparse_bsr((block, block)).to(device), dense.to(device), x

        nnz = kept * blocks * block * block
        yield Case(
            "block-sparse", {"shape": f"{rows}x{rows}x{width}", "block": block, "density": density, "dtype": dtype}, dtype,
            f.spmm_flops(nnz, width), f.spmm_bytes(rows, rows, nnz, width, size_of(dtype), index=0), build,
            {"torch bsr": lambda bsr, dense, x: bsr @ x, "torch dense": lambda bsr, dense, x: dense @ x},
            lambda bsr, dense, x: dense @ x, f.tolerance(EPS[dtype], kept * block), "block_sparse",
        )  # fmt: skip
