"""Every method on every problem through one port: what came out, as plain values that a run can keep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from effml.experiments.got.config import CHECKED, Budget, Config
from effml.models.llm import Ledger, Limits, Port
from effml.models.thoughts.asking import Asker, Outcome
from effml.models.thoughts.checker import Checker, ExactChecker, ModelChecker
from effml.models.thoughts.prompts import Dialect
from effml.models.thoughts.sampling import Checked, Single, Vote
from effml.models.thoughts.search import Bounds, GraphOfThoughts
from effml.models.thoughts.task import Problem, Task
from effml.models.thoughts.tot import TreeOfThoughts

STEPS = {"game24": 3, "polynomial": 5, "sequence": 3}  # layers of Tree of Thoughts: the longest chain of moves


class Method(Protocol):
    name: str

    async def solve(self, ask: Asker) -> Outcome: ...


def line_up(config: Config, task: str, dialect: Dialect) -> Iterator[tuple[str, str, Callable[[], Method]]]:
    """(method, checker, its maker) for all that is compared, in the order of the tables."""
    checkers: dict[str, Checker] = {"own": ModelChecker(config.budget.checks), "exact": ExactChecker()}
    for name in config.methods:
        for checker in config.checkers if name in CHECKED else ["none"]:
            yield name, checker, _maker(name, checkers.get(checker), config.budget, task, dialect)


def _maker(name: str, checker: Checker | None, budget: Budget, task: str, dialect: Dialect) -> Callable[[], Method]:
    samples = budget.samples or dialect.samples
    bounds = Bounds(budget.width, samples, budget.rounds, budget.votes, budget.nodes, budget.depth)
    if name in ("io", "cot"):
        return lambda: Single({"io": "answer", "cot": "trace"}[name])
    if name in ("io-sc", "cot-sc"):
        return lambda: Vote({"io-sc": "answer", "cot-sc": "trace"}[name], budget.most)
    if name == "tot":
        return lambda: TreeOfThoughts(STEPS[task], budget.beam, samples, budget.votes)
    assert checker is not None
    if name == "cot-checked":
        return lambda: Checked(checker, budget.most)
    return lambda: GraphOfThoughts(name.removeprefix("got-"), checker, bounds)


async def solve_all(
    port: Port,
    task: Task,
    dialect: Dialect,
    problems: Sequence[Problem],
    make: Callable[[], Method],
    *,
    scope: str,
    tokens: int | None,
    done: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """The outcome of each problem, in their order. Problems cut off by the limits of the whole run are left out."""

    async def one(problem: Problem) -> dict[str, Any] | None:
        ask = Asker(port, dialect, task, problem, f"{scope}/{problem.id}", Ledger(Limits(tokens=tokens)))
        outcome = await make().solve(ask)
        done()
        if port.exhausted and outcome.note and not outcome.graph_solved:
            return None
        return plain(task, problem, outcome)

    outcomes = await asyncio.gather(*(one(problem) for problem in problems), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if outcome is not None]  # type: ignore[misc]


def plain(task: Task, problem: Problem, outcome: Outcome) -> dict[str, Any]:
    """An outcome judged, as plain values."""
    verdicts = [task.judge(problem, answer).right for answer in outcome.answers]
    right = bool(verdicts and verdicts[0])
    used = outcome.used
    trail = [(tokens, calls, task.judge(problem, answer).right) for tokens, calls, answer in outcome.trail]
    return {
        "id": problem.id,
        "problem": problem.node,
        "answer": outcome.answer,
        "right": right,
        "any_kept": any(verdicts),
        "answered": bool(outcome.answers),
        "calls": used.calls,
        "tokens": used.tokens,
        "cost": used.cost,
        "trail": trail or [(used.tokens, used.calls, right)],
        "note": outcome.note,
        "graph": outcome.graph.as_dict() if outcome.graph is not None else None,
    }
