"""What activations cost under four two-party protocols: bytes and rounds of each site, with where the numbers come from.

"Polynomials are free" holds where multiplication triples come from a dealer (CrypTen, SEMI2K). Without one (Cheetah) a
secret square costs MORE than a ReLU, and only an affine replacement saves anything. The model says so, and a run can
choose its replacement, or spell its budget in bytes, by it. Linear layers are not in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from effml.errors import UserError

_SPU = "spu 0.9.5, 64-bit ring, 16,384 elements, both directions, as its link statistics say"


@dataclass(frozen=True)
class Protocol:
    """Costs per scalar site, bytes in both directions together; None where no number is known.

    Args:
        relu: a comparison and a product; polynomial: `c2 z^2 + c1 z + c0`; affine: `c1 z + c0`.
        dealer: whether a third party, or one of the two, deals out triples.
        source: of the numbers; measured: or from the literature.
        offline: bytes per ReLU before the input is known.
        relu_rounds, polynomial_rounds: of a layer that has any such site.
    """

    name: str
    relu: float | None
    polynomial: float | None
    affine: float | None
    dealer: bool
    source: str
    measured: bool = True
    offline: float | None = None
    relu_rounds: int | None = None
    polynomial_rounds: int | None = None

    @property
    def square_over_relu(self) -> float | None:
        """Cost of a quadratic site over that of a ReLU: above 1, replacing ReLUs by squares makes inference dearer."""
        return None if self.polynomial is None or self.relu is None else self.polynomial / self.relu


_KNOWN = (
    Protocol(
        "crypten",
        relu=464,
        polynomial=16,
        affine=0,
        dealer=True,
        source="CrypTen 0.4.1, 64-bit ring, trusted first party; by its own count",
        relu_rounds=9,
        polynomial_rounds=1,
    ),
    Protocol("semi2k", relu=144, polynomial=56, affine=8, dealer=True, source=_SPU),
    Protocol("cheetah", relu=98.5, polynomial=227.6, affine=3.1, dealer=False, source=_SPU),
    Protocol(
        "delphi",
        relu=2e3,
        polynomial=None,
        affine=None,
        dealer=False,
        source="garbled circuits, 32 bits: Delphi, USENIX Security 2020, recalled",
        measured=False,
        offline=17.5e3,
    ),
)

PROTOCOLS = {protocol.name: protocol for protocol in _KNOWN}


@dataclass(frozen=True)
class Activations:
    """Sites of a network by kind, of one example; and in how many layers there are any."""

    relus: int
    squares: int
    affines: int
    relu_layers: int = 0
    square_layers: int = 0


def predict_bytes(protocol: Protocol, sites: Activations) -> float | None:
    """Bytes of all activations of one inference, online; None where the protocol lacks a number that is needed."""
    total = 0.0
    for count, cost in (
        (sites.relus, protocol.relu),
        (sites.squares, protocol.polynomial),
        (sites.affines, protocol.affine),
    ):
        if count and cost is None:
            return None
        total += count * (cost or 0.0)
    return total


def predict_rounds(protocol: Protocol, sites: Activations) -> int | None:
    """Rounds of all activations of one inference, or None where unknown."""
    if protocol.relu_rounds is None or protocol.polynomial_rounds is None:
        return None
    return sites.relu_layers * protocol.relu_rounds + sites.square_layers * protocol.polynomial_rounds


def cheapest_replacement(protocol: Protocol) -> str:
    """`dapa` where a quadratic site costs less than a tenth of a ReLU, else `linear`: what pays under this protocol.

    A quadratic replacement is the more accurate one at equal ReLUs; where it costs nearly as much as what it replaces, its
    bytes are better spent on keeping ReLUs.
    """
    ratio = protocol.square_over_relu
    return "dapa" if ratio is not None and ratio < 0.1 else "linear"


def relus_for_bytes(protocol: Protocol, total: int, degree: int, budget_bytes: float) -> int:
    """The most ReLUs that `total` sites may keep within this many bytes, all others replaced by a polynomial of `degree`.

    Raises:
        UserError: fewer than one, a replacement dearer than ReLU, or an unknown cost.
    """
    other = protocol.polynomial if degree == 2 else protocol.affine
    if protocol.relu is None or other is None:
        raise UserError(
            f"the cost of a degree-{degree} site under {protocol.name} is not known, so a budget in bytes cannot be met; "
            "give the budget in ReLUs"
        )
    if other >= protocol.relu:
        raise UserError(
            f"under {protocol.name} a quadratic site costs {other:g} bytes and a ReLU {protocol.relu:g}: replacing ReLUs "
            "makes inference dearer; take the replacement linear"
        )
    kept = int((budget_bytes - total * other) // (protocol.relu - other))
    if kept < 1:
        raise UserError(
            f"{budget_bytes:,.0f} bytes are too few for {total:,} sites under {protocol.name}: without any ReLU they cost "
            f"{total * other:,.0f}"
        )
    return min(kept, total)


def parse_bytes(text: str) -> float | None:
    """`1.5MB`, `300kB` or `2e6B` as bytes; None where the text is not one of bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([kKMG]?)B\s*", text)
    if not match:
        return None
    return float(match[1]) * {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}[match[2]]


@dataclass(frozen=True)
class Link:
    """A network between the parties: bytes per second each way, and seconds for a round trip."""

    name: str
    bandwidth: float
    round_trip: float

    def seconds(self, compute: float, bytes: float, rounds: int) -> float:
        """Time of an inference: both directions carry half of the bytes at once, and a round waits half a round trip.

        A round is an exchange of messages sent at the same moment.
        """
        return compute + bytes / 2 / self.bandwidth + rounds * self.round_trip / 2


LINKS = (Link("lan", 384e6, 0.3e-3), Link("wan", 44e6, 40e-3))
"""The settings of the Cheetah paper (USENIX Security 2022), recalled: 384 MB/s and 0.3 ms, 44 MB/s and 40 ms."""
