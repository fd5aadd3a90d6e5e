"""Tree of Thoughts as published (Yao et al., arXiv 2305.10601): breadth-first search with a beam, on the text so far.

Each layer: propose the next lines of every kept text; value each new text by `votes` opinions on the state that its
last line claims, summed (sure 20, likely 1, impossible 0.001), asked once per state; a text met twice in one layer gets
value 0; keep the `beam` best, the earlier of equals. Nothing is checked and nothing is merged. The original's last
layer has the model write the answer under steps that claim to be done (role "finish", valued by "value-answer"); in a
dialect without that role the answer is put together by a program from the steps as they stand.

A state is the tuple of nodes still to be shown: one in a chain; where a move needs several premises, all of them, and
it is worth as much as the least hopeful.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from effml.models.llm import BudgetSpent
from effml.models.thoughts.asking import Asker, Outcome
from effml.models.thoughts.sampling import read_answer
from effml.models.thoughts.task import FORWARD

T = TypeVar("T")


@dataclass(frozen=True)
class Text:
    """The lines so far, and the nodes that they claim are left to be shown; None when the last line cannot be read."""

    lines: tuple[str, ...]
    state: tuple[str, ...] | None

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)

    @property
    def answers(self) -> bool:
        return bool(self.lines) and "answer" in self.text.lower()


@dataclass(frozen=True)
class Layer:
    """One step, for the record: every new text with its value, and the kept ones."""

    proposed: list[str]
    values: list[float]
    kept: list[str]


class TreeOfThoughts:
    """See the module. depth: layers of steps, before the last one. samples: replies to each propose question (the
    original takes one reply of many lines; a model trained on single steps is sampled)."""

    name = "tot"

    def __init__(self, depth: int, beam: int = 5, samples: int = 1, votes: int = 3) -> None:
        self.depth, self.beam, self.samples, self.votes = depth, beam, samples, votes

    async def solve(
        self, ask: Asker, layers: list[Layer] | None = None, known: dict[str, float] | None = None
    ) -> Outcome:
        """The kept texts' answers, the best valued first.

        layers: collects what happened. known: values of nodes asked about before, added to here; the original shares
        them among all puzzles, which makes a puzzle's result depend on its place in the list.
        """
        kept = [Text((), (ask.problem.node,))]
        finishing = "finish" in ask.dialect.templates
        values = {} if known is None else known
        drawn: Counter[str] = Counter()
        note = ""
        try:
            for depth in range(self.depth + finishing):
                new = [each for found in await _all(self._longer(ask, text, drawn) for text in kept) for each in found]
                scores = await self._values(ask, new, values, last=depth == self.depth)
                order = sorted(range(len(new)), key=lambda index: -scores[index])[: self.beam]
                kept = [new[index] for index in order]
                if layers is not None:
                    layers.append(Layer([each.text for each in new], scores, [each.text for each in kept]))
        except BudgetSpent as spent:
            note = str(spent)
        return Outcome([read_answer(ask, text.text) for text in kept if text.lines], ask.used, note=note)

    async def _longer(self, ask: Asker, text: Text, drawn: Counter[str]) -> list[Text]:
        """The texts one line longer, in the order of the replies. `drawn` counts the replies taken for each node: a
        node met again on another path is asked again, as in the original, and gets fresh replies."""
        if text.state is None:
            return []
        waiting = [node for node in text.state if not ask.task.known(node)]
        if not waiting:
            if "finish" not in ask.dialect.templates:
                return [text]
            words = {**ask.task.words(ask.problem.node), "steps": text.text}
            (reply,) = await ask.ask("finish", words)
            return [Text((*text.lines, line.strip()), None) for line in reply.splitlines() if line.strip()]
        node, *others = waiting
        found = []
        before = drawn[node]
        drawn[node] += self.samples
        for reply in (await ask.about(ask.task.role(node, FORWARD), node, before + self.samples))[before:]:
            for line in filter(None, (line.strip() for line in reply.splitlines())):
                moves, _ = ask.task.moves(node, line)
                state = (*moves[0].premises, *others) if moves else None
                found.append(Text((*text.lines, line), state))
        return found

    async def _values(self, ask: Asker, new: list[Text], known: dict[str, float], *, last: bool) -> list[float]:
        """The value of each new text; `known` holds those of nodes asked about before, for this problem."""
        if last:
            return await self._answer_values(ask, new, known)
        states = [each.state or () for each in new]
        nodes = dict.fromkeys(node for state in states for node in state if node not in known)
        opinions = await _all(ask.about("value", node, self.votes) for node in nodes)
        for node, texts in zip(nodes, opinions, strict=True):
            known[node] = sum(ask.dialect.opinion(text) for text in texts)
        surest = self.votes * max(ask.dialect.opinions.values())
        seen: set[str] = set()
        scores = []
        for each, state in zip(new, states, strict=True):
            hopeless = each.state is None or each.text in seen
            scores.append(0.0 if hopeless else min((known[node] for node in state), default=surest))
            seen.add(each.text)
        return scores

    async def _answer_values(self, ask: Asker, new: list[Text], known: dict[str, float]) -> list[float]:
        """After the last layer: answers by the model's opinion on them; what is still a state by the value it was given
        before, if it was (so the original), else nothing."""
        words = ask.task.words(ask.problem.node)
        judged = list(dict.fromkeys(each.lines[-1] for each in new if each.answers))
        opinions = await _all(ask.ask("value-answer", {**words, "answer": line}, self.votes) for line in judged)
        values = {
            line: sum(ask.dialect.opinion(text) for text in texts) for line, texts in zip(judged, opinions, strict=True)
        }
        seen: set[str] = set()
        scores = []
        for each in new:
            value = min((known.get(node, 0.0) for node in each.state or ()), default=0.0)
            value = values[each.lines[-1]] if each.answers else value
            scores.append(0.0 if each.text in seen else value)
            seen.add(each.text)
        return scores


async def _all(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order. All are waited for, so that what is asked does not depend on which one fails first."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results  # type: ignore[return-value]
