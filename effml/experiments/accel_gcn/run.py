"""The experiment, read top to bottom: every graph's product by every provider, then the ideas one at a time, the
partition's numbers, and what it all means for a GCN.

Each result is checked against float64 before it is timed. Providers are timed as a user calls them, result allocated
anew; the kernels alone, writing to a result that is there, beside.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import Any

import torch
from torch import Tensor

from effml.experiments.accel_gcn import gcn
from effml.experiments.accel_gcn.ablation import FULL, variants
from effml.experiments.accel_gcn.config import MEAN, TWINS, Config
from effml.experiments.accel_gcn.exact import exact
from effml.experiments.accel_gcn.graphs import Case, load
from effml.experiments.accel_gcn.providers import LIBRARIES, Product, providers, torch_into
from effml.experiments.core.measure import Timing, copy_bandwidth, interleave, roof_share, synchronize
from effml.experiments.core.run import Run
from effml.kernels import Csr, spmm
from effml.kernels.spmm.partition import PUBLISHED, RECORD_BYTES, group_bytes, group_count, partition

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# A result further off than this is wrong: its provider is an error, not a time.
TOLERANCE = {"fp32": 1e-5, "bf16": 2**-7, "fp16": 2**-9}


def run(config: Config, run: Run) -> None:
    bandwidth = copy_bandwidth(run.device)
    run.record("machine", {"operand": "256 MiB"}, "copy_bandwidth", bandwidth / 1e9, evidence="measured")
    if config.suite in ("kernel", "all"):
        kernel(config, run, bandwidth)
    if config.suite in ("ablation", "all"):
        ablation(config, run)
    if config.suite in ("partition", "all"):
        partitions(config, run)
    if config.suite in ("gcn", "all"):
        convolution(config, run)


def kernel(config: Config, run: Run, bandwidth: float) -> None:
    """Every graph at every width by every provider; `bandwidth` in bytes per second is the memory roof of this run."""
    speedups: dict[tuple[str, int], dict[str, float]] = {}
    for name in run.progress(config.named(config.graphs), "graphs"):
        case = load(run, config, name)
        calls = providers(case.adj, DTYPES[config.dtype], config.providers)
        for d in config.widths:
            x = _operand(run, config, case.adj.columns, d)
            errors = _errors(config, case, x, calls)
            named = {provider: partial(call, x) for provider, call in calls.items()}
            times = interleave({**named, **_kernels_alone(case.adj, x)}, rounds=config.rounds, device=run.device)
            speedups[case.name, d] = _record_product(config, run, case, x, times, errors, bandwidth)
    _record_means(run, config, speedups)


def _errors(config: Config, case: Case, x: Tensor, calls: dict[str, Product]) -> dict[str, float]:
    """Each provider's error; a provider that is wrong ends the run."""
    truth = exact(case.adj, x)
    errors = {provider: truth.error(call(x)) for provider, call in calls.items()}
    for provider, error in errors.items():
        if error > TOLERANCE[config.dtype]:
            raise ArithmeticError(f"{provider} is off by {error:.1e} on {case.name} at width {x.shape[1]}")
    return errors


def _kernels_alone(adj: Csr, x: Tensor) -> dict:
    """Calls that write to a result that is there: torch, ours, and ours with the rows of x taken in memory order."""
    if x.device.type == "cpu":
        from effml.kernels.spmm import cpu as backend
    else:
        from effml.kernels.spmm import gpu as backend  # type: ignore[no-redef]
    in_order = torch.arange(adj.nnz, device=adj.device).remainder_(max(1, adj.columns)).to(torch.int32)
    stream = Csr(adj.indptr, in_order, None, adj.columns)
    out = x.new_empty(adj.rows, x.shape[1])
    return {
        "torch, given": torch_into(adj, x, out),
        "effml, given": lambda: backend.multiply_into(adj, x, out),
        "in order": lambda: backend.multiply_into(stream, x, out),
    }


def _record_product(
    config: Config,
    run: Run,
    case: Case,
    x: Tensor,
    times: dict[str, Timing],
    errors: dict[str, float],
    bandwidth: float,
) -> dict[str, float]:
    """Records one graph at one width; returns each provider's speedup over torch."""
    labels, speedups = {**case.labels, "d": x.shape[1], "dtype": config.dtype}, {}
    for provider in errors:
        ratio = times[provider].speedup_over(times["torch"])
        speedups[provider] = ratio.median
        run.record("kernel", {**labels, "provider": provider}, "speedup", ratio.median, samples=ratio.samples)
    ours, alone = times["effml"], times["effml, given"]
    best = min((times[name] for name in LIBRARIES if name in times), key=lambda timing: timing.median)
    row, pattern = x.shape[1] * x.element_size(), 4 * case.adj.nnz + 8 * case.adj.rows
    gathered = case.adj.nnz * row + pattern + case.adj.rows * row
    least = (case.adj.rows + int((torch.bincount(case.adj.indices, minlength=1) > 0).sum())) * row + pattern
    figures = {
        "seconds": ours.median,
        "bandwidth": gathered / alone.median / 1e9,
        "roofline_share": roof_share(least, bandwidth, alone),
        "in_order": times["in order"].ratio(alone).median,
        "speedup_best": ours.speedup_over(best).median,
        "speedup_given": alone.speedup_over(times["torch, given"]).median,
        "error_max": errors["effml"],
    }
    for metric, value in figures.items():
        run.record("roofline", labels, metric, value, samples=ours.samples if metric == "seconds" else None)
    run.step(**labels, **figures, **{f"speedup of {name}": value for name, value in speedups.items()})
    return speedups


def _record_means(run: Run, config: Config, speedups: dict[tuple[str, int], dict[str, float]]) -> None:
    """Geometric means: each graph's over the widths, each width's over the graphs, and all."""

    def record(provider: str, graph: str, scale: float | str, d: int | str, values: list[float]) -> None:
        labels: dict[str, Any] = {"graph": graph, "scale": scale, "d": d, "dtype": config.dtype, "provider": provider}
        run.record("kernel", labels, "speedup", statistics.geometric_mean(values))

    for provider in dict.fromkeys(name for found in speedups.values() for name in found):
        of = {key: found[provider] for key, found in speedups.items() if provider in found}
        for name in dict.fromkeys(name for name, _ in of):
            scale = config.scale(name)
            record(provider, name, scale, "mean", [value for key, value in of.items() if key[0] == name])
        if len({name for name, _ in of}) > 1:
            for d in config.widths:
                record(provider, MEAN, "", d, [value for key, value in of.items() if key[1] == d])
            record(provider, MEAN, "", "mean", list(of.values()))


def ablation(config: Config, run: Run) -> None:
    """One idea turned off at a time; results are given, so that nothing but the kernel is timed."""
    for name in run.progress(config.named(config.ablation.graphs), "ablation"):
        case = load(run, config, name)
        for d in config.ablation.widths:
            x = _operand(run, config, case.adj.columns, d)
            calls = variants(case.adj, x)
            expected = calls[FULL]().clone()
            order = partition(case.adj, PUBLISHED).order.long()
            for variant, call in calls.items():
                want = expected[order] if variant == "sorted by degree" else expected
                tolerance = 100 * TOLERANCE[config.dtype]
                torch.testing.assert_close(call(), want, rtol=tolerance, atol=tolerance * 10)
            times = interleave(calls, rounds=config.rounds, device=run.device)
            for variant, timing in times.items():
                ratio = timing.ratio(times[FULL])
                labels = {**case.labels, "d": d, "dtype": config.dtype, "variant": variant}
                run.record("ablation", labels, "relative", ratio.median, samples=ratio.samples)


def partitions(config: Config, run: Run) -> None:
    """Counts from the exact histograms at full size; what building it costs, on the graphs of this run."""
    from effml.experiments.data.graphs.twins import histogram

    for name in run.progress(config.named(config.graphs), "partition"):
        case = load(run, config, name)
        degree, rows = histogram(name) if name in TWINS else case.adj.degrees.unique(return_counts=True)
        blocks, warps = PUBLISHED.count(degree, rows), group_count(degree, rows, 32)
        figures = {
            "rows": int(rows.sum()),
            "nonzeros": int((degree * rows).sum()),
            "blocks": blocks,
            "groups_64": group_count(degree, rows, 64),
            "groups_32": warps,
            "metadata_bytes": blocks * RECORD_BYTES,
            "metadata_share": blocks * RECORD_BYTES / group_bytes(warps),
        }
        for metric, value in figures.items():
            run.record("partition", {"graph": name}, metric, value, evidence="measured" if name in TWINS else None)
        _record_preparation(run, case)


def _record_preparation(run: Run, case: Case) -> None:
    adj = case.adj
    fresh = lambda: Csr(adj.indptr, adj.indices, None, adj.columns)  # noqa: E731 - nothing cached
    x = torch.randn(adj.columns, 64, generator=run.generator("x")).to(run.device)
    spmm(adj, x)
    product = interleave({"product": lambda: spmm(adj, x)}, rounds=3, device=run.device)["product"].median
    seconds = min(_seconds(lambda: partition(fresh(), PUBLISHED), run) for _ in range(2))
    run.record("preparation", case.labels, "build_seconds", seconds)
    run.record("preparation", case.labels, "build_products", seconds / product)
    if run.device.type == "cpu":
        from effml.kernels.spmm.schedule import even_schedule
        from effml.kernels.threads import worker_threads

        indptr = adj.indptr.numpy()
        dealt = min(_seconds(lambda: even_schedule(indptr, worker_threads()), run) for _ in range(2))
        run.record("preparation", case.labels, "schedule_seconds", dealt)


def _seconds(call, run: Run) -> float:
    synchronize(run.device)
    start = time.perf_counter()
    call()
    synchronize(run.device)
    return time.perf_counter() - start


def convolution(config: Config, run: Run) -> None:
    """A hidden layer forward and backward, and a training epoch, by each aggregation; and Amdahl's limit of the epoch."""
    from effml.models.gnn.adjacency import symmetric_normalised, with_self_loops

    options = config.gcn
    widths = [options.features, *[options.hidden] * (options.layers - 1), options.classes]
    for name in run.progress(config.named(options.graphs), "gcn"):
        case = load(run, config, name)
        adj = symmetric_normalised(with_self_loops(case.adj))
        ways, draw = gcn.aggregations(adj), run.generator("gcn", run.device)
        steps = {
            "layer": gcn.layer_calls(ways, adj.rows, options.hidden, draw),
            "epoch": gcn.epoch_calls(ways, adj.rows, widths, draw),
        }
        for step, calls in steps.items():
            times = interleave(calls, rounds=config.rounds, device=run.device)
            labels = {**case.labels, "step": step}
            for way in ways:
                ratio = times[way].speedup_over(times["torch"])
                at = {**labels, "provider": way}
                run.record("gcn", at, "seconds", times[way].median, samples=times[way].samples)
                run.record("gcn", at, "speedup", ratio.median, samples=ratio.samples)
            if "products" in times:
                share = min(0.999, times["products"].ratio(times["torch"]).median)
                run.record("gcn", {**labels, "provider": "torch"}, "limit", 1 / (1 - share))


def _operand(run: Run, config: Config, rows: int, d: int) -> Tensor:
    x = torch.randn(rows, d, generator=run.generator(f"x {d}"))
    return x.to(run.device, DTYPES[config.dtype])
