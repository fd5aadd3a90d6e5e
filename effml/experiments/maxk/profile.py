"""Suite `profile`: where an epoch's time goes, what Amdahl allows, what the kernels compose to, what is measured.

The baseline is the ReLU network, its products with the adjacency by torch CSR (cached transpose) and, for honesty, by
effml's own dense product. Share p, kernel speedups and epochs come from the same graph in the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from effml.experiments.core.measure import Timing, interleave
from effml.experiments.core.run import Run
from effml.experiments.data.graphs.graph import Graph
from effml.experiments.maxk import amdahl, graphs, scores
from effml.experiments.maxk.baselines import OWN, REFERENCE, library_product
from effml.experiments.maxk.config import Config
from effml.experiments.maxk.train import network
from effml.kernels import Csr, maxk, spgemm, spmm, sspmm
from effml.models.gnn import GraphNet, prepare_adjacency

BASELINES = {REFERENCE: library_product, OWN: spmm}


def profile(config: Config, run: Run) -> None:
    sizes = {"nodes": config.profile.nodes, "edges": config.profile.edges}
    graph = graphs.structure(config, run, config.profile.graph, sizes)
    graphs.count(graph, run)
    model = config.model
    adj = prepare_adjacency(graphs.looped(graph.adjacency, model.self_loops, model.kind), model.kind)
    x, y = graphs.inputs(graph, run), _targets(graph, run)

    epochs: dict[str, Callable[[], None]] = {}
    for name, product in BASELINES.items():
        epochs[name] = _epoch(network(graph, config, None, product=product).to(run.device), x, adj, y)
    for k in config.profile.ks:
        epochs[f"maxk {k}"] = _epoch(network(graph, config, k).to(run.device), x, adj, y)
    timings = interleave(epochs, rounds=config.profile.rounds, warmup=1, device=run.device)
    parts = _parts(adj, config, run)

    for name in BASELINES:
        # A layer multiplies once forward and once backward; the first block's gradient flows on to the input layer.
        products = model.layers * (parts[f"forward {name}"].median + parts[f"backward {name}"].median)
        share = min(products / timings[name].median, 1.0)
        base = {"graph": graph.name, "model": model.kind, "baseline": name}
        _record(run, graph, {**base, "k": "relu"}, spmm_share=share, epoch_seconds=timings[name].median)
        for k in config.profile.ks:
            speedups = [parts[f"{op} {k}"].speedup_over(parts[f"{op} {name}"]).median for op in ("forward", "backward")]
            composed = amdahl.composed(share, *speedups)
            measured = timings[f"maxk {k}"].speedup_over(timings[name])
            new = model.layers * (parts[f"selection {k}"].median + 2 * parts[f"unpack {k}"].median)
            _record(
                run,
                graph,
                {**base, "k": k},
                spmm_share=share,
                limit=amdahl.limit(share),
                composed=composed,
                measured=measured.median,
                gap=measured.median / composed,
                selection_share=min(new / timings[f"maxk {k}"].median, 1.0),
                epoch_seconds=timings[f"maxk {k}"].median,
            )
            run.log(
                f"{graph.name} {model.kind} k={k} over {name}: p={share:.2f}, limit {amdahl.limit(share):.2f}, "
                f"composed {composed:.2f}, measured {measured.median:.2f}"
            )


def _record(run: Run, graph: Graph, labels: dict[str, Any], **values: float) -> None:
    for metric, value in values.items():
        run.record("profile", labels, metric, value, note=graph.note or None)


def _targets(graph: Graph, run: Run) -> Tensor:
    if graph.y is not None:
        return graph.y.clamp(min=0) if graph.y.dim() == 1 else graph.y
    drawn = torch.randint(graphs.STRUCTURE_CLASSES, (graph.num_nodes,), generator=run.generator("classes"))
    return drawn.to(run.device)


def _epoch(net: GraphNet, x: Tensor | Csr, adj: Csr, y: Tensor) -> Callable[[], None]:
    """One full-batch training epoch, all nodes in the loss."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def epoch() -> None:
        net.train()
        optimizer.zero_grad()
        scores.loss(net(x, adj), y).backward()
        optimizer.step()

    return epoch


def _parts(adj: Csr, config: Config, run: Run) -> dict[str, Timing]:
    """The products of one layer, dense and for every k, and MaxK's selection and unpacking, in the same rounds."""
    generator = run.generator("operands", device=run.device)
    x = torch.randn(adj.columns, config.model.hidden, generator=generator, device=run.device)
    grad = torch.randn(adj.rows, config.model.hidden, generator=generator, device=run.device)
    turned = adj.transpose()
    calls: dict[str, Callable[[], Any]] = {}
    for name, product in BASELINES.items():
        calls[f"forward {name}"] = partial(product, adj, x)
        calls[f"backward {name}"] = partial(product, turned, grad)
    for k in config.profile.ks:
        kept = maxk(x, k)
        calls[f"forward {k}"] = partial(spgemm, adj, kept)
        calls[f"backward {k}"] = partial(sspmm, adj, grad, kept.index)
        calls[f"selection {k}"] = partial(maxk, x, k)
        calls[f"unpack {k}"] = kept.to_dense
    return interleave(calls, rounds=config.profile.rounds, warmup=1, device=run.device)
