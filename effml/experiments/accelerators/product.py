"""This product's own kernels as operators, each beside what torch offers for the same result."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from effml.experiments.accelerators import formulas as f
from effml.experiments.accelerators.cases import DTYPES, EPS, Case, normal, size_of
from effml.kernels import gated_polynomial, retention


def own_kernels(
    heads: int, head_dim: int, length: int, channels: int, pixels: int, dtype: str = "fp32"
) -> Iterator[Case]:
    """Retention over a sequence and the gated polynomial over an image, both in one dtype."""
    yield _retention(heads, head_dim, length, dtype)
    yield _gated(channels, pixels, dtype)


def _retention(heads: int, head_dim: int, length: int, dtype: str) -> Case:
    """The chunkwise form against the quadratic one that a plain implementation uses."""
    shape = (1, length, heads, head_dim)
    log_gamma = torch.log1p(-(2.0 ** (-5.0 - torch.arange(heads, dtype=torch.float64))))

    def build(device: torch.device, g: torch.Generator) -> tuple[Tensor, ...]:
        q, k, v = (normal(shape, dtype, device, g) for _ in range(3))
        return q, k, v, log_gamma.to(device, torch.float32)

    state = 4 * length * heads * head_dim * head_dim  # outer product in, inner product out
    return Case(
        "retention", {"op": "retention", "shape": "x".join(map(str, shape)), "dtype": dtype}, dtype,
        state, f.attention_bytes(1, heads, length, head_dim, size_of(dtype)), build,
        {
            "torch parallel": lambda q, k, v, decay: retention(q, k, v, decay, backend="parallel"),
            "effml": lambda q, k, v, decay: retention(q, k, v, decay),
        },
        lambda q, k, v, decay: retention(q, k, v, decay, backend="recurrent"), f.tolerance(EPS[dtype], length), "product",
    )  # fmt: skip


def _gated(channels: int, pixels: int, dtype: str) -> Case:
    """Half of the sites keep ReLU, half take a parabola: one fused pass against the expression written out."""
    shape = (16, channels, pixels, pixels)

    def build(device: torch.device, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        gate = (torch.rand(shape[1:], generator=g) < 0.5).to(DTYPES[dtype]).to(device)
        coefficients = torch.tensor([0.2, 0.5, 0.1], dtype=DTYPES[dtype], device=device)
        return normal(shape, dtype, device, g), gate, coefficients

    def spelled(x: Tensor, gate: Tensor, c: Tensor) -> Tensor:
        return gate * torch.relu(x) + (1 - gate) * (c[0] + c[1] * x + c[2] * x * x)

    elements = shape[0] * channels * pixels * pixels
    return Case(
        "gated polynomial", {"op": "gated polynomial", "shape": "x".join(map(str, shape)), "dtype": dtype}, dtype,
        8 * elements, 2 * elements * size_of(dtype), build,
        {"torch": spelled, "effml": lambda x, gate, c: gated_polynomial(x, gate, c)}, spelled, 32 * EPS[dtype], "product",
    )  # fmt: skip
