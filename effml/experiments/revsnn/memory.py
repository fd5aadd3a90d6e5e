"""What is kept for the backward, counted byte by byte by saved-tensor hooks, and the most that a step takes.

A layer of neurons alone, then networks of convolution, norm and neuron: the first is the figure that the paper gives,
the second what its user sees.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from effml.experiments.core.measure import saved_tensors
from effml.experiments.core.run import Run
from effml.experiments.revsnn import peers, sequences
from effml.experiments.revsnn.config import Config
from effml.experiments.revsnn.contenders import network, node, quietly, tell_of_stability, wanted
from effml.experiments.revsnn.peak import peak_bytes

NAME = "convnet"
SCALARS = 64  # bytes up to which a layer is said to keep nothing of its own


def measure(config: Config, run: Run) -> None:
    """Layers of neurons, networks, their peaks, and long sequences."""
    tell_of_stability(config, run)
    of_nodes = _nodes(config, run)
    of_nets = _networks(config, run)
    for (kept, steps), (ratio, all_ratio) in of_nodes.items():
        run.record("ratios", {"kept": kept, "steps": steps}, "node_ratio", ratio)
        run.record("ratios", {"kept": kept, "steps": steps}, "all_ratio", all_ratio)
    for (kept, steps), ratio in of_nets.items():
        run.record("ratios", {"kept": kept, "steps": steps}, "network_ratio", ratio)
        if (kept, steps) in of_nodes:
            alone = of_nodes[kept, steps][0]
            told = "keeps nothing of its own" if alone is None else f"saves {alone:.1f}x"
            run.log(f"{kept} at T={steps}: the neuron {told}, a network of it {ratio:.2f}x")
    _peaks(config, run)
    sequences.measure_long(config, run)


def _nodes(config: Config, run: Run) -> dict[tuple[str, int], tuple[float | None, float]]:
    """(kept, T) -> what a layer saves against Leaky, without and with input and output."""
    options, found = config.memory, {}
    one_step = options.batch * options.width * 4
    for steps in options.steps:
        leaky = own_and_all(node("leaky", config), steps, config, run)
        for kept in wanted(options.nodes, run):
            if kept == "rev-exact" and (config.neuron.alpha != 0.5 or config.neuron.beta not in _POWERS):
                run.log("mode exact left out: it needs neuron.alpha=0.5 and a neuron.beta that is a power of two")
                continue
            own, everything = own_and_all(node(kept, config), steps, config, run)
            labels = {"steps": steps, "kept": kept}
            run.record("node_memory", labels, "own_bytes", own)
            run.record("node_memory", labels, "units", own / one_step)
            run.record("node_memory", labels, "all_bytes", everything)
            ratio = leaky[0] / own if own > SCALARS else None
            why = None if ratio else "nothing but scalars is kept besides input and output"
            run.record("node_memory", labels, "ratio", ratio, note=why)
            run.record("node_memory", labels, "all_ratio", leaky[1] / everything)
            found[kept, steps] = ratio, leaky[1] / everything
    return found


_POWERS = {2.0**power for power in range(-6, 7)}


def own_and_all(neuron: nn.Module, steps: int, config: Config, run: Run) -> tuple[int, int]:
    """Bytes kept besides input and output; and with the output and, where it is kept, the input."""
    neuron = neuron.to(run.device)
    shape = (steps, config.memory.batch, config.memory.width)
    x = torch.randn(shape, generator=run.generator("input")).to(run.device).requires_grad_()
    with saved_tensors(*neuron.parameters(), *neuron.buffers()) as saved:
        y = quietly(neuron, x)
    # Scalars that snntorch multiplies by are a few bytes a step: they are counted, too.
    return saved.without(x, y), saved.without(y) + y.untyped_storage().nbytes()


def _networks(config: Config, run: Run) -> dict[tuple[str, int], float]:
    """(kept, T) -> what a network saves against one of Leaky."""
    options, found = config.memory, {}
    for steps in options.net_steps:
        leaky = network_bytes("leaky", steps, config, run)
        unit = steps * options.net_batch * options.net_width * options.side**2 * 4
        for kept in run.progress(wanted(options.nets, run), f"networks at T={steps}"):
            saved = network_bytes(kept, steps, config, run)
            labels = {"net": NAME, "steps": steps, "kept": kept}
            run.record("network_memory", labels, "saved_bytes", saved)
            run.record("network_memory", labels, "units_per_layer", saved / unit / options.layers)
            run.record("network_memory", labels, "network_ratio", leaky / saved)
            found[kept, steps] = leaky / saved
    return found


def network_bytes(kept: str, steps: int, config: Config, run: Run) -> int:
    """Bytes that autograd keeps of a network's forward, its parameters and its input not counted."""
    net, x = made(kept, steps, config, config.memory.net_batch, run.device)
    # Without a gradient through time a step's backward follows its forward at once.
    now = x[:1] if kept == "online" else x
    with saved_tensors(x, *net.parameters(), *net.buffers()) as saved:
        loss = quietly(net, now).square().sum()
    del loss
    return saved.bytes


def made(kept: str, steps: int, config: Config, batch: int, device: torch.device) -> tuple[nn.Module, Tensor]:
    """A network of equal layers and an input for it."""
    options = config.memory
    net = network(kept, NAME, config, 3, options.net_width, layers=options.layers, side=options.side).to(device)
    x = torch.rand(steps, batch, 3, options.side, options.side, device=device)
    return (peers.checkpointed(net, lambda model: model(x[:, :1])) if kept == "memopt" else net), x


def _peaks(config: Config, run: Run) -> None:
    steps = max(config.memory.net_steps)
    found: dict[str, float | None] = {}
    for kept in run.progress(wanted(config.memory.peaks, run), "peaks"):
        found[kept] = peak_bytes({"what": "network", "kept": kept, "steps": steps}, config, run)
    for kept, peak in found.items():
        labels = {"net": NAME, "steps": steps, "kept": kept}
        run.record("peak", labels, "peak_bytes", peak)
        if peak and (leaky := found.get("leaky")):
            run.record("peak", labels, "peak_ratio", leaky / peak)
