"""The words of the port: what is asked, what comes back, what it used. Knows no provider, no file, no budget."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": ...}, the field's own form


def system(text: str) -> Message:
    return {"role": "system", "content": text}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


@dataclass(frozen=True)
class Usage:
    """What answers used. `calls` counts completions, whatever number of them one request fetched; `cost` is in
    dollars, and None means unknown: it stays unknown in every sum, and is never taken for zero."""

    calls: int = 0
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = 0.0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    def __add__(self, other: Usage) -> Usage:
        cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        return Usage(
            self.calls + other.calls,
            self.requests + other.requests,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            cost,
        )

    def __sub__(self, other: Usage) -> Usage:
        cost = None if self.cost is None or other.cost is None else self.cost - other.cost
        return Usage(
            self.calls - other.calls,
            self.requests - other.requests,
            self.tokens_in - other.tokens_in,
            self.tokens_out - other.tokens_out,
            cost,
        )


@dataclass(frozen=True)
class Request:
    """One question: everything that decides the answer except the model and the index of the sample.

    `temperature=None` sends none (some models refuse it). `scope` separates askers who must not share samples: the
    same prompt in two scopes is bought twice, so that a puzzle's result and its bill depend on nothing outside it.
    """

    messages: tuple[Message, ...]
    temperature: float | None = 0.7
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    seed: int | None = None
    scope: str = ""

    def canonical(self) -> dict[str, Any]:
        return {
            "messages": [dict(message) for message in self.messages],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "stop": list(self.stop),
            "seed": self.seed,
            "scope": self.scope,
        }

    def keys(self, model: str, n: int, first: int = 0) -> list[str]:
        """The addresses of samples `first`, `first + 1`, ... of this request to `model` in a transcript: 32 hexadecimal
        digits each."""
        text = json.dumps([model, self.canonical()], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        base = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return [hashlib.sha256(f"{base} {index}".encode()).hexdigest()[:32] for index in range(first, first + n)]


@dataclass(frozen=True)
class Choice:
    """One completion. `usage` carries the prompt's tokens on the first choice of each request only, as providers bill
    them. `finish` is "stop", "length", or what else the provider says; `cached` tells that no request was made now."""

    text: str
    finish: str
    usage: Usage
    cached: bool = False


@dataclass(frozen=True)
class Completion:
    """What one successful request brought: texts with their finish reasons and token counts, before pricing."""

    texts: Sequence[str]
    finishes: Sequence[str]
    tokens_in: int
    tokens_out: Sequence[int]


@dataclass(frozen=True)
class Reply:
    """The `n` choices asked for, in the order of their index."""

    choices: tuple[Choice, ...]

    @property
    def text(self) -> str:
        return self.choices[0].text

    @property
    def texts(self) -> list[str]:
        return [choice.text for choice in self.choices]

    @property
    def usage(self) -> Usage:
        return sum((choice.usage for choice in self.choices), Usage())
