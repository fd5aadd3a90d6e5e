"""What every two-party engine offers: a program and images in, the client's logits and what each operation cost out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from effml.models.private.program import Program

LINEAR = ("conv", "linear", "scale", "add", "average", "mean", "flatten")


@dataclass(frozen=True)
class Cost:
    """Cost of one operation in one inference.

    Args:
        bytes: on the wire, both directions together.
        rounds: message exchanges that wait for each other.
        seconds: wall time of the slower party.
    """

    kind: str
    name: str
    bytes: float
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Transcript:
    """What a private inference leaves.

    Args:
        logits: the client's answer, float32.
        runs: for each batch in turn, its operations' costs.
        engine: name and version.
        caveat: what its security does not cover; to be printed with its figures.
        wire_bytes: per batch, what the loopback interface sent meanwhile: both directions, with framing, and whatever
            else used it; None where that cannot be read.
    """

    logits: Float[Tensor, "images classes"]
    runs: list[list[Cost]]
    engine: str
    caveat: str
    wire_bytes: list[float | None]

    def total(self, run: int = -1) -> Cost:
        """The whole inference of one batch."""
        costs = self.runs[run]
        return Cost(
            "all", "all", sum(c.bytes for c in costs), sum(c.rounds for c in costs), sum(c.seconds for c in costs)
        )

    def by_kind(self, run: int = -1) -> dict[str, Cost]:
        """Costs of one batch summed over operations of a kind: `conv`, `activation` ..."""
        grouped: dict[str, list[Cost]] = defaultdict(list)
        for cost in self.runs[run]:
            grouped[cost.kind].append(cost)
        return {
            kind: Cost(
                kind, kind, sum(c.bytes for c in some), sum(c.rounds for c in some), sum(c.seconds for c in some)
            )
            for kind, some in grouped.items()
        }


@dataclass(frozen=True)
class Task:
    """What to infer.

    Args:
        program, images: the server's and the client's part.
        batches: images `start:stop` of each inference in turn.
        dense: compute ReLU and polynomial at every site and blend them, to measure what gathering saves.
        fraction_bits: of fixed point; `ring.fraction_bits` finds how many are safe.
    """

    program: Program
    images: Float[Tensor, "images channels h w"]
    batches: list[tuple[int, int]]
    dense: bool = False
    fraction_bits: int = 16


class PartyEngine(Protocol):
    """An engine that runs programs between two processes on this machine."""

    name: str

    def infer(self, tasks: Sequence[Task]) -> list[Transcript]:
        """Private inference of all tasks in the same two processes: the first batch of each, the second of each ...

        Raises:
            MissingRequirement: the engine's environment is not there.
            PartyFailed: a party died or the time ran out.
            UserError: the port is taken.
        """
        ...
