"""A timed point, the roofs that all points of a run set, and how far below them each one stays."""

from __future__ import annotations

from dataclasses import dataclass

from effml.experiments.accelerators import formulas
from effml.experiments.accelerators.backends import Outcome
from effml.experiments.accelerators.cases import Case

BOUND_BY_COMPUTE = {"gemm", "bmm"}


@dataclass(frozen=True)
class Point:
    """One timed provider on one case."""

    case: Case
    outcome: Outcome

    @property
    def seconds(self) -> float:
        assert self.outcome.timing is not None
        return self.outcome.timing.median

    @property
    def tflops(self) -> float:
        return self.case.flops / self.seconds / 1e12

    @property
    def warm_tflops(self) -> float | None:
        """TFLOP/s with the operands in a cache, where that was timed apart."""
        warm = self.outcome.warm
        return None if warm is None else self.case.flops / warm.median / 1e12

    @property
    def highest(self) -> float:
        """TFLOP/s, cold or warm."""
        return max(self.tflops, self.warm_tflops or 0.0)

    @property
    def bandwidth(self) -> float:
        """GB/s of least bytes."""
        return self.case.nbytes / self.seconds / 1e9


def measured_roofs(points: list[Point]) -> dict[str, tuple[float, float]]:
    """dtype -> (highest TFLOP/s, highest GB/s) that anything reached in this run, so that no point stands above its roof.

    A library's convolution can beat its own GEMM, and a stream that a large cache still serves the largest one.
    """
    roofs = {}
    for dtype in sorted({p.case.dtype for p in points}):
        rates = [p.highest for p in points if p.case.dtype == dtype and p.case.flops]
        if any(p.case.op in BOUND_BY_COMPUTE for p in points if p.case.dtype == dtype) and rates:
            roofs[dtype] = (max(rates), max(p.bandwidth for p in points))
    return roofs


def over_fp32(point: Point, points: list[Point]) -> float | None:
    """This warm rate over the best of float32 on the same shape; None for float32 itself and where it was not timed."""
    shape = {key: value for key, value in point.case.labels.items() if key != "dtype"}
    rates = [
        other.warm_tflops
        for other in points
        if other.case.table == point.case.table
        and other.case.labels == {**shape, "dtype": "fp32"}
        and other.warm_tflops
    ]
    if point.case.dtype == "fp32" or not rates or point.warm_tflops is None:
        return None
    return point.warm_tflops / max(rates)


def share_of_roof(point: Point, roofs: dict[str, tuple[float, float]]) -> float | None:
    """Achieved over attainable at this point's intensity."""
    if point.case.dtype not in roofs:
        return None
    peak, bandwidth = roofs[point.case.dtype]
    if point.case.flops == 0:
        return point.bandwidth / bandwidth
    return point.tflops / formulas.attainable(point.case.intensity, peak, bandwidth / 1e3)
