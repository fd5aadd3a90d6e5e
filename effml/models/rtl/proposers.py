"""Where designs come from: a language model behind the port, or random edits as the control that a model must beat."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import numpy as np

from effml.models.llm import Ledger, Limits, Port
from effml.models.rtl.mutate import faults, mutate, rewrites, slips
from effml.models.rtl.problem import Problem
from effml.models.rtl.prompts import messages
from effml.models.rtl.refine import Proposal, State, Task
from effml.models.rtl.source import clean, code_of


class ModelProposer:
    """Asks a language model.

    Args:
        port: where it is asked; its transcript makes a run resumable.
        temperature, max_tokens: of each request.
        seed: sent to providers that take one, another for each trial (the same would buy the same text again).
        shots: worked examples before each first request.
        limits: the budget of each trial, beside the port's over all.
    """

    def __init__(
        self,
        port: Port,
        *,
        temperature: float | None = 0.7,
        max_tokens: int = 2048,
        seed: int | None = None,
        shots: int = 0,
        limits: Limits | None = None,
    ) -> None:
        self.port, self.temperature, self.max_tokens = port, temperature, max_tokens
        self.seed, self.shots, self.limits = seed, shots, limits or Limits()
        self._meters: dict[str, Ledger] = {}

    async def propose(self, task: Task) -> Proposal:
        # A model that repeats itself meets the same words again: the round keeps the answers apart.
        asked = f"{task.scope} {task.kind.value} {task.round}"
        reply = await self.port.sample(
            messages(task, self.shots),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=None if self.seed is None else (self.seed + zlib.crc32(asked.encode())) % 2**31,
            scope=asked,
            meter=self._meters.setdefault(task.scope, Ledger(self.limits)),
            note={"design": task.problem.name, "state": task.kind.value, "round": task.round},
        )
        return Proposal(code_of(reply.text, task.problem.top), reply.text, reply.usage)


class MutationProposer:
    """Random edits, blind to what the tools say: the control.

    The first answer of a trial is `start(problem, scope)`, or the reference with `damage` random faults in it. A repair
    undoes nothing on purpose: it is one random edit. A rewrite is one random rule of `mutate.rewrites`.

    Args:
        seed: with the scope, decides every edit.
        damage: faults put into the reference.
        start: first answers, such as recorded ones; None from it falls back on the damaged reference.
    """

    def __init__(
        self, seed: int = 0, damage: int = 1, start: Callable[[Problem, str], str | None] | None = None
    ) -> None:
        self.seed, self.damage, self.start = seed, damage, start

    async def propose(self, task: Task) -> Proposal:
        return Proposal(self.text(task))

    def text(self, task: Task) -> str:
        named = zlib.crc32(f"{task.problem.name} {task.scope} {task.kind.value} {len(task.tried)}".encode())
        rng = np.random.default_rng([self.seed, named])
        if task.kind is State.GENERATE:
            given = self.start(task.problem, task.scope) if self.start else None
            return clean(given) if given is not None else damaged(clean(task.problem.reference), self.damage, rng)
        if task.kind is State.REPAIR_SYNTAX:
            return mutate(task.design, slips(task.design), rng)[0]
        return mutate(task.design, rewrites(task.design) if task.kind is State.REWRITE else faults(task.design), rng)[0]


def damaged(text: str, count: int, rng: np.random.Generator) -> str:
    """A text with `count` random faults; one in four of them is a slip of the syntax."""
    for _ in range(count):
        text = mutate(text, slips(text) if rng.random() < 0.25 else faults(text), rng)[0]
    return text


def recorded(answers: Mapping[str, list[str]]) -> Callable[[Problem, str], str | None]:
    """First answers from a recording: trial `.../k` of a problem gets its k-th answer, None where there is none."""

    def start(problem: Problem, scope: str) -> str | None:
        trial = int(scope.rsplit("/", 1)[-1])
        given = answers.get(problem.name, [])
        return given[trial] if trial < len(given) else None

    return start
