"""Thousands of time steps through ordinary spiking layers: spikes kept as bits, everything else in segments of sqrt(T).

Layer l's membranes follow from its input spikes, which are layer l-1's output bits. The backward first runs every layer
over its bits to find the membranes at the borders of segments (sqrt(T) of them), then goes through the segments from
the last to the first, one layer at a time. What stays between forward and backward is the bits; what comes and goes is
of the order of sqrt(T).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from effml.kernels.spiking import pack_bits, unpack_bits
from effml.models.spiking.lif import Lif
from effml.models.spiking.replay import parameters_of


class SpikingLayer(nn.Module):
    """A synapse (any module over [T, batch, ...] that treats the steps alike) and the neuron after it."""

    def __init__(self, synapse: nn.Module, neuron: Lif) -> None:
        super().__init__()
        self.synapse, self.neuron = synapse, neuron
        neuron.output = True

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.neuron(self.synapse(x), state)


class SpikingSequence(nn.Module):
    """Spiking layers one after another over a long sequence of spikes, and a readout of every segment.

    Args:
        layers: from the input to the last hidden layer.
        segment: steps in a segment; default sqrt(T), rounded up.

    Called with spikes [T, batch, ...] (0 and 1) and `readout`, it returns the sum over segments of
    `readout(spikes of the segment, first step)`: a loss, or logits summed over time. The readout's result must not grow
    with T, or it is what grows; it may be any function, also one with parameters (pass those as `parameters`).
    Differentiable once, in the parameters alone: the input is data.

    Raises:
        ValueError: an input of other values than 0 and 1; a batch norm in training, whose statistics would be those of
            a segment.
    """

    def __init__(self, layers: Sequence[SpikingLayer], segment: int | None = None) -> None:
        super().__init__()
        self.layers, self.segment = nn.ModuleList(layers), segment

    def forward(
        self,
        x: Float[Tensor, "T batch *rest"],
        readout: Callable[[Tensor, int], Tensor],
        parameters: Sequence[nn.Parameter] = (),
    ) -> Tensor:
        if any(isinstance(m, _BatchNorm) and m.training for m in self.modules()):
            raise ValueError("a batch norm in training sees a segment at a time here; use another norm, or eval()")
        if len(x) == 0:
            raise ValueError(f"x has no time step: {[*x.shape]}; pass at least one")
        segment = self.segment or math.isqrt(len(x) - 1) + 1
        every = [*parameters_of(self), *parameters]
        return _Sequence.apply(x, list(self.layers), segment, readout, *every)

    def spikes(self, x: Float[Tensor, "T batch *rest"]) -> Float[Tensor, "T batch *out"]:
        """The last layer's spikes at every step, without a gradient."""
        with torch.no_grad():
            for layer in self.layers:
                x, _ = layer(x)
        return x


class _Bits:
    """A sequence of spikes, packed step by step."""

    def __init__(self, shape: torch.Size, packed: Tensor, dtype: torch.dtype) -> None:
        self.shape, self.packed, self.dtype = shape, packed, dtype

    def steps(self, begin: int, end: int) -> Tensor:
        flat = unpack_bits(self.packed[begin:end], math.prod(self.shape), self.dtype)
        return flat.view(end - begin, *self.shape)


def _packed(spikes: Tensor) -> Tensor:
    return pack_bits((spikes != 0).flatten(1))


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, layers, segment, readout, *parameters):
        ctx.layers, ctx.segment, ctx.readout, ctx.parameters = layers, segment, readout, parameters
        packed: list[list[Tensor]] = [[] for _ in range(len(layers))]
        states: list[Tensor | None] = [None] * len(layers)
        ctx.shapes, ctx.dtype, ctx.steps = [x.shape[1:]], x.dtype, len(x)
        inputs, total = [], x.new_zeros(())
        for begin in range(0, len(x), segment):
            now = x[begin : begin + segment]
            if not bool(((now == 0) | (now == 1)).all()):
                raise ValueError("SpikingSequence takes spikes, 0 and 1, as its input")
            inputs.append(_packed(now))
            for number, layer in enumerate(layers):
                now, states[number] = layer(now, states[number])
                packed[number].append(_packed(now))
                if begin == 0:
                    ctx.shapes.append(now.shape[1:])
            result = readout(now, begin)
            total = total + result
        # The last layer's spikes are needed again by the readout, hence kept, too.
        ctx.save_for_backward(torch.cat(inputs), *(torch.cat(bits) for bits in packed))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        layers, segment, steps = ctx.layers, ctx.segment, ctx.steps
        bits = [_Bits(shape, kept, ctx.dtype) for shape, kept in zip(ctx.shapes, ctx.saved_tensors, strict=True)]
        borders = [_states_at_borders(layer, bits[l], segment, steps) for l, layer in enumerate(layers)]
        found = {id(parameter): torch.zeros_like(parameter) for parameter in ctx.parameters}
        into_states: list[Tensor | None] = [None] * len(layers)
        for begin in reversed(range(0, steps, segment)):
            end = min(begin + segment, steps)
            into_spikes = _readout_gradient(ctx, bits[-1].steps(begin, end), begin, grad, found)
            for number in reversed(range(len(layers))):
                state = borders[number].pop()
                into_spikes, into_states[number] = _layer_gradient(
                    layers[number], bits[number].steps(begin, end), state, into_spikes, into_states[number], found,
                    first=number == 0,
                )  # fmt: skip
        return None, None, None, None, *(found[id(parameter)] for parameter in ctx.parameters)


def _states_at_borders(layer: SpikingLayer, bits: _Bits, segment: int, steps: int) -> list[Tensor | None]:
    """The membrane before each segment; None, which is 0, before the first."""
    states: list[Tensor | None] = [None]
    for begin in range(0, steps - segment, segment):
        states.append(layer(bits.steps(begin, begin + segment), states[-1])[1])
    return states


def _readout_gradient(ctx, spikes: Tensor, begin: int, grad: Tensor, found: dict[int, Tensor]) -> Tensor:
    with torch.enable_grad():
        result = ctx.readout(spikes.requires_grad_(), begin)
    return _add_gradients(result, grad, [spikes], ctx.parameters, found)[0]


def _layer_gradient(layer, x, state, into_spikes, into_state, found, first: bool):
    """Gradients of the layer's input and of its first membrane, from those of its spikes and its last membrane."""
    with torch.enable_grad():
        x = x.requires_grad_(not first)
        start = None if state is None else state.requires_grad_()
        spikes, last = layer(x, start)
    wanted = [tensor for tensor in (x, start) if tensor is not None and tensor.requires_grad]
    outputs, grads = ((spikes,), (into_spikes,)) if into_state is None else ((spikes, last), (into_spikes, into_state))
    gradients = _add_gradients(outputs, grads, wanted, parameters_of(layer), found)
    of_x = None if first else gradients[0]
    return of_x, (None if start is None else gradients[-1])


def _add_gradients(outputs, grads, wanted, parameters, found: dict[int, Tensor]) -> list[Tensor]:
    gradients = torch.autograd.grad(outputs, [*wanted, *parameters], grads, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients[len(wanted) :], strict=True):
        if gradient is not None:
            found[id(parameter)] += gradient
    return [torch.zeros_like(t) if g is None else g for t, g in zip(wanted, gradients, strict=False)]
