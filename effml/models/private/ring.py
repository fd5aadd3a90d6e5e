"""Whether a program fits the ring of its protocol, found out in the open before two parties compute nonsense.

A value v is held as the integer v 2^f in a ring of 2^64. A product carries 2 f fractional bits until it is truncated, so that
everything multiplied must stay below 2^(63 - 2 f). And two parties truncate each its own share (SecureML, S&P 2017, theorem
1): right to the last place, unless the shares wrap, which for a product p happens with probability |p| 2^(2 f - 64) and puts
the value off by 2^(64 - 2 f). Fewer fractional bits make both safer and every value coarser; `fraction_bits` takes the most
that are safe. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from effml.models.private.plain import results
from effml.models.private.program import Operation, Program

RING = 64
MOST, LEAST = 16, 8
RISK = 1e-5
"""Accepted number of wrong truncations in one inference: one in a thousand runs of a hundred images."""


class OutOfRange(ValueError):
    """No fixed-point format of the ring holds what the program computes."""


@dataclass(frozen=True)
class Load:
    """What fixed point has to hold: the largest product before its truncation, where it is, and the sum of all of them per
    image, by magnitude."""

    largest: float
    place: str
    total: float


def load(program: Program, images: Float[Tensor, "batch channels h w"], dense: bool = False) -> Load:
    """The load of these images, from the program computed in float64; not finite where float64 overflows.

    Args:
        dense: as computed with polynomial and ReLU at every site.
    """
    values = results(program, images.double())
    largest, place, total = 0.0, "input", 0.0
    for operation in program.operations:
        inputs = [values[name] for name in operation.inputs]
        for what, product in _products(operation, inputs, values[operation.name], dense):
            magnitude = product.abs().nan_to_num(nan=torch.inf, posinf=torch.inf)
            total += float(magnitude.sum()) / len(images)
            top = float(magnitude.max()) if magnitude.numel() else 0.0
            if top > largest:
                largest, place = top, f"{what} in {operation.name}"
    return Load(largest, place, total)


def _products(operation: Operation, inputs: list[Tensor], result: Tensor, dense: bool) -> Iterator[tuple[str, Tensor]]:
    """Every secret value that is truncated, as it is before."""
    tensors = operation.tensors
    if operation.kind in ("conv", "linear", "scale"):
        yield "a sum of products", result - tensors["bias"].reshape(-1, *[1] * (result.dim() - 2))
    elif operation.kind == "activation":
        z = inputs[0].flatten(1)
        c1, c2 = torch.ones(z.shape[1], dtype=z.dtype), torch.zeros(z.shape[1], dtype=z.dtype)
        c1[tensors["square"]], c2[tensors["square"]] = tensors["square_c1"], tensors["square_c2"]
        c1[tensors["affine"]] = tensors["affine_c1"]
        squared = torch.arange(z.shape[1]) if dense else tensors["square"]
        mapped = torch.arange(z.shape[1]) if dense else torch.cat([tensors["square"], tensors["affine"]])
        square = z[:, squared] ** 2
        yield "a square", square
        yield "a square's multiple", square * c2[squared]
        yield "a multiple", z[:, mapped] * c1[mapped]


def wrong_truncations(asked: Load, bits: int) -> float:
    """Expected number of truncations of one inference that go wrong with this many fractional bits."""
    return asked.total * 2.0 ** (2 * bits - RING)


def fits(asked: Load, bits: int, headroom: float = 1.0, risk: float = RISK) -> bool:
    """Whether this many fractional bits hold the load, `headroom` times over, at this risk."""
    return asked.largest * headroom < 2.0 ** (RING - 1 - 2 * bits) and wrong_truncations(asked, bits) * headroom <= risk


def fraction_bits(asked: Load, headroom: float = 4.0, risk: float = RISK) -> int:
    """The most fractional bits, 16 to 8, that hold the load.

    Args:
        headroom: by which other images may pass those that were looked at.
        risk: accepted number of wrong truncations in one inference.

    Raises:
        OutOfRange: says what is too large, and where.
    """
    for bits in range(MOST, LEAST - 1, -1):
        if fits(asked, bits, headroom, risk):
            return bits
    raise OutOfRange(_too_large(asked, LEAST))


def check(asked: Load, bits: int, risk: float = RISK) -> None:
    """Make sure that a load fits a format chosen before.

    Raises:
        OutOfRange: says what is too large, and where.
    """
    if not fits(asked, bits, 1.0, risk):
        raise OutOfRange(_too_large(asked, bits))


def _too_large(asked: Load, bits: int) -> str:
    return (
        f"{asked.place} reaches {asked.largest:.2g}; {bits} fractional bits in a ring of 2^{RING} hold "
        f"{2.0 ** (RING - 1 - 2 * bits):.2g}, and {wrong_truncations(asked, bits):.1g} truncations of one inference would go "
        "wrong"
    )
