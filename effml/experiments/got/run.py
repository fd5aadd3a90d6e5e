"""Graph of Thoughts: judge GPT-4's recorded answers again, and compare prompting methods live at equal budget."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

from effml.experiments.core.run import Run
from effml.experiments.got import curves
from effml.experiments.got.asked import dialects, open_port, problems
from effml.experiments.got.checks import DIRECTIONS, check_own_moves, figures
from effml.experiments.got.config import REPLAY, TINY, Config
from effml.experiments.got.live import line_up, solve_all
from effml.experiments.got.recorded import replay
from effml.models.llm import Port
from effml.models.thoughts.prompts import Dialect
from effml.models.thoughts.task import Problem, Task

MOMENTS = (250, 500, 1000, 2000, 4000)  # tokens per problem at which methods are compared


def run(config: Config, run: Run) -> None:
    if config.suite in ("replay", "all"):
        replay(run)
    if config.suite == "replay":
        return
    task, chosen = problems(config, run)
    words = dialects(config)
    port = open_port(config, run, words, task, chosen)
    try:
        asyncio.run(_asked(config, run, port, task, chosen, words[task.name]))
    finally:
        run.log(spent_line(port))


async def _asked(config: Config, run: Run, port: Port, task: Task, chosen: list[Problem], words: Dialect) -> None:
    async with port:
        if config.suite in ("live", "all"):
            await compare(config, run, port, task, chosen, words)
        if config.suite in ("checker", "all"):
            await judge_the_checker(config, run, port, task, chosen, words)


async def compare(config: Config, run: Run, port: Port, task: Task, chosen: list[Problem], words: Dialect) -> None:
    """Every method on every problem, each with the same budget and with samples of its own."""
    results: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for method, checker, make in line_up(config, task.name, words):
        name = f"{method} {checker}"
        outcomes = (run.saved(name) or {}).get("outcomes") if config.model == TINY else None
        if outcomes is None:
            finished = iter(run.progress(range(len(chosen)), name))
            outcomes = await solve_all(
                port,
                task,
                words,
                chosen,
                make,
                scope=f"{run.seed}/{name}",
                tokens=budget(config, words),
                done=partial(next, finished, None),
            )
            if config.model == TINY and not port.exhausted:  # another model's transcript is what it resumes from
                run.save(name, {"outcomes": outcomes})
        results[method, checker] = outcomes
        record_method(config, run, port, method, checker, outcomes, len(chosen))
    for (method, checker), outcomes in results.items():
        if outcomes:
            record_curves(config, run, words, method, checker, outcomes, results.get(("cot-sc", "none")))
    record_gains(config, run, port, task.name, results)
    keep_graphs(run, task.name, chosen, results)


def budget(config: Config, words: Dialect) -> int | None:
    """Tokens per problem and method: the user's word, else the dialect's; 0 is no limit."""
    return (words.tokens if config.budget.tokens is None else config.budget.tokens) or None


def record_method(
    config: Config, run: Run, port: Port, method: str, checker: str, outcomes: list[dict[str, Any]], asked: int
) -> None:
    if not outcomes:
        run.log(f"{method} ({checker}): no problem finished within the limits of the run")
        return
    right = sum(outcome["right"] for outcome in outcomes)
    low, high = curves.wilson(right, len(outcomes))
    values = {
        "accuracy": right / len(outcomes),
        "low": low,
        "high": high,
        "problems": len(outcomes),
        "any_kept": curves.mean(outcomes, "any_kept"),
        "answered": curves.mean(outcomes, "answered"),
        "calls": curves.mean(outcomes, "calls"),
        "tokens": curves.mean(outcomes, "tokens"),
        "cost": curves.mean(outcomes, "cost"),
    }
    note = None if len(outcomes) == asked else f"n={len(outcomes)}/{asked}: the limits of the run were reached"
    for metric, value in values.items():
        samples = [float(outcome["right"]) for outcome in outcomes] if metric == "accuracy" else None
        run.record(
            *_place(config, port, method, checker),
            metric,
            value,
            samples=samples,
            evidence=_evidence(config),
            note=note,
        )
    run.log(
        f"{method:>12} {checker:<5} {right}/{len(outcomes)} [{low:.2f}, {high:.2f}], "
        f"{values['calls']:.0f} calls, {values['tokens']:.0f} tokens a problem"
    )


def record_curves(
    config: Config,
    run: Run,
    words: Dialect,
    method: str,
    checker: str,
    outcomes: list[dict[str, Any]],
    vote: list[dict[str, Any]] | None,
) -> None:
    """Accuracy at equal tokens, and calls at equal accuracy; of our own model, whose budget is a matter of course."""
    if config.model != TINY:
        return
    labels = {"model": TINY, "dataset": _dataset(config), "method": method, "checker": checker}
    limit = budget(config, words)
    for at in MOMENTS:
        if limit is None or at <= limit:
            value = curves.accuracy_at(outcomes, at)
            low, high = curves.wilson(round(value * len(outcomes)), len(outcomes))
            for metric, figure in (("accuracy_at", value), ("low_at", low), ("high_at", high)):
                run.record("equal", {**labels, "at": at}, metric, figure, evidence=_evidence(config))
    if vote:
        level = curves.accuracy(vote)
        reached = curves.calls_to(outcomes, level) if level > 0 else None
        note = f"to {level:.2f}" if reached is not None else f"never as accurate as the vote's {level:.2f}"
        if level == 0:
            note = "the vote solves nothing"
        run.record("calls", labels, "calls_to", reached, evidence=_evidence(config), note=note)


def record_gains(
    config: Config, run: Run, port: Port, task: str, results: dict[tuple[str, str], list[dict[str, Any]]]
) -> None:
    """Points of GoT, backward with the model's own checker, over each baseline; never of our own model."""
    ours = results.get(("got-backward", "own"))
    if config.model == TINY or not ours:
        return
    for method, name in (("io", "IO"), ("cot", "CoT"), ("cot-sc", "CoT-SC"), ("tot", "ToT")):
        if baseline := results.get((method, "none")):
            points = 100 * (curves.accuracy(ours) - curves.accuracy(baseline))
            labels = {"model": _model(config, port), "task": task, "over": name}
            run.record("gains", labels, "gain", points, evidence=_evidence(config))


async def judge_the_checker(
    config: Config, run: Run, port: Port, task: Task, chosen: list[Problem], words: Dialect
) -> None:
    for direction in DIRECTIONS:
        most = max(4, config.budget.checks)
        scope = f"{run.seed}/checker {direction}"
        checked = await check_own_moves(port, task, words, chosen, direction, most, scope)
        for k in range(1, most + 1):
            labels = {"model": _model(config, port), "dataset": _dataset(config), "direction": direction, "k": k}
            for metric, value in figures(checked, k).items():
                run.record("checker", labels, metric, value, evidence=_evidence(config))


def keep_graphs(
    run: Run, task: str, chosen: list[Problem], results: dict[tuple[str, str], list[dict[str, Any]]]
) -> None:
    """One file per problem with every method's answer and graph: what `effml show RUN PROBLEM` walks through."""
    for problem in chosen:
        methods = {
            f"{method} {checker}": outcome
            for (method, checker), outcomes in results.items()
            for outcome in outcomes
            if outcome["id"] == problem.id
        }
        safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in problem.id)
        told = {"task": task, "id": problem.id, "problem": problem.node, "methods": methods}
        text = json.dumps(told, ensure_ascii=False)
        run.artifact(f"problems/{safe}.json").write_text(text, encoding="utf-8", errors="backslashreplace")


def spent_line(port: Port) -> str:
    """What was spent, in words; said at the end however the run ends."""
    used, sent = port.ledger.spent, port.sent
    cost = "at an unknown price" if used.cost is None else f"for ${used.cost:.4f}"
    return (
        f"{port.backend.name}: {used.calls} calls, {used.tokens_in} tokens in, {used.tokens_out} out {cost}; "
        f"{sent.calls} of the calls made now, the others taken from the transcript; {port.retries} retries"
    )


def _place(config: Config, port: Port, method: str, checker: str) -> tuple[str, dict[str, Any]]:
    labels = {"model": _model(config, port), "dataset": _dataset(config), "method": method, "checker": checker}
    return ("tiny" if config.model == TINY else "live"), labels


def _model(config: Config, port: Port) -> str:
    return port.backend.identity if config.model == REPLAY else config.model


def _dataset(config: Config) -> str:
    return "own problem" if config.problem is not None else config.dataset.name


def _evidence(config: Config) -> str | None:
    return "recorded" if config.model == REPLAY else None
