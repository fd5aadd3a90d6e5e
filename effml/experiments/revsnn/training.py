"""Networks of equal width, trained alike, told apart by their neurons and by what they keep for the backward."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from effml.errors import UserError
from effml.experiments.core.measure import saved_tensors, synchronize
from effml.experiments.core.run import Run
from effml.experiments.data.events.spikes import Spikes
from effml.experiments.revsnn import peers, regression
from effml.experiments.revsnn.config import Config
from effml.experiments.revsnn.contenders import network, tell_of_stability, wanted
from effml.experiments.revsnn.samples import Samples, of_images, of_recordings
from effml.experiments.revsnn.sequences import Chain, bit_bytes, linear_bytes
from effml.models.spiking.baselines import spatial_backward
from effml.models.spiking.firing import balance, firing
from effml.models.spiking.kept import CONTROLS
from effml.models.spiking.networks import trainable


def measure(config: Config, run: Run) -> None:
    """Train every kind of network on the data, or fit the target spikes where the data have them."""
    tell_of_stability(config, run)
    data = run.load(config.dataset)
    if isinstance(data, Spikes) and data.targets is not None:
        regression.measure(data, config, run)
        return
    samples = of_recordings(data, config, run) if isinstance(data, Spikes) else of_images(data, config, run)
    reached: dict[str, float] = {}
    for kept in run.progress(wanted(config.train.kept, run), "networks"):
        figures = run.stage(f"train {kept}", lambda: train(kept, samples, config, run))  # noqa: B023
        labels = {
            "dataset": samples.name, "coding": samples.coding, "net": config.train.net, "steps": samples.steps,
            "kept": kept,
        }  # fmt: skip
        for metric, value in figures.items():
            run.record("accuracy", labels, metric, value)
        reached[kept] = figures["accuracy"]
        if kept != "leaky" and "leaky" in reached:
            run.record("accuracy", labels, "behind", reached["leaky"] - figures["accuracy"])
        _record_long(kept, samples, figures, config, run)
        run.log(f"{kept}: test accuracy {figures['accuracy']:.4f}")


def _record_long(kept: str, samples: Samples, figures: dict[str, float], config: Config, run: Run) -> None:
    """What an mlp keeps of its sequence, beside the bits and the reversible outputs that make it up."""
    if config.train.net != "mlp" or samples.coding not in ("pixels", "events") or kept in CONTROLS:
        return
    widths = (samples.inputs, config.train.hidden, config.train.hidden)
    labels = {"task": f"{samples.name} {samples.coding}", "steps": samples.steps, "kept": kept}
    run.record("long", labels, "saved_bytes", figures["saved_bytes"])
    run.record("long", labels, "bit_bytes", bit_bytes(samples.steps, config.train.batch, widths))
    run.record("long", labels, "linear_bytes", linear_bytes(kept, samples.steps, config.train.batch, widths[1:]))


class ChainClassifier(nn.Module):
    """Two layers and a readout over a sequence of spikes, in segments: logits of the readout's average over time."""

    def __init__(self, inputs: int, hidden: int, classes: int, config: Config) -> None:
        super().__init__()
        self.chain = Chain("bit-checkpoint", (inputs, hidden, hidden), config)
        self.readout = nn.Linear(hidden, classes)

    def forward(self, x: Tensor, steps: int | None = None) -> Tensor:
        total = self.chain(x, lambda now, begin: F.linear(now.sum(0), self.readout.weight), [self.readout.weight])
        return total / len(x) + self.readout.bias


def build(kept: str, samples: Samples, config: Config, run: Run) -> nn.Module:
    """A network for these samples; its weights depend on the seed alone, their scale on the first batch, too."""
    options = config.train
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.generator("weights").initial_seed())
        if kept == "bit-checkpoint" and options.net == "mlp" and samples.coding not in ("direct", "events"):
            net: nn.Module = ChainClassifier(samples.inputs, options.hidden, samples.classes, config)
        else:
            side = samples.shape[-1] if len(samples.shape) == 3 else 1
            net = network(kept, options.net, config, samples.inputs, options.hidden, samples.classes, side=side)
    net = net.to(run.device)
    if options.firing is not None and options.net == "mlp":  # a norm would undo the scale
        x, _ = next(samples.training(run.generator("training spikes")))
        sequence = x if samples.coding != "direct" else x.expand(samples.steps, *x.shape)
        try:
            factors = balance(net, sequence, [options.firing] * 2)
        except ValueError as error:
            raise UserError(f"train.firing={options.firing:g}: {error}; use another rate, or null") from None
        run.note(f"{kept}: weights scaled by {', '.join(f'{factor:.3g}' for factor in factors) or 'nothing'}")
    return net


def train(kept: str, samples: Samples, config: Config, run: Run) -> dict[str, float]:
    """Adam with a cosine; the last step's network is judged. Returns the row of the accuracy table."""
    net = build(kept, samples, config, run)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figures = _train(kept, net, samples, config, run)
    for text in dict.fromkeys(str(w.message) for w in caught if "invert" in str(w.message)):
        run.log(f"warning: {text}")
    return figures


def _train(kept: str, net: nn.Module, samples: Samples, config: Config, run: Run) -> dict[str, float]:
    options = config.train
    steps = options.epochs * samples.per_epoch
    batches = samples.training(run.generator("training spikes"))
    if kept == "memopt":
        example, _ = next(samples.training(run.generator("training spikes")))
        net = peers.checkpointed(net, lambda model: model(example, samples.steps))
    optimizer = torch.optim.Adam(net.parameters(), options.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    forward: Callable[[Tensor], Tensor] = lambda x: net(x, samples.steps)  # noqa: E731
    seconds, saved_bytes = [], 0
    for step in run.progress(range(steps), f"training {kept}"):
        x, labels = next(batches)
        synchronize(run.device)
        began = time.perf_counter()
        optimizer.zero_grad()
        if kept == "online":
            sequence = x if samples.coding != "direct" else x.expand(samples.steps, *x.shape)
            loss, _ = spatial_backward(net, sequence, lambda logits: F.cross_entropy(logits, labels))  # noqa: B023
        elif step == 0:
            with saved_tensors(x, *net.parameters(), *net.buffers()) as saved:
                loss = F.cross_entropy(forward(x), labels)
            saved_bytes = saved.bytes
            loss.backward()
        else:
            loss = F.cross_entropy(forward(x), labels)
            loss.backward()
        optimizer.step()
        schedule.step()
        synchronize(run.device)
        seconds.append(time.perf_counter() - began)
        if step % 20 == 0 or step == steps - 1:
            run.step(kept=kept, step=step, loss=float(loss.detach()))
    return {
        "accuracy": accuracy(kept, net, samples),
        "parameters": float(trainable(net)),
        "step_seconds": statistics.median(seconds),
        **({} if kept == "online" else {"saved_bytes": float(saved_bytes)}),
        **_outputs(kept, net, samples),
    }


@torch.no_grad()
def accuracy(kept: str, net: nn.Module, samples: Samples) -> float:
    """Share of right answers on the test samples."""
    net.eval()
    right = total = 0
    for x, labels in samples.tests():
        right += int((_logits(kept, net, x, samples).argmax(1) == labels).sum())
        total += len(labels)
    return right / total


def _logits(kept: str, net: nn.Module, x: Tensor, samples: Samples) -> Tensor:
    if kept == "online":
        from effml.models.spiking.revlif import reset_states

        reset_states(net)
    return net(x, samples.steps)


def _outputs(kept: str, net: nn.Module, samples: Samples) -> dict[str, Any]:
    """Density and spike rates over one batch of test samples, where the neurons are ours to look at."""
    if kept in ("online", "spikingjelly", "memopt"):
        return {}
    x, _ = next(iter(samples.tests()))
    found = firing(net, x, samples.steps)
    return (
        {} if found is None else {"density": found.density, "spike_rate": found.rate, "spike_rate_low": found.quietest}
    )
