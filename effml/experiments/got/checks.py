"""How good the model's own checker is: k unanimous answers about moves that the model itself proposed.

If its mistakes were independent, k checks would let through a**k of the wrong moves and turn away 1 - (1 - r)**k of the
right ones; both are set beside what happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from effml.models.llm import Ledger, Port
from effml.models.thoughts.asking import Asker
from effml.models.thoughts.checker import says_yes
from effml.models.thoughts.prompts import Dialect
from effml.models.thoughts.task import BACKWARD, FORWARD, Move, Problem, Task


@dataclass(frozen=True)
class Checked:
    """A move, whether it is right, and what each of the checks said."""

    move: Move
    sound: bool
    said: tuple[bool, ...]


async def check_own_moves(
    port: Port, task: Task, dialect: Dialect, problems: Sequence[Problem], direction: str, most: int, scope: str
) -> list[Checked]:
    """Moves proposed at each problem, and, where they are right, one level below; each checked `most` times."""

    async def at(node: str, ask: Asker) -> list[Checked]:
        texts = await ask.about(task.role(node, direction), node, max(8, dialect.samples))
        moves = list(dict.fromkeys(move for text in texts for move in task.moves(node, text)[0]))
        replies = await asyncio.gather(*(ask.about_move("check", move, most) for move in moves))
        return [
            Checked(move, task.sound(move), tuple(says_yes(ask, move, text) for text in texts))
            for move, texts in zip(moves, replies, strict=True)
        ]

    async def one(problem: Problem) -> list[Checked]:
        ask = Asker(port, dialect, task, problem, f"{scope}/{problem.id}", Ledger())
        found = await at(problem.node, ask)
        below = dict.fromkeys(
            node for each in found if each.sound for node in each.move.premises if not task.known(node)
        )
        for each in await asyncio.gather(*(at(node, ask) for node in list(below)[:3])):
            found.extend(each)
        return found

    return [each for found in await asyncio.gather(*(one(problem) for problem in problems)) for each in found]


def figures(checked: Sequence[Checked], k: int) -> dict[str, float | None]:
    """The checker's rates when k answers must all be yes; None where there was no such case."""
    wrong = [each for each in checked if not each.sound]
    right = [each for each in checked if each.sound]
    passed = [each for each in checked if all(each.said[:k])]
    through, away = _share(wrong, k), _share(right, k)
    a, kept = _mean_answer(wrong), _mean_answer(right)
    return {
        "precision": sum(each.sound for each in passed) / len(passed) if passed else None,
        "recall": away,
        "let_through": through,
        "turned_away": None if away is None else 1 - away,
        "predicted_through": None if a is None else a**k,
        "predicted_away": None if kept is None else 1 - kept**k,
        "cases": float(len(checked)),
    }


def _share(cases: Sequence[Checked], k: int) -> float | None:
    return sum(all(each.said[:k]) for each in cases) / len(cases) if cases else None


def _mean_answer(cases: Sequence[Checked]) -> float | None:
    """How often a single answer is yes."""
    said = [answer for each in cases for answer in each.said]
    return sum(said) / len(said) if said else None


DIRECTIONS = (FORWARD, BACKWARD)
