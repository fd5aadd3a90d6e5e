"""Figures of hardware: every reference under the fixed scripts, and every rewrite against what it rewrites."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from effml.experiments.core.run import Run
from effml.experiments.verilog.config import Config
from effml.experiments.verilog.record import Labels
from effml.models.rtl.ppa import NotSynthesisable, NotTimed, Ppa
from effml.models.rtl.problem import Problem
from effml.models.rtl.workbench import Workbench


async def figures(config: Config, run: Run, bench: Workbench, problems: Sequence[Problem]) -> None:
    """Area, delay and power of every reference that becomes hardware."""
    started = time.perf_counter()
    tasks = [asyncio.ensure_future(measured(bench, problem, problem.reference)) for problem in problems]
    for task in run.progress(tasks, "references in hardware"):
        await task
    seconds = time.perf_counter() - started
    done = 0
    for problem, task in zip(problems, tasks, strict=True):
        found = task.result()
        if isinstance(found, str):
            run.log(f"  {problem.name}: {found}")
            continue
        done += 1
        for ppa in found.values():
            record_figures(config, run, problem.name, "reference", "reference", ppa, "measured")
    run.log(f"{done} of {len(problems)} references become hardware, {seconds:.1f} s")
    labels: Labels = {"dataset": config.dataset.name, "library": library_name(bench)}
    run.record("synthesis", labels, "references", len(problems))
    run.record("synthesis", labels, "synthesised", done)
    run.record("synthesis", labels, "seconds", seconds)


async def rewrites(config: Config, run: Run, bench: Workbench, problems: Sequence[Problem]) -> None:
    """What each rewrite gains over the reference under the same script, and whether it is the same design at all."""
    todo = [(problem, name, text) for problem in problems for name, text in problem.rewrites.items()]
    for problem, name, text in run.progress(todo, "rewrites"):
        verdict, compared = await asyncio.gather(
            bench.verdict(problem, text), bench.compare(problem, problem.reference, text)
        )
        before, after = await asyncio.gather(
            measured(bench, problem, problem.reference), measured(bench, problem, text)
        )
        run.log(f"  {problem.name}, {name}: testbench {verdict.stage}, {compared}: {compared.detail}")
        if isinstance(before, str) or isinstance(after, str):
            run.log(f"  {problem.name}, {name}: {before if isinstance(before, str) else after}")
            continue
        for script, ppa in after.items():
            labels: Labels = {
                **{"dataset": config.dataset.name, "design": problem.name, "rewrite": name, "verdict": str(compared)},
                **{"library": library_name(bench), "script": script},
            }
            run.record("rewrites", labels, "passes", int(verdict.passes))
            for metric in ("area", "delay", "power"):
                now, was = ppa.figure(metric), before[script].figure(metric)
                if now is not None and was:
                    run.record("rewrites", labels, f"{metric}_ratio", now / was)


async def measured(bench: Workbench, problem: Problem, text: str) -> dict[str, Ppa] | str:
    """Figures by script, or why there are none."""
    try:
        return await bench.measure(problem, text)
    except (NotSynthesisable, NotTimed) as error:
        return str(error)


def record_figures(config: Config, run: Run, design: str, model: str, version: str, ppa: Ppa, evidence: str) -> None:
    """One design under one script; counts of generic gates and levels are metrics of their own."""
    labels: Labels = {
        **{"dataset": config.dataset.name, "design": design, "model": model, "version": version},
        **{"library": ppa.library or "generic", "script": ppa.script},
    }
    values: dict[str, float | None] = {"cells": ppa.cells, "registers": ppa.registers}
    if ppa.library:
        values |= {"area": ppa.area, "delay": ppa.delay, "power": ppa.power}
    else:
        values |= {"gates": ppa.area, "levels": ppa.delay}
    for metric, value in values.items():
        if value is not None:
            run.record("ppa", labels, metric, value, evidence=evidence)


def library_name(bench: Workbench) -> str:
    return bench.library.name if bench.library else "generic"
