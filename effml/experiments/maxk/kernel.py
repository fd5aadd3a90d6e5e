"""Suite `kernel`: selection, forward, backward and a whole layer, MaxK against every dense product, round by round.

Everything is checked against float64 before it is timed, on the rows of the largest degrees and on drawn ones. Baselines
do not depend on k and stand in the table under k = dense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from effml.experiments.core.measure import Timing, copy_bandwidth, interleave, roof_share
from effml.experiments.core.run import Run
from effml.experiments.maxk import graphs
from effml.experiments.maxk.baselines import OWN, REFERENCE, products
from effml.experiments.maxk.config import Config
from effml.kernels import Cbsr, Csr, maxk, spgemm, spmm, sspmm
from effml.models.gnn import mean_normalised

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
OURS = "maxk"

Call = Callable[[], Any]


@dataclass(frozen=True)
class Provider:
    """A call, who provides it, and the k that it is for ("dense": does not depend on k)."""

    name: str
    k: int | str
    call: Call
    error: float | None = None


def kernel(config: Config, run: Run) -> None:
    bandwidth = copy_bandwidth(run.device)
    for name in config.kernel.graphs:
        sizes = {"nodes": config.kernel.nodes, "edges": config.kernel.edges, "scale": config.kernel.scale}
        graph = graphs.structure(config, run, name, sizes)
        graphs.count(graph, run)
        Bench(config, run, graph.name, mean_normalised(graph.adjacency), graph.note, bandwidth).measure()


class Bench:
    """All measurements on one graph."""

    def __init__(self, config: Config, run: Run, graph: str, adj: Csr, note: str, bandwidth: float) -> None:
        self.run, self.settings, self.graph, self.adj, self.note = run, config.kernel, graph, adj, note
        self.bandwidth = bandwidth
        self.hidden = config.kernel.hidden
        generator = run.generator("operands", device=run.device)
        shape = adj.columns, self.hidden
        self.x = torch.randn(shape, generator=generator, device=run.device)
        self.grad = torch.randn(adj.rows, self.hidden, generator=generator, device=run.device)
        self.kept = {k: maxk(self.x, k) for k in config.kernel.ks}
        self.rows = _checked_rows(adj, config.kernel.checked, run.generator("checked"))

    def measure(self) -> None:
        """Forward and backward first: their dense baselines are the layer's too."""
        turned = self.adj.transpose()
        self.time("forward", self._product(self.adj, self.x, lambda kept: spgemm(self.adj, kept), lambda y, _: y))
        sampled = self._product(turned, self.grad, lambda kept: sspmm(self.adj, self.grad, kept.index), _sampled)
        self.time("backward", sampled)
        for k in self.settings.ks:
            self.time("selection", self._selection(k))
        self.time("unpack", [Provider(OURS, k, kept.to_dense) for k, kept in self.kept.items()])
        self.time("layer", self._layer(turned))

    def _product(
        self, adj: Csr, x: Tensor, ours: Callable[[Cbsr], Tensor], place: Callable[[Tensor, Tensor], Tensor]
    ) -> list[Provider]:
        """Dense providers of `adj @ x` and MaxK's for every k, each with its error against float64 on some rows.

        The forward multiplies MaxK's own operand, the backward samples the dense one: `place(exact, index)`.
        """
        part, found = _part(adj, self.rows), []
        forward = adj is self.adj
        exact, scale = _exact(part, x)
        for name, call in products(adj, x).items():
            result = call()
            error = _error(result[self.rows], exact, scale)
            found.append(Provider(name, "dense", call, self._within(error, name, result.dtype)))
        for k, kept in self.kept.items():
            result = ours(kept)[self.rows]
            dense = _exact(part, kept.to_dense()) if forward else (exact, scale)
            truth, magnitude = (place(item, kept.index[self.rows]) for item in dense)
            error = self._within(_error(result, truth, magnitude), f"{OURS} k={k}", torch.float32)
            found.append(Provider(OURS, k, partial(ours, kept), error))
        return found

    def _selection(self, k: int) -> list[Provider]:
        values, columns = torch.topk(self.x, k, dim=1)
        kept = self.kept[k]
        if not torch.equal(values.sort(1).values, kept.values.sort(1).values):
            raise AssertionError(f"selection of k={k} keeps other values than torch.topk")
        del values, columns
        return [
            Provider("torch-topk", k, lambda: torch.topk(self.x, k, dim=1)),
            Provider(OURS, k, lambda: maxk(self.x, k)),
        ]

    def _layer(self, turned: Csr) -> list[Provider]:
        """Nonlinearity, product, gradient of the product, gradient before the nonlinearity: what one layer adds."""
        library, back = self.adj.to_torch(), turned.to_torch()

        def dense(forward: Callable[[Tensor], Tensor], backward: Callable[[Tensor], Tensor]) -> Call:
            return lambda: (forward(self.x.relu()), torch.where(self.x > 0, backward(self.grad), 0.0))

        def compressed(k: int) -> Call:
            def call() -> tuple[Tensor, Tensor]:
                kept = maxk(self.x, k)
                return spgemm(self.adj, kept), kept.with_values(sspmm(self.adj, self.grad, kept.index)).to_dense()

            return call

        return [
            Provider(REFERENCE, "dense", dense(lambda x: library @ x, lambda g: back @ g)),
            Provider(OWN, "dense", dense(lambda x: spmm(self.adj, x), lambda g: spmm(turned, g))),
            *(Provider(OURS, k, compressed(k)) for k in self.settings.ks),
        ]

    def time(self, op: str, providers: list[Provider]) -> None:
        calls = {f"{provider.name} {provider.k}": provider.call for provider in providers}
        timings = interleave(calls, rounds=self.settings.rounds, warmup=1, device=self.run.device)
        for provider, timing in zip(providers, timings.values(), strict=True):
            self._record(op, provider, timing, timings)
        best = min(timing.median for timing in timings.values())
        kept = {str(provider.k) for provider in providers} - {"dense"}
        of = f", k = {kept.pop()}" if len(kept) == 1 else ""
        self.run.log(f"{self.graph} {op}{of}: {len(timings)} providers, fastest {best * 1e3:.3g} ms")

    def _record(self, op: str, provider: Provider, timing: Timing, timings: Mapping[str, Timing]) -> None:
        labels = {"graph": self.graph, "op": op, "k": provider.k, "provider": provider.name}
        notes = [text for text in (self.note, "noisy" if timing.noisy else "") if text]

        def record(metric: str, value: float | None, **extra: Any) -> None:
            self.run.record("kernel", labels, metric, value, note="; ".join(notes) or None, **extra)

        record("seconds", timing.median, samples=timing.samples)
        over = {"speedup": f"torch-topk {provider.k}" if op == "selection" else f"{REFERENCE} dense"}
        over["over_dense"] = f"{OWN} dense"
        for metric, baseline in over.items():
            if baseline in timings:
                ratio = timing.speedup_over(timings[baseline])
                record(metric, ratio.median, samples=ratio.samples)
        if provider.error is not None:
            record("scaled_error", provider.error)
        if op in ("forward", "backward"):
            self._record_traffic(record, provider, timing)

    def _record_traffic(self, record: Callable[..., None], provider: Provider, timing: Timing) -> None:
        """Bytes that the edges move, by the paper's count: 4 H of a dense row, or value and index of k kept ones; and 8."""
        dense = 4 * self.hidden
        width = self.kept[self.settings.ks[0]].index.element_size()
        row = dense if provider.k == "dense" else (4 + width) * int(provider.k)
        if provider.name.endswith("bf16"):
            row = 2 * self.hidden
        record("edge_rate", self.adj.nnz * (row + 8) / timing.median / 1e9)
        # Forward: X in, Y out; backward: dY in, dX out. What is not packed is a dense row.
        least = 8 * self.adj.nnz + row * self.adj.columns + (row if "bf16" in provider.name else dense) * self.adj.rows
        record("roof_share", roof_share(least, self.bandwidth, timing))
        if provider.name == OURS:
            record("byte_ratio", (dense + 8) / (row + 8))

    def _within(self, error: float, name: str, dtype: torch.dtype) -> float:
        if not error <= TOLERANCE[dtype]:
            raise AssertionError(f"{name} is off by {error:.2e} of the terms' magnitude on {self.graph}: not timed")
        return error


def _checked_rows(adj: Csr, count: int, generator: torch.Generator) -> Tensor:
    """Rows to check: half of the largest degrees, half drawn; of the transpose the same numbers."""
    count = min(count, adj.rows)
    largest = torch.topk(adj.degrees, count - count // 2).indices.cpu()
    drawn = torch.randperm(adj.rows, generator=generator)[: count // 2]
    return torch.unique(torch.cat([largest, drawn])).to(adj.device)


def _part(adj: Csr, rows: Tensor) -> Csr:
    """These rows of a matrix."""
    degrees = adj.degrees[rows]
    indptr = torch.cat([degrees.new_zeros(1), degrees.cumsum(0)])
    taken = torch.arange(int(indptr[-1]), device=adj.device)
    taken = taken + torch.repeat_interleave(adj.indptr[rows] - indptr[:-1], degrees)
    values = None if adj.values is None else adj.values[taken]
    return Csr(indptr, adj.indices[taken], values, adj.columns)


def _exact(part: Csr, x: Tensor) -> tuple[Tensor, Tensor]:
    """`A @ x` in float64, and the same over magnitudes: the scale of its rounding errors."""
    magnitudes = part.with_values(None if part.values is None else part.values.abs())
    return part.to_torch(torch.float64) @ x.double(), magnitudes.to_torch(torch.float64) @ x.double().abs()


def _sampled(dense: Tensor, index: Tensor) -> Tensor:
    return dense.gather(1, index.long())


def _error(result: Tensor, exact: Tensor, scale: Tensor) -> float:
    return float(((result.double() - exact).abs() / scale.clamp(min=1e-30)).max()) if result.numel() else 0.0
