"""What a buyer sets side by side: the best figures of a device, one a line, whatever device they come from.

A figure names its unit. Rates are the highest measured, whatever the shape; times that depend on a model or a shape
name it, so that only like stands beside like.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from effml.experiments.core.paper import published

if TYPE_CHECKING:
    from effml.experiments.accelerators.roofs import Point

HIGHEST = {  # table -> figure
    "gemm": "GEMM [TFLOP/s]",
    "conv": "convolution [TFLOP/s]",
    "attention": "attention [TFLOP/s]",
    "spmm": "sparse times dense [TFLOP/s]",
    "block_sparse": "block-sparse times dense [TFLOP/s]",
}
SKEWED = "most skewed GEMM over square [1]"
MEMORY = "memory, streaming [GB/s]"
RIDGE = "ridge [FLOP/B]"
SPEC_COMPUTE, SPEC_MEMORY = "published peak [TFLOP/s]", "published memory [GB/s]"


def figures(points: list[Point], roofs: dict[str, tuple[float, float]]) -> Iterator[tuple[str, str, float]]:
    """(figure, dtype, value) of what was measured."""
    for table, figure in HIGHEST.items():
        mine = [p for p in points if p.case.table == table and "depthwise" not in str(p.case.labels.get("layer"))]
        for dtype in sorted({p.case.dtype for p in mine}):
            yield figure, dtype, max(p.highest for p in mine if p.case.dtype == dtype)
    skewed = [p for p in points if p.case.table == "skew"]
    for dtype in sorted({p.case.dtype for p in skewed}):
        rates = {int(p.case.labels["log2_ratio"]): p.tflops for p in skewed if p.case.dtype == dtype}
        if rates.get(0):
            yield SKEWED, dtype, min(rates.values()) / rates[0]
    for p in points:
        if p.case.table == "encoder" and p.outcome.provider == "torch":
            shape = str(p.case.labels["shape"])
            name = f"{p.case.labels['model']} {shape} {p.case.labels['step']} [sequences/s]"
            yield name, p.case.dtype, int(shape.split("x")[0]) / p.seconds
        if p.case.table == "product" and p.outcome.provider == "effml":
            yield f"{p.case.op} {p.case.labels['shape']} [calls/s]", p.case.dtype, 1 / p.seconds
    for dtype, (peak, bandwidth) in roofs.items():
        yield MEMORY, dtype, bandwidth
        yield RIDGE, dtype, peak * 1e3 / bandwidth


def published_figures() -> Iterator[tuple[str, str, str, float, str]]:
    """(figure, dtype, device, value, source) of what others published."""
    for entry in published("accelerators"):
        if entry.value is None:
            continue
        dtype, device = str(entry.labels.get("dtype")), str(entry.labels.get("device"))
        if entry.table == "best":
            yield HIGHEST["gemm"], dtype, device, entry.value, entry.source
        elif entry.table == "hardware":
            figure = SPEC_COMPUTE if entry.metric == "peak_tflops" else SPEC_MEMORY
            yield figure, dtype, device, entry.value, entry.source
