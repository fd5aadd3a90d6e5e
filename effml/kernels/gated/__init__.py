"""Gated polynomial activation: ReLU where a gate keeps it, a polynomial of degree at most 2 elsewhere, in one pass.

`y = keep * relu(z) + (1 - keep) * (c0 + c1 z + c2 z^2)`, the replaced activation of AutoReP
(arXiv 2308.10134) and, with gates and coefficients per node, of LinGCN (arXiv 2309.14331). Knows
nothing of how gates or coefficients are learned.

Any granularity is one kernel: gate and coefficients are spread to a table `[4, sites]` (ReLU's weight, then the
polynomial's coefficients times `1 - keep`), which costs 1/batch of the data; the kernel's backward returns the table's
gradient, and autograd of the spreading does the rest.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from effml.kernels.gated.reference import gated_polynomial_reference

__all__ = ["gated_polynomial", "gated_polynomial_reference", "provider"]


def provider(device: torch.device) -> str:
    """What computes on `device`: `numba`, `triton` or `reference` (plain torch, on devices with neither)."""
    return {"cpu": "numba", "cuda": "triton", "xpu": "triton"}.get(device.type, "reference")


@torch.library.custom_op("effml::gated_polynomial", mutates_args=())
def _forward(z: Tensor, table: Tensor) -> Tensor:
    which = provider(z.device)
    if which == "numba":
        from effml.kernels.gated.cpu import forward

        return forward(z, table)
    if which == "triton":
        from effml.kernels.gated.gpu import forward

        return forward(z, table)
    relu, c0, c1, c2 = table
    return (relu * z.relu() + (c2 * z + c1) * z + c0).to(z.dtype)


@torch.library.custom_op("effml::gated_polynomial_backward", mutates_args=())
def _backward(grad: Tensor, z: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    which = provider(z.device)
    if which == "numba":
        from effml.kernels.gated.cpu import backward

        return backward(grad, z, table)
    if which == "triton":
        from effml.kernels.gated.gpu import backward

        return backward(grad, z, table)
    relu, _, c1, c2 = table
    g, value = grad.to(table.dtype), z.to(table.dtype)
    slope = relu * (value > 0) + 2 * c2 * value + c1
    sums = torch.stack([(g * term).sum(0) for term in (value.relu(), torch.ones_like(value), value, value * value)])
    return (g * slope).to(z.dtype), sums


@_forward.register_fake
def _(z: Tensor, table: Tensor) -> Tensor:
    return torch.empty_like(z)


@_backward.register_fake
def _(grad: Tensor, z: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(z), torch.empty_like(table)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
    z, table = ctx.saved_tensors
    return _backward(grad, z, table)


_forward.register_autograd(_differentiate, setup_context=_save)


def _axes(z: Tensor) -> list[int]:
    """An order of the axes, batch first, in which `z` lies contiguous in memory; the given one where there is none."""
    given = list(range(z.dim()))
    last = [0, *given[2:], 1]  # channels_last; named, since torch.compile cannot sort strides that it does not know
    for order in (given, last):
        if z.permute(order).is_contiguous():
            return order
    if torch.compiler.is_compiling():
        return given
    strides = z.stride()
    order = [0, *sorted(given[1:], key=lambda axis: (-strides[axis], axis))]
    return order if z.permute(order).is_contiguous() else given


def gated_polynomial(
    z: Float[Tensor, " batch *site"], keep: Float[Tensor, "*gate"], coefficients: Float[Tensor, " terms *group"]
) -> Float[Tensor, " batch *site"]:
    """`keep * relu(z) + (1 - keep) * (c0 + c1 z + c2 z^2)`, fused forward and backward.

    Args:
        z: pre-activations `[batch, *site]`, float64, float32, or half (computed in float32); any memory layout, of
            which batch-outermost ones (contiguous, channels_last) are not copied.
        keep: gate in [0, 1], broadcastable to `site`: `[C, H, W]` per pixel, `[C, 1, 1]` per channel, `[V]` per node of
            `[.., V]`, `[]` for all. With 0 and 1 the other branch adds nothing where z is finite.
        coefficients: `[1..3, *group]`: c0, c1, c2 with `group` broadcastable to `site`.

    Returns:
        Activations in the shape, dtype and memory layout of `z`; differentiable once in all three arguments.

    Raises:
        ValueError: more than three coefficients, or shapes that do not broadcast to `site`.
        TypeError: integer or boolean arguments, or none of torch's.
    """
    if not all(isinstance(given, Tensor) for given in (z, keep, coefficients)):
        raise TypeError("z, keep and coefficients must be torch tensors")
    if not z.dim() or not coefficients.dim():
        raise ValueError(
            f"z must be [batch, *site] and coefficients [terms, *group], got {[*z.shape]} and {[*coefficients.shape]}"
        )
    site = z.shape[1:]
    if not (z.is_floating_point() and keep.is_floating_point() and coefficients.is_floating_point()):
        raise TypeError(
            f"z, keep and coefficients must be floating point, got {z.dtype}, {keep.dtype}, {coefficients.dtype}; "
            "convert a bool mask with .float()"
        )
    if not 1 <= coefficients.shape[0] <= 3:
        raise ValueError(f"gated_polynomial takes 1 to 3 coefficients (degree 0 to 2), got {coefficients.shape[0]}")
    try:
        keep = keep.expand(site)
        spread = [row.expand(site) for row in coefficients]
    except RuntimeError as error:
        shapes = f"keep {tuple(keep.shape)} and coefficients {tuple(coefficients.shape[1:])}"
        raise ValueError(f"{shapes} do not broadcast to the site shape {tuple(site)}") from error
    dtype = torch.float64 if z.dtype == torch.float64 else torch.float32
    keep = keep.to(dtype)
    rows = [keep, *((1 - keep) * row.to(dtype) for row in spread)]
    rows += [torch.zeros_like(keep)] * (4 - len(rows))
    axes, sites = _axes(z), math.prod(site)
    table = torch.stack(rows).permute(axes)  # row index takes the batch's place
    flat = _forward(z.permute(axes).reshape(z.shape[0], sites), table.reshape(4, sites))
    inverse = [axes.index(axis) for axis in range(z.dim())]
    return flat.reshape([z.shape[axis] for axis in axes]).permute(inverse)
