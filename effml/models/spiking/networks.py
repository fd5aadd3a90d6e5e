"""Spiking networks whose layers can be kept for the backward in every way that `kept.py` names.

All compute synapse - norm - neuron over [T, batch, ...]; the readout is linear, its logits averaged over T. An image
without a time axis is coded directly: the first synapse and norm see it once, their result is every step's current.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from effml.models.spiking.bitcheckpoint import SpikeCheckpoint
from effml.models.spiking.kept import Constants, neuron_of, norm_and_neuron, wrapped
from effml.models.spiking.reversible import ReversibleBlock, ReversibleChain


class OverTime(nn.Module):
    """A module that knows no time, applied to every step of [T, batch, ...] as one large batch."""

    def __init__(self, *modules: nn.Module | None) -> None:
        super().__init__()
        self.module = nn.Sequential(*(module for module in modules if module is not None))

    def forward(self, x: Float[Tensor, "T batch *rest"]) -> Float[Tensor, "T batch *out"]:
        return self.module(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class SpikingNet(nn.Module):
    """An encoder, its neuron, layers and a readout, over [T, batch, ...].

    Called with [T, batch, ...], or with [batch, ...] and `steps`, it returns logits [batch, classes]; with
    `every_step=True` those of all steps, [T, batch, classes].

    Args:
        dims: axes of one sample at one step, by which the two kinds of input are told apart.
    """

    def __init__(self, encoder: nn.Module, first: nn.Module, layers: nn.Module, readout: nn.Module, dims: int) -> None:
        super().__init__()
        self.encoder, self.first, self.layers, self.readout, self.dims = encoder, first, layers, readout, dims

    def forward(self, x: Tensor, steps: int | None = None, every_step: bool = False) -> Tensor:
        logits = self.readout(self.layers(self.first(self.current(x, steps))).flatten(2))
        return logits if every_step else logits.mean(0)

    def current(self, x: Tensor, steps: int | None = None) -> Float[Tensor, "T batch *rest"]:
        """What drives the first neurons."""
        if x.ndim == self.dims + 2:
            return self.encoder(x)
        if steps is None:
            raise ValueError(f"an input without time axis, {[*x.shape]}, needs steps=T")
        return self.encoder(x.unsqueeze(0)).expand(steps, *[-1] * x.ndim)


def spiking_mlp(
    kept: str, inputs: int, hidden: Sequence[int], classes: int, constants: Constants | None = None
) -> SpikingNet:
    """Linear layers without norm: [T, batch, inputs] to classes. Not for `rev-norm`, `lif-norm` and `depth`."""
    constants = constants or Constants()
    if kept in ("rev-norm", "lif-norm", "depth"):
        raise ValueError(f"'{kept}' is for convolutional networks")
    layers = [
        wrapped(kept, nn.Sequential(nn.Linear(fan_in, fan_out), neuron_of(kept, constants)))
        for fan_in, fan_out in itertools.pairwise(hidden)
    ]
    first = wrapped(kept, neuron_of(kept, constants), binary=False)
    return SpikingNet(nn.Linear(inputs, hidden[0]), first, nn.Sequential(*layers), nn.Linear(hidden[-1], classes), 1)


def spiking_convnet(
    kept: str, channels: int = 3, width: int = 32, layers: int = 6, side: int = 16, classes: int = 10,
    constants: Constants | None = None,
) -> SpikingNet:  # fmt: skip
    """Equal layers of 3 x 3 convolution, batch norm and neuron at full resolution, then average pooling to 4 x 4.

    `depth` pairs the layers in reversible blocks of twice the width, whose halves have the width that the others have.
    """
    if layers % 2:
        raise ValueError(f"{layers} layers cannot be paired in blocks: use an even number")
    constants = constants or Constants()
    pooled = min(side, 4)
    pool = wrapped(kept, OverTime(nn.AdaptiveAvgPool2d(pooled)))
    if kept == "depth":
        branch = lambda: nn.Sequential(neuron_of(kept, constants), _convolution(width, width))  # noqa: E731
        chain = ReversibleChain([ReversibleBlock(branch(), branch()) for _ in range(layers // 2)])
        readout = nn.Linear(2 * width * pooled**2, classes)
        whole = SpikeCheckpoint(_convolution(channels, 2 * width), binary=False)
        return SpikingNet(whole, nn.Identity(), nn.Sequential(chain, pool), readout, 3)
    first = wrapped(kept, neuron_of(kept, constants), binary=False)
    body = [_layer(kept, width, width, constants) for _ in range(layers - 1)]
    readout = nn.Linear(width * pooled**2, classes)
    encoder = wrapped(kept, _convolution(channels, width), binary=False)
    return SpikingNet(encoder, first, nn.Sequential(*body, pool), readout, 3)


# Convolutions of each resolution (Simonyan and Zisserman, 2015, table 1).
VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def spiking_vgg(
    kept: str, depth: int = 11, channels: int = 3, width: int = 64, classes: int = 10,
    constants: Constants | None = None,
) -> SpikingNet:  # fmt: skip
    """VGG with batch norm and one linear layer, each resolution entered by a convolution of stride 2.

    The stride takes the place of max pooling, which would keep indices besides. Images of 32 x 32 end at 2 x 2.
    """
    if depth not in VGG:
        raise ValueError(f"VGG-{depth} is none of {', '.join(map(str, VGG))}")
    if kept == "depth":
        raise ValueError("VGG changes its width from layer to layer, so it cannot be reversible in depth")
    constants = constants or Constants()
    widths = [min(width * 2**stage, 8 * width) for stage in range(5)]
    plan = [(out, 2 if stage and i == 0 else 1) for stage, out in enumerate(widths) for i in range(VGG[depth][stage])]
    first = wrapped(kept, neuron_of(kept, constants), binary=False)
    body = [_layer(kept, before, out, constants, stride) for (before, _), (out, stride) in itertools.pairwise(plan)]
    pool = wrapped(kept, OverTime(nn.AdaptiveAvgPool2d(2)))
    readout = nn.Linear(4 * widths[-1], classes)
    encoder = wrapped(kept, _convolution(channels, plan[0][0]), binary=False)
    return SpikingNet(encoder, first, nn.Sequential(*body, pool), readout, 3)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> OverTime:
    return OverTime(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))


def _layer(kept: str, inputs: int, outputs: int, constants: Constants, stride: int = 1) -> nn.Module:
    norm, neuron = norm_and_neuron(kept, outputs, constants)
    synapse = OverTime(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), norm)
    return wrapped(kept, nn.Sequential(synapse, neuron))


def trainable(net: nn.Module) -> int:
    """Number of values that training changes."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)
