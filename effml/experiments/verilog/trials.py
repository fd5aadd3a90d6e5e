"""The loop with a model: every design, several trials, corrections by round, rewrites for the goal.

A trial that has ended lies among the run's artifacts and is not run again; what a model answered lies in the transcript and
is not bought again.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from effml.errors import MissingRequirement
from effml.experiments.core.run import Run
from effml.experiments.verilog.config import Config
from effml.experiments.verilog.hardware import record_figures
from effml.experiments.verilog.record import Judged, Labels, answers, pass_at_k, put
from effml.models.llm import Limits, Port, Usage, connect
from effml.models.rtl.history import plain, restore
from effml.models.rtl.passk import Share
from effml.models.rtl.problem import Problem
from effml.models.rtl.proposers import ModelProposer, MutationProposer, recorded
from effml.models.rtl.refine import Candidate, Effort, Goal, Outcome, Proposer, refine
from effml.models.rtl.stand_in import StandIn, script
from effml.models.rtl.verdict import Verdict
from effml.models.rtl.workbench import Workbench


@dataclass(frozen=True)
class Source:
    """Where designs come from: the proposer, its name in tables, what kind of evidence its rows are, and its port."""

    proposer: Proposer
    name: str
    evidence: str
    port: Port | None = None


async def run_all(
    config: Config,
    run: Run,
    bench: Workbench,
    problems: Sequence[Problem],
    sound: Collection[str],
    source: Source,
) -> None:
    """Run every trial and record what came of them."""
    try:
        outcomes = await each(config, run, bench, problems, source)
    finally:
        if source.port is not None:
            bill(run, source.port)
            await source.port.close()
    report(config, run, outcomes, sound, source)


async def each(
    config: Config, run: Run, bench: Workbench, problems: Sequence[Problem], source: Source
) -> dict[str, list[Outcome]]:
    """All trials, some at a time, by design."""
    loop = config.loop
    only_once = config.suite == "generate"
    effort = Effort(0, 0, 0) if only_once else Effort(loop.repairs, loop.rewrites, loop.repairs_of_rewrite)
    goal = None if only_once or not loop.rewrites else Goal(config.goal.metric, config.goal.limit)
    slots = asyncio.Semaphore(config.model.concurrency)

    async def trial(problem: Problem, number: int) -> Outcome:
        path = run.artifact(f"trials/{problem.name}-{number}.json")
        if path.is_file():
            return restore(json.loads(path.read_text()))
        async with slots:
            outcome = await refine(problem, source.proposer, bench, effort, goal, f"{problem.name}/{number}")
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(plain(outcome), indent=1))
        os.replace(temporary, path)
        return outcome

    async with asyncio.TaskGroup() as tasks:
        started = {p.name: [tasks.create_task(trial(p, k)) for k in range(loop.trials)] for p in problems}
        everyone = [task for found in started.values() for task in found]
        for ended in run.progress(asyncio.as_completed(everyone), f"trials of {source.name}", total=len(everyone)):
            await ended
    return {name: [task.result() for task in found] for name, found in started.items()}


def report(
    config: Config, run: Run, outcomes: dict[str, list[Outcome]], sound: Collection[str], source: Source
) -> None:
    """Shares before and after correction, by round, and the figures of rewritten designs."""
    repairs = 0 if config.suite == "generate" else config.loop.repairs
    trials = [outcome for found in outcomes.values() for outcome in found]
    for correction in sorted({0, repairs}):
        judged: Judged = {name: [reached(o, correction) for o in found] for name, found in outcomes.items()}
        labels = answers(config, run, source.name, correction, judged, sound, source.evidence)
        pass_at_k(config, run, source.name, correction, judged, source.evidence)
    usage = sum((outcome.usage for outcome in trials), Usage())
    put(run, labels, "calls", usage.calls, source.evidence)
    put(run, labels, "tokens", usage.tokens, source.evidence)
    put(run, labels, "cost", usage.cost, source.evidence, "the price is unknown" if usage.cost is None else None)

    first = Share(sum(o.passed_by(0) for o in trials), len(trials))
    for round in range(repairs + 1):
        place: Labels = {"dataset": config.dataset.name, "model": source.name, "round": round}
        passing = Share(sum(o.passed_by(round) for o in trials), len(trials))
        compiling = Share(sum(o.compiled_by(round) for o in trials), len(trials))
        designs = Share(sum(any(o.passed_by(round) for o in found) for found in outcomes.values()), len(outcomes))
        values = {
            **{"trials": len(trials), "compile_share": compiling.value, "pass_share": passing.value},
            **{"gain": passing.value - first.value, "design_share": designs.value},
        }
        for metric, value in values.items():
            run.record("rounds", place, metric, value, evidence=source.evidence)
    for name, found in outcomes.items():
        figures_of(config, run, name, found, source)
    for ended in sorted({o.ended.split(":")[0] for o in trials if o.ended.startswith(("budget", "call failed"))}):
        count = sum(o.ended.startswith(ended) for o in trials)
        run.log(f"  {count} of {len(trials)} trials were ended early: {ended}")


def reached(outcome: Outcome, round: int) -> Verdict:
    """The furthest verdict of a trial up to a round of correction."""
    stages = ("passed", "function", "timeout", "compile", "syntax", "refused")
    found = [c.verdict for c in outcome.first_stage(round) if c.verdict is not None]
    return min(found, key=lambda verdict: stages.index(verdict.stage), default=Verdict("refused", False, False))


def figures_of(config: Config, run: Run, design: str, outcomes: Sequence[Outcome], source: Source) -> None:
    """The trial whose rewrites gained most, before and after."""

    def figure(outcome: Outcome, index: int | None) -> float:
        found = [ppa.figure(config.goal.metric) for ppa in outcome.candidates[index or 0].figures.values()]
        return min((value for value in found if value is not None), default=float("inf"))

    done = [o for o in outcomes if o.best is not None and o.candidates[o.best].figures]
    if not done:
        return
    best = max(done, key=lambda o: figure(o, o.original) / figure(o, o.best) if figure(o, o.best) else 1.0)
    for version, index in (("before", best.original), ("after", best.best)):
        candidate: Candidate = best.candidates[index or 0]
        for ppa in candidate.figures.values():
            record_figures(config, run, design, source.name, version, ppa, source.evidence)


@contextmanager
def source_of(config: Config, run: Run, problems: Sequence[Problem]) -> Iterator[Source]:
    """The source of designs that `model.name` names."""
    model = config.model
    start = first_answers(config, run)
    if model.name == "mutation":
        seed = int(run.numpy("mutation").integers(2**31))
        yield Source(MutationProposer(seed, model.damage, recorded(start)), "mutation", "simulated")
        return
    limits = Limits(config.budget.calls, config.budget.tokens, config.budget.cost)
    transcript = run.artifact("transcript.jsonl")
    ask: Callable[[Port], ModelProposer] = lambda port: ModelProposer(  # noqa: E731 - the options of every model alike
        port,
        temperature=model.temperature,
        max_tokens=model.max_tokens,
        seed=run.seed,
        shots=model.shots,
        limits=Limits(config.budget.trial_calls, config.budget.trial_tokens),
    )
    if model.name == "stand-in":
        with StandIn(script(problems, start, run.seed, model.damage)) as server:
            port = connect(
                "openai/stand-in", api_base=server.url, transcript=transcript, limits=limits, prices=(0.0, 0.0),
                concurrency=model.concurrency,
            )  # fmt: skip
            port.backend.identity = "stand-in"  # its address changes from start to start, its answers do not
            yield Source(ask(port), "stand-in", "simulated", port)
        return
    if model.name == "replay":
        port = connect("replay", transcript=model.transcript, limits=limits)
        yield Source(ask(port), port.backend.identity, "recorded", port)
        return
    prices = None if model.dollars_in is None or model.dollars_out is None else (model.dollars_in, model.dollars_out)
    try:
        port = connect(
            model.name, api_base=model.api_base, transcript=transcript, limits=limits, prices=prices,
            concurrency=model.concurrency,
        )  # fmt: skip
    except MissingRequirement as error:
        raise MissingRequirement(
            f"{error} Here: `effml run verilog model.name=ollama/llama3.2`, `effml run verilog model.name=openai/NAME "
            "model.api_base=http://127.0.0.1:8000/v1`, or no model at all, `effml run verilog model.name=stand-in`."
        ) from error
    yield Source(ask(port), model.name, "measured", port)


def first_answers(config: Config, run: Run) -> dict[str, list[str]]:
    """Recorded first answers by design, in the order of their trials; none to begin from damaged references."""
    if config.model.start == "reference" or config.model.name not in ("mutation", "stand-in"):
        return {}
    found: dict[str, list[str]] = {}
    for answer in run.load(config.model.start):
        found.setdefault(answer.design, []).append(answer.text)
    return found


def bill(run: Run, port: Port) -> None:
    """What was bought now; said on every way out."""
    cost = "price unknown" if port.sent.cost is None else f"${port.sent.cost:.4f}"
    run.log(
        f"{port.backend.name}: {port.sent.calls} answers bought now, {port.sent.tokens} tokens, {cost}, "
        f"{port.retries} attempts repeated"
    )
