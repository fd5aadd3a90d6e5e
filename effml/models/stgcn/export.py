"""From a trained network to plain arrays: batch norms folded as they stand in evaluation mode."""

from __future__ import annotations

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn

from effml.models.stgcn import plain
from effml.models.stgcn.activation import PairedActivation
from effml.models.stgcn.network import STGCN, Block


@torch.no_grad()
def export(network: STGCN, frames: int) -> plain.PlainSTGCN:
    """The network in evaluation mode, in float64.

    Args:
        frames: T of the sequences it was trained on.

    Raises:
        ValueError: a ReLU is left, which no polynomial circuit computes.
    """
    nodes = network.nodes
    scale, shift = _affine(network.norm)
    blocks = [_block(block) for block in network.blocks]  # type: ignore[arg-type]
    head, bias = _array(network.head.weight), _array(network.head.bias)
    return plain.PlainSTGCN(scale.reshape(-1, nodes), shift.reshape(-1, nodes), blocks, head, bias, frames)


def _block(block: Block) -> plain.Block:
    adjacency = _array(block.adjacency) * _array(block.importance)
    parts = len(adjacency)
    scale, shift = _affine(block.norm1)
    weight = _array(block.spatial.weight).reshape(parts, len(scale), -1)
    assert block.spatial.bias is not None
    bias = _array(block.spatial.bias).reshape(parts, -1)
    # The convolution's bias is summed along the edges that lead to a node.
    constant = np.einsum("ko,kvw->ow", bias, adjacency) * scale[:, None] + shift[:, None]
    temporal, temporal_bias = _folded(block.temporal, block.norm2)
    beside: plain.Residual | str | None = "identity" if block.kept else None
    if isinstance(block.beside, nn.Sequential):
        kernel, offset = _folded(block.beside[0], block.beside[1])
        beside = plain.Residual(kernel[..., 0], offset)
    return plain.Block(
        spatial=weight * scale[:, None],
        adjacency=adjacency,
        bias=constant,
        act1=_activation(block.act, 0),
        temporal=temporal,
        stride=block.stride,
        temporal_bias=temporal_bias,
        residual=beside,  # type: ignore[arg-type]
        act2=_activation(block.act, 1),
    )


def _activation(pair: PairedActivation, place: int) -> plain.Activation:
    if pair.kind == "relu" and pair.gate.decide()[place].any():
        raise ValueError("a ReLU is left in the network; replace it by a polynomial before export")
    offset, slope, square = (_array(row) for row in pair.coefficients(place))
    return plain.Activation(square, slope, offset)


def _folded(convolution: nn.Module, norm: nn.Module) -> tuple[ndarray, ndarray]:
    """Weight `[out, in, taps]` and bias of a convolution along time with the norm after it."""
    scale, shift = _affine(norm)
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    return _array(convolution.weight)[..., 0] * scale[:, None, None], _array(convolution.bias) * scale + shift


def _affine(norm: nn.Module) -> tuple[ndarray, ndarray]:
    """Scale and shift of a batch norm in evaluation mode."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
    return scale, _array(norm.bias) - _array(norm.running_mean) * scale


def _array(tensor: Tensor) -> ndarray:
    return tensor.detach().double().cpu().numpy().copy()
