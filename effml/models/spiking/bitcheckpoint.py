"""Checkpointing for ordinary spiking networks: a layer keeps its input spikes as single bits and runs again backwards.

Works on unmodified layers whose input is 0 or 1 (another layer's spikes), with gradients identical to the plain
network's; a thirty-second of one float tensor per layer is all that stays. The idea of spike-compressed checkpoints is
that of spikingjelly's `memopt`; a reversible neuron's real-valued output cannot be kept this way.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from effml.kernels.spiking import pack_bits, unpack_bits
from effml.models.spiking.replay import Replay, parameters_of, refuse_hidden_state


class SpikeCheckpoint(nn.Module):
    """Run `layer` without keeping anything but its input, packed to bits; run it again when its gradient is wanted.

    Args:
        layer: one tensor in, one out (all T steps at once), without state of its own.
        binary: False keeps the input as it is: for the first layer of a network, whose input are no spikes.

    Raises:
        ValueError: the input holds another value than 0 and 1 and cannot be kept as bits; or a neuron inside carries
            its state on itself.
    """

    def __init__(self, layer: nn.Module, binary: bool = True) -> None:
        super().__init__()
        self.layer, self.binary = layer, binary
        refuse_hidden_state(layer, "SpikeCheckpoint")

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self.layer(x)
        return _Checkpoint.apply(x, self.layer, self.binary, *parameters_of(self.layer))


class _Checkpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, layer, binary, *parameters):
        ctx.layer, ctx.replay, ctx.parameters = layer, Replay(x), parameters
        ctx.shape, ctx.dtype = x.shape, x.dtype
        if binary:
            spikes = x.detach() != 0
            if not torch.equal(spikes.to(x.dtype), x):
                raise ValueError("SpikeCheckpoint keeps bits, but its input is not all 0 and 1: pass binary=False")
            kept = pack_bits(spikes.flatten())
        else:
            kept = x
        ctx.binary = binary
        ctx.save_for_backward(kept)
        return layer(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (kept,) = ctx.saved_tensors
        x = unpack_bits(kept, ctx.shape.numel(), ctx.dtype).view(ctx.shape) if ctx.binary else kept.detach()
        with ctx.replay.again(ctx.layer):
            x.requires_grad_(ctx.needs_input_grad[0])
            output = ctx.layer(x)
        wanted = ([x] if x.requires_grad else []) + list(ctx.parameters)
        gradients = torch.autograd.grad(output, wanted, grad, allow_unused=True)
        of_x, of_parameters = (gradients[0], gradients[1:]) if x.requires_grad else (None, gradients)
        return of_x, None, None, *of_parameters
