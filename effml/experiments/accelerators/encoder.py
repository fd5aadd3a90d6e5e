"""Transformer encoders of BERT's sizes as cases: forward and training step, random weights (speed needs no others)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from effml.experiments.accelerators import formulas as f
from effml.experiments.accelerators.cases import DTYPES, EPS, Case, normal, size_of


@dataclass(frozen=True)
class Size:
    """Layers, width, heads and feed-forward width of an encoder."""

    layers: int
    width: int
    heads: int
    inner: int


SIZES = {"mini": Size(4, 256, 4, 1024), "base": Size(12, 768, 12, 3072), "large": Size(24, 1024, 16, 4096)}


def encoder(size: Size, dtype: str, device: torch.device, seed: int) -> nn.Module:
    """An encoder without embeddings and dropout, in training mode (the inference fast path would hide its operators)."""
    torch.manual_seed(seed)
    layer = nn.TransformerEncoderLayer(
        size.width, size.heads, size.inner, dropout=0.0, activation="gelu", batch_first=True
    )
    return nn.TransformerEncoder(layer, size.layers, enable_nested_tensor=False).to(device, DTYPES[dtype]).train()


def encoders(names: list[str], batch: int, length: int, dtypes: list[str]) -> Iterator[Case]:
    for name in names:
        for dtype in dtypes:
            for step in ("forward", "train"):
                yield _case(name, SIZES[name], batch, length, dtype, step)


def _case(name: str, size: Size, batch: int, length: int, dtype: str, step: str) -> Case:
    def build(device: torch.device, g: torch.Generator) -> tuple[Any, ...]:
        return encoder(size, dtype, device, int(g.initial_seed() % 2**31)), normal(
            (batch, length, size.width), dtype, device, g
        )

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():
            return model(x)

    def train(model: nn.Module, x: Tensor) -> Tensor:
        model.zero_grad(set_to_none=True)
        # The input asks for its gradient as it would behind an embedding, so that every layer's backward is whole.
        inputs = x.detach().requires_grad_()
        # Not a mean of squares: the last norm fixes that, and its gradient would be rounding noise.
        (model(inputs) * x).mean().backward()
        assert inputs.grad is not None
        return inputs.grad

    parameters = f.encoder_parameters(size.layers, size.width, size.inner)
    return Case(
        "encoder", {"model": name, "shape": f"{batch}x{length}", "step": step, "dtype": dtype}, dtype,
        f.encoder_flops(size.layers, size.width, size.inner, batch, length, train=step == "train"),
        size_of(dtype) * (parameters * (3 if step == "train" else 1) + 2 * batch * length * size.width), build,
        {"torch": forward if step == "forward" else train}, forward if step == "forward" else train,
        # Norms and residuals keep the error of a deep stack near that of one layer.
        f.tolerance(EPS[dtype], size.inner) * (10 if step == "train" else 2), "encoder",
    )  # fmt: skip
