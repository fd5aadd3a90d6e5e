"""Long sequences of spikes: chains of layers, what they keep and the most they take, and a chain that can be trained.

Ordinary neurons under one-bit checkpointing keep the bits, and work through segments of sqrt(T) steps. A reversible
neuron's output is real-valued: it stays, T values for a neuron, whatever the mode.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from effml.experiments.core.measure import saved_tensors
from effml.experiments.core.run import Run
from effml.experiments.revsnn.config import Config
from effml.experiments.revsnn.contenders import constants_of, quietly
from effml.models.spiking.kept import neuron_of
from effml.models.spiking.lif import Lif
from effml.models.spiking.sequence import SpikingLayer, SpikingSequence

WIDTHS = (256, 256, 256)
BATCH = 4
RATE = 0.2  # of the input's spikes


class Chain(nn.Module):
    """Linear layers with neurons over spikes [T, batch, inputs], and a readout that is summed over time.

    Args:
        kept: "bit-checkpoint" runs as a `SpikingSequence`; any other of `KEPT` keeps what it keeps.
        widths: inputs, then the neurons of each layer.
        segment: steps in a segment of the former, default sqrt(T).
        last: how the last layer is kept, where otherwise than the rest.
    """

    def __init__(
        self, kept: str, widths: Sequence[int], config: Config, segment: int | None = None, last: str | None = None
    ) -> None:
        super().__init__()
        self.kept = kept
        constants = constants_of(config)
        pairs = list(itertools.pairwise(widths))
        if kept == "bit-checkpoint":
            neuron = lambda: Lif(1 - 1 / constants.tau, constants.threshold, reset=constants.reset)  # noqa: E731
            layers = [SpikingLayer(nn.Linear(fan_in, out), neuron()) for fan_in, out in pairs]
            self.body: nn.Module = SpikingSequence(layers, segment)
        else:
            ways = [kept] * (len(pairs) - 1) + [last or kept]
            self.body = nn.Sequential(
                *(
                    nn.Sequential(nn.Linear(*pair), neuron_of(way, constants))
                    for pair, way in zip(pairs, ways, strict=True)
                )
            )

    def forward(
        self,
        x: Float[Tensor, "T batch inputs"],
        readout: Callable[[Tensor, int], Tensor],
        parameters: Sequence[nn.Parameter] = (),
    ) -> Tensor:
        """The sum over time of `readout(outputs of the last layer, first step)`."""
        if isinstance(self.body, SpikingSequence):
            return self.body(x, readout, parameters)
        return readout(self.body(x), 0)

    def outputs(self, x: Float[Tensor, "T batch inputs"]) -> Float[Tensor, "T batch out"]:
        """The last layer's outputs, without a gradient."""
        with torch.no_grad():
            return self.body.spikes(x) if isinstance(self.body, SpikingSequence) else self.body(x)


def bit_bytes(steps: int, batch: int, widths: Sequence[int]) -> int:
    """Input and spikes of every layer of a chain, one bit each."""
    return sum(steps * ((batch * width + 7) // 8) for width in widths)


def linear_bytes(kept: str, steps: int, batch: int, reversible: Sequence[int]) -> int:
    """The real-valued outputs of reversible layers of these widths, float32; 0 for ordinary ones."""
    return 4 * steps * batch * sum(reversible) if kept.startswith("rev") else 0


def kept_of(chain: nn.Module, x: Tensor, forward: Callable[[], Tensor]) -> int:
    """Bytes that autograd keeps of one forward, parameters and the input not counted."""
    with saved_tensors(x, *chain.parameters(), *chain.buffers()) as saved:
        result = quietly(forward)
    del result
    return saved.bytes


def step_of(kept: str, steps: int, config: Config, device: torch.device) -> Callable[[], None]:
    """A forward and a backward of a chain over random spikes."""
    chain = Chain(kept, WIDTHS, config).to(device)
    x = (torch.rand(steps, BATCH, WIDTHS[0], device=device) < RATE).float()
    return lambda: quietly(chain, x, lambda now, begin: now.square().sum()).backward()


def measure_long(config: Config, run: Run) -> None:
    """What chains keep over long sequences, and the most they take."""
    from effml.experiments.revsnn.peak import peak_bytes

    for steps in config.memory.long_steps:
        for kept in run.progress(config.memory.long_nets, f"long sequences of T={steps}"):
            chain = Chain(kept, WIDTHS, config).to(run.device)
            x = (torch.rand(steps, BATCH, WIDTHS[0], generator=run.generator("spikes")) < RATE).float().to(run.device)
            saved = kept_of(chain, x, lambda: chain(x, lambda now, begin: now.square().sum()))  # noqa: B023
            labels = {"task": "random spikes", "steps": steps, "kept": kept}
            run.record("long", labels, "saved_bytes", saved)
            run.record("long", labels, "bit_bytes", bit_bytes(steps, BATCH, WIDTHS))
            run.record("long", labels, "linear_bytes", linear_bytes(kept, steps, BATCH, WIDTHS[1:]))
            run.record(
                "long", labels, "peak_bytes", peak_bytes({"what": "long", "kept": kept, "steps": steps}, config, run)
            )
