"""One method at work on one problem: what it may ask, through which port, within which budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from effml.models.llm import Ledger, Port, Usage
from effml.models.thoughts.graph import Graph
from effml.models.thoughts.prompts import Dialect
from effml.models.thoughts.task import Move, Problem, Task


@dataclass
class Asker:
    """Asks the questions of a dialect about one problem. `scope` keeps its samples apart from everyone else's."""

    port: Port
    dialect: Dialect
    task: Task
    problem: Problem
    scope: str
    meter: Ledger = field(default_factory=Ledger)

    async def ask(self, role: str, words: Mapping[str, str], n: int = 1, **note: Any) -> list[str]:
        """`n` answers to the question `role`. Raises BudgetSpent when the problem's budget has no room for them."""
        template = self.dialect[role]
        reply = await self.port.sample(
            template.messages(words),
            n=n,
            temperature=template.temperature,
            max_tokens=template.max_tokens,
            stop=template.stop,
            scope=self.scope,
            meter=self.meter,
            note={"problem": self.problem.id, "role": role, **note},
        )
        return reply.texts

    async def about(self, role: str, node: str, n: int = 1) -> list[str]:
        return await self.ask(role, self.task.words(node), n, node=node)

    async def about_move(self, role: str, move: Move, n: int = 1) -> list[str]:
        words = {**self.task.words(move.node), "move": self.task.line(move)}
        return await self.ask(role, words, n, node=move.node, move=move.label)

    @property
    def used(self) -> Usage:
        return self.meter.spent


@dataclass
class Outcome:
    """What a method made of a problem: answers, the best first (none when it gave up); what it used; its graph if it
    has one. `trail` holds, for methods that could have stopped earlier, (tokens, calls, best answer so far)."""

    answers: list[str]
    used: Usage
    graph: Graph | None = None
    trail: list[tuple[int, int, str]] = field(default_factory=list)
    note: str = ""

    @property
    def graph_solved(self) -> bool:
        return self.graph is not None and self.graph.solved

    @property
    def answer(self) -> str:
        return self.answers[0] if self.answers else ""
