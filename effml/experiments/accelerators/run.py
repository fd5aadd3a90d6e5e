"""The operator benchmark, read top to bottom: cases, their times, the roofs found, every point's share of its roof.

Order matters for honesty: an anchor GEMM is timed first and last (throttling shows as drift), roofs come from the same
run as the points below them, and a provider whose result is wrong gets an error and no time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from effml.experiments.accelerators import cases, deepbench, encoder, product, sparse
from effml.experiments.accelerators import devices as side_by_side
from effml.experiments.accelerators.backends import Backend, Outcome, Replay, Torch, choose
from effml.experiments.accelerators.cases import Case
from effml.experiments.accelerators.config import Config
from effml.experiments.accelerators.energy import joules
from effml.experiments.accelerators.portrait import draw
from effml.experiments.accelerators.roofs import BOUND_BY_COMPUTE, Point, measured_roofs, over_fp32, share_of_roof
from effml.experiments.core import devices
from effml.experiments.core.paper import published
from effml.experiments.core.provenance import cpu
from effml.experiments.core.run import Run
from effml.experiments.data.shapes.deepbench import Shape

ANCHOR = 512  # n of the GEMM that is timed first and last
PUBLISHED = ("1760x16x1760", "1760x128x1760", "1760x7000x1760")  # GEMMs with V100 figures; the last is not for CPUs


def run(config: Config, run: Run) -> None:
    described = devices.describe(run.device)
    backend = choose(run.device, described)
    if isinstance(backend, Replay):
        _replay(run)
        return
    dtypes = [dtype for dtype in config.dtypes if dtype in backend.dtypes()]
    on_cpu = isinstance(backend, Torch) and backend.device.type == "cpu"
    todo = list(_cases(config, dtypes, backend.name, run, torch.get_num_threads() if on_cpu else 1))
    run.log(
        f"{backend.name}: {len(todo)} cases in {', '.join(dtypes)}; instruction set {instruction_set('fp32', run.device)}"
    )

    anchor = cases.gemm(ANCHOR, ANCHOR, ANCHOR, dtypes[0], {}, "")
    generator = run.generator("inputs")
    first = backend.run(anchor, generator, config.rounds, cold=False)[0]
    points: list[Point] = []
    for case in run.progress(todo, "cases"):
        for outcome in backend.run(case, generator, config.rounds, cold=config.cold):
            if outcome.timing is None:
                _record_failure(run, backend, case, outcome)
            else:
                points.append(Point(case, outcome))
    last = backend.run(anchor, generator, config.rounds, cold=False)[0]

    roofs = measured_roofs(points)
    for point in points:
        _record(run, backend, point, points, roofs)
    if config.suite in ("gemm", "all") and isinstance(backend, Torch):
        _record_energy(run, config, dtypes, backend)
    drift = last.timing.median / first.timing.median if first.timing and last.timing else None
    _record_portrait(run, backend, roofs, drift)
    for figure, dtype, value in side_by_side.figures(points, roofs):
        labels = {"figure": figure, "dtype": dtype, "device": backend.name}
        run.record("devices", labels, "rate", value, evidence=backend.evidence)
    draw(run.artifact("portrait.png"), backend.name, points, roofs, evidence=backend.evidence)


def _cases(config: Config, dtypes: list[str], device_name: str, run: Run, parts: int) -> Iterator[Case]:
    suite = config.suite
    gemm = config.gemm
    everything = suite in ("all", "portrait")
    if suite == "gemm" or everything:
        yield from cases.square_gemms(gemm.sizes, dtypes, parts)
        yield from cases.batched_gemms(gemm.batch, gemm.batch_sizes, dtypes)
    if suite == "skew" or everything:
        yield from cases.skewed_gemms(gemm.skew_size, sorted({0, *gemm.skew_ratios}), dtypes)
    if suite in ("stream", "gemm", "skew", "conv", "spmm", "attention", "train", "product") or everything:
        # Every suite needs the memory roof; the largest stream gives it.
        sizes = config.stream.sizes if suite == "stream" or everything else [max(config.stream.sizes)]
        yield from cases.streams(sizes, dtypes)
    if suite in ("conv", "spmm", "attention", "train", "product") and not everything:
        yield from cases.square_gemms([max(gemm.sizes)], dtypes, parts)  # the compute roof
    if suite == "conv" or everything:
        yield from cases.convolutions(config.conv.batch, dtypes, cases.CONVS[: config.conv.layers])
    if suite == "spmm" or everything:
        yield from sparse.sparse_dense(config.sparse.rows, config.sparse.densities, config.sparse.widths)
        yield from sparse.block_sparse(
            config.sparse.rows, config.sparse.block, config.sparse.densities, max(config.sparse.widths)
        )
    if suite == "attention" or everything:
        attention = config.attention
        yield from cases.attentions(attention.batch, attention.heads, attention.head_dim, attention.lengths, dtypes)
    if suite == "product" or everything:
        attention, own = config.attention, config.product
        yield from product.own_kernels(
            attention.heads,
            attention.head_dim,
            max(attention.lengths),
            64,
            32,
            own.nodes,
            own.width,
            own.steps,
            own.neurons,
        )
    if suite == "train" or everything:
        yield from encoder.encoders(config.model.names, config.model.batch, config.model.length, dtypes)
    lists = {"gemm": "gemm", "conv": "conv", "spmm": "sparse_gemm", "train": "rnn"}
    wanted = [operator for which, operator in lists.items() if suite in (which, "all")]
    if wanted:
        shapes: list[Shape] = run.load("deepbench")
    on_cpu = device_name == devices.describe("cpu")["name"]
    for operator in wanted:
        always = PUBLISHED[: 2 if on_cpu else 3] if operator == "gemm" else ()
        yield from deepbench.listed(
            [shape for shape in shapes if shape.operator == operator], operator, dtypes, device_name,
            config.deepbench.shapes, config.deepbench.operations, always, run.log,
        )  # fmt: skip


def _record(
    run: Run, backend: Backend, point: Point, points: list[Point], roofs: dict[str, tuple[float, float]]
) -> None:
    """Everything about one point, under its own table and under the roofline."""
    case, outcome = point.case, point.outcome
    assert outcome.timing is not None
    labels = {**case.labels, "provider": outcome.provider}
    note = "noisy" if outcome.timing.noisy else None
    mark: dict[str, Any] = {"evidence": backend.evidence}

    def record(metric: str, value: float | None, **extra: Any) -> None:
        run.record(case.table, labels, metric, value, note=note, **mark, **extra)

    record("seconds", point.seconds, samples=outcome.timing.samples)
    record("tflops", point.tflops)
    if outcome.warm is not None:
        record("warm_tflops", point.warm_tflops, samples=[case.flops / s / 1e12 for s in outcome.warm.samples])
        over = over_fp32(point, points)
        if over is not None:
            record("over_fp32", over)
    record("bandwidth", point.bandwidth)
    record("scaled_error", outcome.scaled_error)
    share = share_of_roof(point, roofs)
    if share is not None:
        record("share_of_roof", share)
    spec = _published_peak(backend.name, case.dtype)
    if spec and case.op in BOUND_BY_COMPUTE:
        record("share_of_spec", point.tflops / spec)
    beside = next(p for p in points if p.case is case)
    if beside is not point and beside.outcome.timing is not None:
        ratio = outcome.timing.speedup_over(beside.outcome.timing)
        record("speedup", ratio.median, samples=ratio.samples)
    if case.table == "skew":
        square = next(
            p
            for p in points
            if p.case.table == "skew" and p.case.labels["log2_ratio"] == 0 and p.case.dtype == case.dtype
        )
        record("relative", point.tflops / square.tflops)
    if case.table == "encoder":
        record("samples_per_second", int(str(case.labels["shape"]).split("x")[0]) / point.seconds)
    if share is not None and case.flops:
        where = {"op": case.op, "case": _name(case, outcome.provider), "dtype": case.dtype}
        run.record("roofline", where, "intensity", case.intensity, **mark)
        run.record("roofline", where, "tflops", point.tflops, **mark)
        run.record("roofline", where, "share_of_roof", share, **mark)


def _record_failure(run: Run, backend: Backend, case: Case, outcome: Outcome) -> None:
    """An error row: no time, the reason beside."""
    labels = {**case.labels, "provider": outcome.provider}
    run.log(f"{case.op} {_name(case, outcome.provider)} {case.dtype}: {outcome.error}")
    run.record(case.table, labels, "tflops", None, note=outcome.error, evidence=backend.evidence)


def _record_energy(run: Run, config: Config, dtypes: list[str], backend: Torch) -> None:
    """Joules of the square GEMMs, where the machine has a meter; the cells stay blank otherwise."""
    for n, dtype in itertools.product(config.gemm.sizes, dtypes):
        case = cases.gemm(n, n, n, dtype, {"n": n, "dtype": dtype}, "gemm")
        inputs = case.build(backend.device, run.generator("energy"))
        used = joules(partial(torch.matmul, *inputs), backend.device, case.flops / 1e11)
        if used is None:
            run.log("no energy meter can be read here (NVML or RAPL); joules stay blank")
            return
        run.record("gemm", {"n": n, "dtype": dtype, "provider": "torch"}, "joules", used)


def _record_portrait(run: Run, backend: Backend, roofs: dict[str, tuple[float, float]], drift: float | None) -> None:
    for dtype, (peak, bandwidth) in roofs.items():
        labels = {"dtype": dtype}
        mark: dict[str, Any] = {"evidence": backend.evidence}
        where = {"device": backend.name, "dtype": dtype, "isa": instruction_set(dtype, run.device)}
        run.record("instructions", where, "peak_tflops", peak, **mark)
        run.record("portrait", labels, "peak_tflops", peak, **mark)
        run.record("portrait", labels, "peak_bandwidth", bandwidth, **mark)
        run.record("portrait", labels, "ridge", peak * 1e3 / bandwidth, **mark)
        run.record("portrait", labels, "drift", drift, **mark)
        run.record("best", {"device": backend.name, "dtype": dtype}, "peak_tflops", peak, **mark)
        run.record("hardware", {"device": backend.name, "dtype": dtype}, "peak_tflops", peak, **mark)
        run.record("hardware", {"device": backend.name, "dtype": dtype}, "peak_bandwidth", bandwidth, **mark)


def _replay(run: Run) -> None:
    """Published measurements as rows of their own, marked as published."""
    for entry in published("accelerators"):
        if entry.value is not None:
            run.record(
                entry.table,
                entry.labels,
                entry.metric,
                entry.value,
                unit=entry.unit,
                evidence="paper",
                note=entry.source,
            )
    for figure, dtype, device, value, source in side_by_side.published_figures():
        labels = {"figure": figure, "dtype": dtype, "device": device}
        run.record("devices", labels, "rate", value, evidence="paper", note=source)


def instruction_set(dtype: str, device: Any) -> str:
    """What multiplies matrices of this dtype on this device, as far as it tells."""
    if getattr(device, "type", "") == "cuda":
        return "CUDA cores" if dtype in ("fp32", "fp64") else "tensor cores"
    if getattr(device, "type", "") != "cpu":
        return str(getattr(device, "name", getattr(device, "type", "unknown")))
    flags = set(cpu()["flags"])
    if dtype == "bf16":
        return "AMX-BF16" if "amx_bf16" in flags else "AVX512-BF16" if "avx512_bf16" in flags else "emulated in fp32"
    if dtype == "fp16":
        return "AVX512-FP16" if "avx512_fp16" in flags else "converted to fp32"
    return "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "NEON" if "neon" in flags else "baseline"


def _published_peak(device: str, dtype: str) -> float | None:
    """Published peak TFLOP/s of a device that is named in the hardware table."""
    for entry in published("accelerators"):
        known = str(entry.labels.get("device"))
        if (
            entry.table == "hardware"
            and entry.metric == "peak_tflops"
            and known.split()[0] in device
            and entry.labels["dtype"] == dtype
        ):
            return entry.value
    return None


def _name(case: Case, provider: str) -> str:
    words = [str(value) for key, value in case.labels.items() if key not in ("dtype", "op", "device")]
    return " ".join([*words, provider])
