"""The neuron layers and networks that are measured side by side, by the names that the tables use."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING
from weakref import WeakSet

from effml.experiments.core.run import Run
from effml.experiments.revsnn import peers
from effml.experiments.revsnn.config import Config

if TYPE_CHECKING:
    from torch import nn

PEERS = ("spikingjelly", "memopt")
_told: WeakSet[Run] = WeakSet()  # runs whose user knows that they are missing


def wanted(kept: list[str], run: Run) -> list[str]:
    """The names without spikingjelly's where it is not installed, which is said."""
    if not set(PEERS) & set(kept) or (why := peers.missing()) is None:
        return kept
    if run not in _told:
        _told.add(run)
        run.log(f"spikingjelly left out: {why}")
    return [name for name in kept if name not in PEERS]


def node(kept: str, config: Config, backend: str | None = None) -> nn.Module:
    """One layer of neurons over [T, batch, neurons] (see `config.NODES`), returning the same shape alone."""
    from effml.kernels.spiking import Rule
    from effml.models.spiking.baselines import Checkpointed, DoubleRevLIF, WholeRevLIF
    from effml.models.spiking.kept import OutputOnly
    from effml.models.spiking.lif import LeakySteps, Lif, SynapticSteps
    from effml.models.spiking.revlif import RevLIF

    c = config.neuron
    decay = 1 - 1 / c.tau
    if kept == "spikingjelly":
        return peers.neuron(c.tau, c.threshold)
    if kept in ("leaky", "leaky-subtract"):
        return LeakySteps(decay, c.threshold, reset="subtract" if kept == "leaky-subtract" else "zero")
    if kept == "synaptic":
        return SynapticSteps(decay, decay, "zero")
    if kept == "lif":
        return Lif(decay, c.threshold, reset="zero", backend=backend)
    if kept == "checkpoint":
        return Checkpointed(LeakySteps(decay, c.threshold, reset="zero"))
    if kept in ("rev-whole", "rev-double"):
        rule = Rule(c.tau, c.threshold, mode="paper")
        return (WholeRevLIF if kept == "rev-whole" else DoubleRevLIF)(c.alpha, c.beta, rule)
    mode = kept.removeprefix("rev-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an unstable alpha is told once, by `tell_of_stability`
        return OutputOnly(
            RevLIF(c.tau, c.alpha, c.beta, c.threshold, mode=mode, anchor_every=config.anchor_every, multi_step=True,
                   backend=backend)
        )  # fmt: skip


def network(
    kept: str, kind: str, config: Config, channels: int, width: int, classes: int = 10, layers: int = 6, side: int = 16
) -> nn.Module:
    """A network of `kind` ("mlp" takes `channels` inputs) whose layers are kept as `kept` says."""
    from effml.models.spiking.networks import spiking_convnet, spiking_mlp, spiking_vgg

    constants = constants_of(config)
    ours = {"spikingjelly": "leaky", "memopt": "lif"}.get(kept, kept)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "mlp":
            net: nn.Module = spiking_mlp(ours, channels, (width, width), classes, constants)
        elif kind == "convnet":
            net = spiking_convnet(ours, channels, width, layers, side, classes, constants)
        else:
            net = spiking_vgg(ours, int(kind.removeprefix("vgg")), channels, width, classes, constants)
    return peers.refit(net, constants.tau, constants.threshold) if kept in PEERS else net


def constants_of(config: Config):
    """What all neurons of a network share."""
    from effml.models.spiking.kept import Constants

    c = config.neuron
    return Constants(c.tau, c.alpha, c.beta, c.threshold)


def tell_of_stability(config: Config, run: Run) -> None:
    """Say the rule when the state will grow without bound."""
    from effml.models.spiking.stability import is_stable

    c = config.neuron
    if not is_stable(c.alpha, c.tau):
        run.log(
            f"neuron.alpha={c.alpha:g} is above 1/tau = {1 / c.tau:g}: membranes grow without bound as steps go by and "
            "firing saturates; use alpha of at most 1/tau"
        )


def quietly(call, *arguments):
    """The result, without warnings that are told elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments)
