"""The one way to a language model: cache, budget, concurrency and retries around a back end.

Knows no provider. Order of things for one call: look into the transcript; reserve; wait for a slot; attempt, and
attempt again on what may pass; write the answer down; settle; answer. A result depends on the request alone, not on
what else is under way.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from effml import __version__
from effml.errors import UserError
from effml.models.llm.backend import Backend, CallFailed, TransientFailure
from effml.models.llm.budget import BudgetSpent, Ledger, Limits
from effml.models.llm.request import Choice, Completion, Message, Reply, Request, Usage
from effml.models.llm.transcript import Transcript


@dataclass(frozen=True)
class Retry:
    """`attempts` in all; the wait before attempt k + 1 is `base * 2**k` seconds, at most `cap`, or as long as the
    server asks (at most `patience`)."""

    attempts: int = 6
    base: float = 0.5
    cap: float = 30.0
    patience: float = 120.0

    def wait(self, attempt: int, wish: float | None) -> float:
        if wish is not None:
            return min(max(wish, 0.0), self.patience)
        return min(self.base * 2**attempt, self.cap)


class Port:
    """Asks `backend`, at most `concurrency` requests at a time, within `limits` over everything asked through it."""

    def __init__(
        self,
        backend: Backend,
        *,
        transcript: Transcript | None = None,
        limits: Limits | None = None,
        concurrency: int = 8,
        retry: Retry | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.backend = backend
        self.transcript = transcript if transcript is not None else Transcript()
        self.ledger = Ledger(limits or Limits())
        self.retry = retry or Retry()
        self.sent = Usage()  # what this process really bought, for the last line of a run
        self.retries = 0
        self.exhausted = False  # a limit of the port's own, not of a caller's meter, has refused a call
        self._sleep = sleep
        self._slots = asyncio.Semaphore(concurrency)
        self._asking: dict[str, asyncio.Lock] = {}
        self._stretch = 1.0
        if self.ledger.limits.cost is not None and backend.price(1, 1) is None:
            raise UserError(
                f"The price of {backend.name} is unknown, so a budget in dollars cannot be kept: give its prices "
                "(dollars per million tokens, in and out), or limit calls or tokens instead."
            )

    async def sample(
        self,
        messages: Sequence[Message],
        *,
        n: int = 1,
        temperature: float | None = 0.7,
        max_tokens: int = 256,
        stop: Sequence[str] = (),
        seed: int | None = None,
        scope: str = "",
        meter: Ledger | None = None,
        note: dict[str, Any] | None = None,
    ) -> Reply:
        """`n` completions of the conversation.

        scope: see Request. meter: a ledger of the caller's own (one puzzle, one design) that is charged beside the
        port's; its room is taken in the order of the calls of `sample`, before anything is awaited, so that what fits
        into it does not depend on concurrency. note: kept in the transcript for the reader (puzzle, node, trial).
        Raises BudgetSpent before sending what might pass a limit, CallFailed when the attempts are spent.
        """
        request = Request(tuple(messages), temperature, max_tokens, tuple(stop), seed, scope)
        keys = request.keys(self.backend.identity, n)
        need = self._need(request, sum(key not in meter.charged for key in keys)) if meter else Usage()
        if meter:
            meter.reserve(need)
        used = Usage()
        try:
            lock = self._asking.setdefault(keys[0], asyncio.Lock())
            async with lock:  # the same question twice at once: the second finds the first one's answers
                stored = [self.transcript.get(key) is not None for key in keys]
                for key, was_stored in zip(keys, stored, strict=True):
                    if was_stored:
                        await self._charge_stored(key)
                while missing := self._missing(keys):
                    results = await asyncio.gather(
                        *(self._buy(request, keys, first, count, note) for first, count in missing),
                        return_exceptions=True,
                    )
                    for result in results:
                        if isinstance(result, BaseException):
                            raise result
            if not lock.locked():
                self._asking.pop(keys[0], None)
            choices = [
                replace(self.transcript[key], cached=was_stored) for key, was_stored in zip(keys, stored, strict=True)
            ]
            if meter:
                used = sum((c.usage for k, c in zip(keys, choices, strict=True) if k not in meter.charged), Usage())
                meter.charged.update(keys)
        finally:
            if meter:
                meter.settle(need, used)
        return Reply(tuple(choices))

    async def close(self) -> None:
        self.transcript.close()
        close = getattr(self.backend, "close", None)
        if close is not None:
            await close()

    async def __aenter__(self) -> Port:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _charge_stored(self, key: str) -> None:
        """What an interrupted attempt bought counts when it is used, as it would have without the interruption."""
        if key in self.ledger.charged:
            return
        usage = self.transcript[key].usage
        await self._reserve(usage)
        self.ledger.charged.add(key)
        self.ledger.settle(usage, usage)

    async def _reserve(self, need: Usage) -> None:
        try:
            await self.ledger.reserve_when_free(need)
        except BudgetSpent:
            self.exhausted = True
            raise

    def _missing(self, keys: list[str]) -> list[tuple[int, int]]:
        """(first index, count) of the requests that fetch what is not in the transcript yet."""
        chunks: list[tuple[int, int]] = []
        for index, key in enumerate(keys):
            if self.transcript.get(key) is not None:
                continue
            if chunks and sum(chunks[-1]) == index and chunks[-1][1] < self.backend.max_n:
                chunks[-1] = (chunks[-1][0], chunks[-1][1] + 1)
            else:
                chunks.append((index, 1))
        return chunks

    async def _buy(self, request: Request, keys: list[str], first: int, n: int, note: dict[str, Any] | None) -> None:
        """Fetch samples `first` .. `first + n - 1` by one request into the transcript, or the first few of them."""
        async with self._slots:
            need = self._need(request, n, self._stretch)
            await self._reserve(need)
            used = Usage()
            try:
                started = time.perf_counter()
                completion, attempts = await self._attempt(request, first, n, need)
                choices = self._priced(completion)
                audit = {
                    "seconds": round(time.perf_counter() - started, 3),
                    "attempts": attempts,
                    "at": round(time.time(), 3),
                    "effml": __version__,
                    **({"note": note} if note else {}),
                }
                self.transcript.append(self.backend.identity, request, first, choices, audit=audit)
                used = sum((choice.usage for choice in choices), Usage())
                self.ledger.charged.update(keys[first : first + len(choices)])
                self.sent += used
                self._learn(request, completion.tokens_in)
            finally:
                self.ledger.settle(need, used)

    async def _attempt(self, request: Request, first: int, n: int, need: Usage) -> tuple[Completion, int]:
        for attempt in range(self.retry.attempts):
            try:
                async with asyncio.timeout(self.backend.timeout):
                    completion = await self.backend.complete(request, first, n)
                if not 0 < len(completion.texts) <= n:
                    raise TransientFailure(f"{len(completion.texts)} choices came for {n} asked", billed=True)
                return completion, attempt + 1
            except TimeoutError:
                failure = TransientFailure(f"no full answer within {self.backend.timeout:g} s", billed=True)
            except TransientFailure as caught:
                failure = caught
            if failure.billed:
                # Perhaps paid for: booked as the most it can have cost, and the next attempt needs room of its own.
                self.ledger.settle(Usage(), replace(need, calls=0, requests=0))
                if lack := self.ledger.room(Usage()):
                    self.exhausted = True
                    raise BudgetSpent(f"After a failure that may have been billed ({failure}): {lack}") from failure
            if attempt + 1 < self.retry.attempts:
                self.retries += 1
                await self._sleep(self.retry.wait(attempt, failure.wait))
        message = f"{self.backend.name} failed {self.retry.attempts} times, the last time: {failure}"
        raise CallFailed(message) from failure

    def _priced(self, completion: Completion) -> list[Choice]:
        """The prompt is billed once per request, with the first choice."""
        choices = []
        rows = zip(completion.texts, completion.finishes, completion.tokens_out, strict=True)
        for offset, (text, finish, tokens_out) in enumerate(rows):
            tokens_in = completion.tokens_in if offset == 0 else 0
            usage = Usage(1, int(offset == 0), tokens_in, tokens_out, self.backend.price(tokens_in, tokens_out))
            choices.append(Choice(text, finish, usage))
        return choices

    def _need(self, request: Request, n: int, stretch: float = 1.0) -> Usage:
        """The most that `n` samples may use: counted prompt, and every answer at full length."""
        if n == 0:
            return Usage()
        requests = math.ceil(n / self.backend.max_n)
        tokens_in = math.ceil(self.backend.count_tokens(request.messages) * stretch) * requests
        tokens_out = n * request.max_tokens
        return Usage(n, requests, tokens_in, tokens_out, self.backend.price(tokens_in, tokens_out))

    def _learn(self, request: Request, tokens_in: int) -> None:
        """A provider that counts more prompt tokens than our count is believed from then on."""
        counted = self.backend.count_tokens(request.messages)
        if counted and tokens_in > counted:
            self._stretch = max(self._stretch, tokens_in / counted)
