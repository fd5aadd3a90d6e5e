"""A one-page portrait of a device: GEMM against size, skew, streaming, and every operator under the measured roof."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from effml.experiments.accelerators.roofs import Point


def draw(path: Path, device: str, points: list[Point], roofs: dict[str, tuple[float, float]], *, evidence: str) -> None:
    """Write the page as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(11, 8), layout="constrained")
    title = device if evidence == "measured" else f"{device} ({evidence})"
    figure.suptitle(title)
    _lines(axes[0, 0], points, "gemm", "n", "tflops", "Square GEMM", "TFLOP/s")
    _lines(axes[0, 1], points, "skew", "log2_ratio", "tflops", "Skewed GEMM, same work", "TFLOP/s", logarithmic=False)
    _lines(axes[1, 0], points, "stream", "elements", "bandwidth", "Streaming operators", "GB/s")
    _roofline(axes[1, 1], points, roofs)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _lines(
    axes: Any, points: list[Point], table: str, x: str, y: str, title: str, unit: str, *, logarithmic: bool = True
) -> None:
    series: dict[str, list[tuple[float, float]]] = {}
    for p in points:
        if p.case.table == table:
            name = " ".join(str(p.case.labels[key]) for key in ("op", "dtype") if key in p.case.labels)
            series.setdefault(name, []).append((p.case.labels[x], getattr(p, y)))
    for name, pairs in series.items():
        axes.plot(*zip(*sorted(pairs), strict=True), marker="o", markersize=3, label=name)
    axes.set(title=title, xlabel=x, ylabel=unit)
    if logarithmic:
        axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    if series:
        axes.legend(fontsize=6)


def _roofline(axes: Any, points: list[Point], roofs: dict[str, tuple[float, float]]) -> None:
    shown = [p for p in points if p.case.flops]
    for dtype, (peak, bandwidth) in roofs.items():
        xs = [p.case.intensity for p in shown if p.case.dtype == dtype] or [1.0]
        ridge = peak * 1e3 / bandwidth
        line = sorted({min(xs), ridge, max(*xs, 2 * ridge)})
        axes.plot(line, [min(peak, x * bandwidth / 1e3) for x in line], linewidth=1, label=f"roof {dtype}")
    for op in sorted({p.case.op for p in shown}):
        mine = [p for p in shown if p.case.op == op]
        axes.plot([p.case.intensity for p in mine], [p.tflops for p in mine], "o", markersize=3, label=op)
    axes.set(
        title="Roofline, measured roofs", xlabel="FLOP per least byte", ylabel="TFLOP/s", xscale="log", yscale="log"
    )
    axes.grid(alpha=0.25)
    axes.legend(fontsize=5, ncol=2)
