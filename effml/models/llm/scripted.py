"""A back end that answers from a function: for tests of what stands above the port. No table row comes from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from effml.models.llm.request import Completion, Message, Request


class Scripted:
    """Answers with `script(request, index)`, a text or an exception to raise. Tokens are quarters of characters."""

    def __init__(
        self,
        script: Callable[[Request, int], str | Exception],
        *,
        name: str = "scripted",
        max_n: int = 20,
        dollars_per_token: float | None = 0.0,
        timeout: float | None = None,
    ) -> None:
        self.script = script
        self.name = self.identity = name
        self.max_n = max_n
        self.timeout = timeout
        self.dollars_per_token = dollars_per_token
        self.requests: list[tuple[Request, int, int]] = []

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(_tokens(message["content"]) for message in messages)

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        return None if self.dollars_per_token is None else self.dollars_per_token * (tokens_in + tokens_out)

    async def complete(self, request: Request, first: int, n: int) -> Completion:
        self.requests.append((request, first, n))
        texts = []
        for index in range(first, first + n):
            text = self.script(request, index)
            if isinstance(text, Exception):
                raise text
            texts.append(text)
        return Completion(texts, ["stop"] * n, self.count_tokens(request.messages), [_tokens(text) for text in texts])


def _tokens(text: str) -> int:
    return math.ceil(len(text) / 4)
