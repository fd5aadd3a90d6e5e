"""The two-stage loop as a state machine: a design is generated, repaired until it passes, then rewritten for a goal.

    GENERATE -> COMPILE -> REPAIR_SYNTAX -> COMPILE ...
                        -> SIMULATE -> REPAIR_FUNCTION -> COMPILE ...
                                    -> EQUIVALENCE -> SYNTHESISE -> REWRITE -> COMPILE ...  -> DONE

After VeriPPA (arXiv 2312.01022): at most four corrections, then rewrites under a stated goal. Unlike there, a design that
passes is never lost: rewrites start from the best one, a failed rewrite changes nothing, and a rewrite counts only if it
is the same design by the equivalence check. Knows no model: what proposes text is a `Proposer`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from effml.models.llm import BudgetSpent, CallFailed, Usage
from effml.models.rtl.equivalence import Equivalence
from effml.models.rtl.feedback import feedback
from effml.models.rtl.ppa import NotSynthesisable, NotTimed, Ppa
from effml.models.rtl.problem import Problem
from effml.models.rtl.verdict import Verdict
from effml.models.rtl.workbench import Workbench


class State(Enum):
    """Where a trial stands."""

    GENERATE = "generate"
    COMPILE = "compile"
    REPAIR_SYNTAX = "repair syntax"
    SIMULATE = "simulate"
    REPAIR_FUNCTION = "repair function"
    EQUIVALENCE = "equivalence"
    SYNTHESISE = "synthesise"
    REWRITE = "rewrite"
    DONE = "done"


@dataclass(frozen=True)
class Goal:
    """What rewrites are for: `metric` ("area", "delay" or "power") below `limit`, or as low as it gets (None)."""

    metric: str = "area"
    limit: float | None = None


@dataclass(frozen=True)
class Effort:
    """How much is tried: corrections before the first pass, rewrites, and corrections of each rewrite."""

    repairs: int = 4
    rewrites: int = 0
    repairs_of_rewrite: int = 1


@dataclass(frozen=True)
class Task:
    """What a proposer is asked for.

    Args:
        kind: GENERATE, REPAIR_SYNTAX, REPAIR_FUNCTION or REWRITE.
        design: the current text ("" for GENERATE).
        said: feedback of the tools, or the figures to improve.
        round: 0 for the first answer; repairs and rewrites count on.
        scope: names the trial, so that trials share no samples.
        tried: texts proposed before in this trial.
    """

    kind: State
    problem: Problem
    design: str = ""
    said: str = ""
    goal: Goal | None = None
    round: int = 0
    scope: str = ""
    tried: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """A proposed design, the raw answer it was cut from, and what asking for it used."""

    design: str
    answer: str = ""
    usage: Usage = field(default_factory=Usage)


class Proposer(Protocol):
    """A source of designs: a language model, a recording, or a rule."""

    async def propose(self, task: Task) -> Proposal: ...


@dataclass(frozen=True)
class Step:
    """One transition: where the trial stood, on which proposal, where it went and why."""

    state: State
    proposal: int
    to: State
    why: str


@dataclass
class Candidate:
    """A proposed design and all that became known of it."""

    design: str
    round: int
    verdict: Verdict | None = None
    equivalence: Equivalence | None = None
    figures: dict[str, Ppa] = field(default_factory=dict)
    rewrite: bool = False


@dataclass
class Outcome:
    """A finished trial.

    Args:
        candidates: every proposal in order; `steps` refer to them by index.
        best: index of the best passing one, None if none passed.
        original: index of the first passing one.
        ended: why the trial ended.
        usage: of all proposals.
    """

    problem: str
    candidates: list[Candidate] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    best: int | None = None
    original: int | None = None
    ended: str = ""
    usage: Usage = field(default_factory=Usage)

    def compiled_by(self, round: int) -> bool:
        """Whether some proposal up to this round compiles with the testbench."""
        return any(c.verdict is not None and c.verdict.compiles for c in self.first_stage(round))

    def passed_by(self, round: int) -> bool:
        """Whether some proposal up to this round passes."""
        return any(c.verdict is not None and c.verdict.passes for c in self.first_stage(round))

    def first_stage(self, round: int) -> list[Candidate]:
        return [c for c in self.candidates if not c.rewrite and c.round <= round]


async def refine(
    problem: Problem,
    proposer: Proposer,
    bench: Workbench,
    effort: Effort | None = None,
    goal: Goal | None = None,
    scope: str = "",
) -> Outcome:
    """Run one trial to its end. A spent budget or a failed call ends it with what it has."""
    return await _Trial(problem, proposer, bench, effort or Effort(), goal, scope).run()


class _Trial:
    def __init__(
        self, problem: Problem, proposer: Proposer, bench: Workbench, effort: Effort, goal: Goal | None, scope: str
    ) -> None:
        self.problem, self.proposer, self.bench = problem, proposer, bench
        self.effort, self.goal, self.scope = effort, goal, scope
        self.outcome = Outcome(problem.name)
        self.rewriting = False
        self.rewrites = self.repairs_of_rewrite = self.corrections = 0
        self.said = ""

    async def run(self) -> Outcome:
        act = {
            State.GENERATE: self.propose,
            State.REPAIR_SYNTAX: self.propose,
            State.REPAIR_FUNCTION: self.propose,
            State.REWRITE: self.propose,
            State.COMPILE: self.compile,
            State.SIMULATE: self.simulate,
            State.EQUIVALENCE: self.compare,
            State.SYNTHESISE: self.synthesise,
        }
        state = State.GENERATE
        while state is not State.DONE:
            try:
                to, why = await act[state](state)
            except (BudgetSpent, CallFailed) as stop:
                to, why = State.DONE, f"{'budget' if isinstance(stop, BudgetSpent) else 'call failed'}: {stop}"
            self.outcome.steps.append(Step(state, len(self.outcome.candidates) - 1, to, why))
            state = to
        self.outcome.ended = self.outcome.steps[-1].why
        return self.outcome

    @property
    def current(self) -> Candidate:
        return self.outcome.candidates[-1]

    @property
    def best(self) -> Candidate:
        assert self.outcome.best is not None
        return self.outcome.candidates[self.outcome.best]

    async def propose(self, state: State) -> tuple[State, str]:
        base = "" if state is State.GENERATE else self.best.design if state is State.REWRITE else self.current.design
        number = self.rewrites if state is State.REWRITE else self.corrections + self.repairs_of_rewrite
        tried = tuple(candidate.design for candidate in self.outcome.candidates)
        task = Task(state, self.problem, base, self.said, self.goal, number, self.scope, tried)
        proposal = await self.proposer.propose(task)
        self.outcome.usage += proposal.usage
        self.rewriting = self.rewriting or state is State.REWRITE
        self.outcome.candidates.append(Candidate(proposal.design, self.corrections, rewrite=self.rewriting))
        return State.COMPILE, f"proposal {len(self.outcome.candidates) - 1}"

    async def compile(self, state: State) -> tuple[State, str]:
        self.current.verdict = await self.bench.verdict(self.problem, self.current.design)
        if self.current.verdict.compiles:
            return State.SIMULATE, "compiles with the testbench"
        return self.repair(State.REPAIR_SYNTAX, self.current.verdict.stage)

    async def simulate(self, state: State) -> tuple[State, str]:
        assert self.current.verdict is not None
        if not self.current.verdict.passes:
            return self.repair(State.REPAIR_FUNCTION, self.current.verdict.stage)
        if self.outcome.original is None:
            self.outcome.original = self.outcome.best = len(self.outcome.candidates) - 1
        return (State.EQUIVALENCE if self.rewriting else State.SYNTHESISE), "passes the testbench"

    def repair(self, state: State, why: str) -> tuple[State, str]:
        """To a correction, if one is left; a rewrite that is not worth more corrections is given up."""
        assert self.current.verdict is not None
        self.said = feedback(self.current.verdict, self.current.design)
        if self.rewriting:
            if self.repairs_of_rewrite < self.effort.repairs_of_rewrite:
                self.repairs_of_rewrite += 1
                return state, why
            return self.again(f"rewrite given up: {why}")
        if self.corrections < self.effort.repairs:
            self.corrections += 1
            return state, why
        return State.DONE, f"{why} after {self.corrections} corrections"

    async def compare(self, state: State) -> tuple[State, str]:
        assert self.outcome.original is not None
        original = self.outcome.candidates[self.outcome.original]
        self.current.equivalence = await self.bench.compare(self.problem, original.design, self.current.design)
        if self.current.equivalence.same:
            return State.SYNTHESISE, str(self.current.equivalence)
        return self.again(f"{self.current.equivalence}: {self.current.equivalence.detail}")

    async def synthesise(self, state: State) -> tuple[State, str]:
        if self.goal is None or self.effort.rewrites == 0:
            return State.DONE, "passes; no rewrite was asked for"
        try:
            self.current.figures = await self.bench.measure(self.problem, self.current.design)
        except (NotSynthesisable, NotTimed) as error:
            return self.again(f"no figures: {error}") if self.rewriting else (State.DONE, f"no figures: {error}")
        if not self.rewriting:
            return self.again("figures of the original")
        now, before = self.figure(self.current), self.figure(self.best)
        if now is not None and before is not None and now < before:
            self.outcome.best = len(self.outcome.candidates) - 1
            return self.again(f"{self.goal.metric} {before:.6g} -> {now:.6g}")
        return self.again(f"no gain: {self.goal.metric} {now} against {before}")

    def again(self, why: str) -> tuple[State, str]:
        """To the next rewrite of the best design, unless the goal is met or the rewrites are used up."""
        assert self.goal is not None
        reached = self.figure(self.best)
        if reached is None:
            return State.DONE, f"{why}; {self.goal.metric} cannot be measured"
        if self.goal.limit is not None and reached <= self.goal.limit:
            return State.DONE, f"{why}; the goal is met"
        if self.rewrites >= self.effort.rewrites:
            return State.DONE, f"{why}; {self.rewrites} rewrites used"
        self.rewrites += 1
        self.repairs_of_rewrite = 0
        limit = "" if self.goal.limit is None else f"; the goal is {self.goal.limit:g}"
        self.said = (
            f"{self.bench.describe(self.best.figures)}\nGoal: lower {self.goal.metric}{limit}.\nLast attempt: {why}"
        )
        return State.REWRITE, why

    def figure(self, candidate: Candidate) -> float | None:
        assert self.goal is not None
        figures = candidate.figures.get(self.bench.script_for(self.goal.metric))
        return figures.figure(self.goal.metric) if figures else None
