"""Methods that draw whole answers: IO, CoT, CoT with a vote (self-consistency), CoT with a check of every step.

The last is the baseline that a search with a checker has to beat: given the same checker and the same tokens, draw
chains until one passes.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from effml.models.llm import BudgetSpent
from effml.models.thoughts.asking import Asker, Outcome
from effml.models.thoughts.checker import Checker
from effml.models.thoughts.task import Task, follow, last_line


class Single:
    """One sample: IO with role "answer", CoT with role "trace"."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.name = {"answer": "io", "trace": "cot"}[role]

    async def solve(self, ask: Asker) -> Outcome:
        try:
            (text,) = await ask.about(self.role, ask.problem.node)
        except BudgetSpent as spent:
            return Outcome([], ask.used, note=str(spent))
        return Outcome([read_answer(ask, text)], ask.used)


class Vote:
    """Samples until the budget is spent, or `most` of them; the answer given most often, the earlier one of equals.

    Answers vote by their canonical form (`Verdict.form`), so that 2*3 and 3*2 are one; unreadable ones abstain.
    """

    def __init__(self, role: str, most: int = 100, chunk: int = 20) -> None:
        self.role, self.most, self.chunk = role, most, chunk
        self.name = {"answer": "io", "trace": "cot"}[role] + "-sc"

    async def solve(self, ask: Asker) -> Outcome:
        votes: Counter[str] = Counter()
        spoken: dict[str, str] = {}
        trail: list[tuple[int, int, str]] = []
        done, note, best = 0, "", ""
        while done < self.most:
            n = min(done + self.chunk, self.most)
            try:
                texts = await ask.about(self.role, ask.problem.node, n)
            except BudgetSpent as spent:
                note = str(spent)
                break
            for text in texts[done:]:
                answer = read_answer(ask, text)
                form = ask.task.judge(ask.problem, answer).form
                if form:
                    votes[form] += 1
                    spoken.setdefault(form, answer)
            done = n
            if votes:
                best = spoken[votes.most_common(1)[0][0]]  # most_common keeps the order of first sight among equals
            trail.append((ask.used.tokens, ask.used.calls, best))
        return Outcome([best] if best else [], ask.used, trail=trail, note=note)


class Checked:
    """Chains until one passes the checker in every step, or the budget is spent; then the first readable one."""

    def __init__(self, checker: Checker, most: int = 100, chunk: int = 5) -> None:
        self.checker, self.most, self.chunk = checker, most, chunk
        self.name = "cot-checked"

    async def solve(self, ask: Asker) -> Outcome:
        task, node = ask.task, ask.problem.node
        done, fallback = 0, ""
        try:
            while done < self.most:
                n = min(done + self.chunk, self.most)
                for text in (await ask.about("trace", node, n))[done:]:
                    proof = follow(task, node, text)
                    if proof is None:
                        continue
                    answer = task.assemble(node, proof)
                    fallback = fallback or answer
                    moves = list(proof.values())
                    verdicts = await asyncio.gather(*(self.checker.accepts(ask, move) for move in moves))
                    if all(verdicts):
                        return Outcome([answer], ask.used)
                done = n
        except BudgetSpent as spent:
            return Outcome([fallback] if fallback else [], ask.used, note=str(spent))
        return Outcome([fallback] if fallback else [], ask.used, note=f"none of {self.most} chains passed")


def read_answer(ask: Asker, text: str) -> str:
    """The answer in a reply: its line `Answer: ...`, else what its steps amount to, else its last line."""
    line = last_line(text)
    if line and "answer" in text[-4000:].rsplit("\n", 1)[-1].lower():
        return line
    return _composed(ask.task, ask.problem.node, text) or line


def _composed(task: Task, node: str, text: str) -> str:
    proof = follow(task, node, text)
    return task.assemble(node, proof) if proof else ""
