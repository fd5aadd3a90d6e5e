"""What a back end must offer, and the ways in which it may fail. Knows no provider.

A back end makes exactly one attempt per call of `complete`: retries, budgets, caching and concurrency are the port's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from effml.models.llm.request import Completion, Message, Request


class TransientFailure(Exception):
    """Worth another attempt: rate limit, server error, timeout, unreadable reply.

    `wait` is the server's own wish in seconds, where it stated one. `billed` says that the provider may have done, and
    charged for, the work (a timeout after sending), so that a budget must go on counting what was reserved for it.
    """

    def __init__(self, message: str, *, wait: float | None = None, billed: bool = False) -> None:
        super().__init__(message)
        self.wait = wait
        self.billed = billed


class CallFailed(Exception):
    """A call failed for good: every attempt was spent, or the failure cannot be mended by another attempt."""


@runtime_checkable
class Backend(Protocol):
    """A source of completions.

    name: what a table prints. identity: what, besides the request, decides the answer (model, checkpoint, server); it
    enters the transcript's keys. max_n: the most completions one request may ask for. timeout: seconds an attempt may
    take in all, None for a local model.
    """

    name: str
    identity: str
    max_n: int
    timeout: float | None

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt, as well as can be told before sending it."""
        ...

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        """Dollars for one request, or None when the price is unknown."""
        ...

    async def complete(self, request: Request, first: int, n: int) -> Completion:
        """Samples number `first` .. `first + n - 1` of the request. It may bring fewer, never none.

        Raises TransientFailure or CallFailed; UserError or MissingRequirement for what the user can mend.
        """
        ...
