"""Checkers: is a proposed move right? The model itself asked k times, an exact program, or nobody.

GoT repeats its check and wants every answer to be yes: a judge that lets through a share `a` of wrong moves and turns
away a share `r` of right ones then lets through a**k and turns away 1 - (1 - r)**k, if its answers are independent.
"""

from __future__ import annotations

from typing import Protocol

from effml.models.thoughts.asking import Asker
from effml.models.thoughts.prompts import agrees
from effml.models.thoughts.task import Move


class Checker(Protocol):
    """`accepts` a move when it is proposed; `confirms` it once more when a proof is read off."""

    name: str

    async def accepts(self, ask: Asker, move: Move) -> bool: ...

    async def confirms(self, ask: Asker, move: Move) -> bool: ...


def says_yes(ask: Asker, move: Move, text: str) -> bool:
    """Whether a reply to the checker's question accepts the move: by a word or, in a dialect that has the move worked out
    again, by coming to the same one."""
    if ask.dialect.rewrites:
        return ask.task.moves(move.node, text)[0] == [move]
    return agrees(text)


class ModelChecker:
    """The model's own word: `k` independent answers, all of which must agree."""

    def __init__(self, k: int = 1) -> None:
        self.k = k
        self.name = "own"

    async def accepts(self, ask: Asker, move: Move) -> bool:
        return all(says_yes(ask, move, text) for text in await ask.about_move("check", move, self.k))

    async def confirms(self, ask: Asker, move: Move) -> bool:
        """k answers more, not the ones that let the move in."""
        return all(says_yes(ask, move, text) for text in (await ask.about_move("check", move, 2 * self.k))[self.k :])


class ExactChecker:
    """The task's exact program. It costs no call."""

    name = "exact"

    async def accepts(self, ask: Asker, move: Move) -> bool:
        return ask.task.sound(move)

    async def confirms(self, ask: Asker, move: Move) -> bool:
        return True


class NoChecker:
    """Every move that can be read is taken (`verdict` True), or none is (False, for tests of the search)."""

    name = "none"

    def __init__(self, verdict: bool = True) -> None:
        self.verdict = verdict

    async def accepts(self, ask: Asker, move: Move) -> bool:
        return self.verdict

    async def confirms(self, ask: Asker, move: Move) -> bool:
        return self.verdict
