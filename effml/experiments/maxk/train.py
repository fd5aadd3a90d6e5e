"""Suite `train`: full-batch node classification, MaxK and ReLU from the same weights, for equally many epochs.

Adam without weight decay; the test score reported is that of the epoch with the best validation score (paper, section 5).
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from effml.experiments.core.measure import synchronize
from effml.experiments.core.run import Run
from effml.experiments.data.graphs.graph import Graph
from effml.experiments.maxk import graphs, scores
from effml.experiments.maxk.config import Config
from effml.models.gnn import GraphNet, prepare_adjacency


@dataclass(frozen=True)
class Outcome:
    """What one training came to."""

    test: float
    best_epoch: int
    epoch_seconds: float


def train(config: Config, run: Run) -> None:
    graph = graphs.learnable(config, run)
    graphs.count(graph, run)
    model = config.model
    wanted: list[int | None] = [None] if model.activation == "relu" else [model.k]
    if config.train.baseline and model.activation == "maxk":
        wanted.insert(0, None)

    reached: dict[int | None, Outcome] = {}
    for k in wanted:
        name = "relu" if k is None else f"maxk k={k}"
        settings = f"{graph.name} {model.kind} {name}"
        outcome = reached[k] = Outcome(**run.stage(settings, partial(_fitted, graph, k, config, run, name)))
        labels = {"dataset": graph.name, "model": model.kind, "k": "relu" if k is None else k}
        numbers = {graph.metric: outcome.test, "epoch_seconds": outcome.epoch_seconds, "best_epoch": outcome.best_epoch}
        if k is not None and None in reached:
            numbers["delta"] = 100 * (outcome.test - reached[None].test)
        for metric, value in numbers.items():
            run.record("training", labels, metric, value, note=graph.note or None)
        run.log(f"{settings}: test {graph.metric} {outcome.test:.4f} at epoch {outcome.best_epoch}")


def _fitted(*arguments: Any) -> dict[str, Any]:
    """`fit` in the form that a stage keeps."""
    return asdict(fit(*arguments))


def fit(graph: Graph, k: int | None, config: Config, run: Run, name: str) -> Outcome:
    """Train one network; every network of a run starts from the same weights and draws the same dropout masks."""
    model, settings = config.model, config.train
    x = graphs.inputs(graph, run)
    adj = prepare_adjacency(graphs.looped(graph.adjacency, model.self_loops, model.kind), model.kind)
    masks = {"val": graph.val, "test": graph.test}
    assert graph.y is not None and graph.train is not None
    torch.manual_seed(run.generator("weights").initial_seed())
    net = network(graph, config, k).to(run.device)
    optimizer = torch.optim.Adam(net.parameters(), lr=settings.lr)

    best, seconds = (-1.0, 0.0, 0), []
    for epoch in run.progress(range(1, settings.count + 1), f"training {name}"):
        synchronize(run.device)
        start = time.perf_counter()
        net.train()
        optimizer.zero_grad()
        loss = scores.loss(net(x, adj)[graph.train], graph.y[graph.train])
        loss.backward()
        optimizer.step()
        synchronize(run.device)
        seconds.append(time.perf_counter() - start)
        if epoch % settings.eval_every and epoch != settings.count:
            continue
        found = evaluate(net, x, adj, graph.y, masks, graph.metric)
        run.step(network=name, epoch=epoch, loss=float(loss.detach()), **found)
        if found["val"] > best[0]:
            best = (found["val"], found["test"], epoch)
    return Outcome(best[1], best[2], statistics.median(seconds))


def network(graph: Graph, config: Config, k: int | None, **options: Any) -> GraphNet:
    """The network of the config for this graph, with MaxK for a number k, else ReLU."""
    model = config.model
    features = graph.num_features or graphs.STRUCTURE_FEATURES
    classes = graph.num_classes or graphs.STRUCTURE_CLASSES
    shape: dict[str, Any] = {"hidden": model.hidden, "layers": model.layers, "kind": model.kind}
    shape["dropout"] = model.dropout
    return GraphNet(features, classes, k=k, **shape, **options)


@torch.no_grad()
def evaluate(net: GraphNet, x: Any, adj: Any, y: torch.Tensor, masks: dict[str, Any], metric: str) -> dict[str, float]:
    net.eval()
    return scores.scores(net(x, adj), y, masks, metric)
