"""What needs no model: references under their own testbenches, recorded answers, and faults that testbenches should see."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection, Sequence

from effml.experiments.core.run import Run
from effml.experiments.verilog.config import Config
from effml.experiments.verilog.record import Judged, Labels, answers, pass_at_k
from effml.models.rtl.benchmarks import FAILING_REFERENCES
from effml.models.rtl.mutate import faults
from effml.models.rtl.passk import Share
from effml.models.rtl.problem import Problem
from effml.models.rtl.tools import find
from effml.models.rtl.workbench import Workbench

RECORDINGS = {"rtllm-gpt35": "gpt-3.5", "rtllm-gpt4": "gpt-4"}


async def check(config: Config, run: Run, bench: Workbench, problems: Sequence[Problem]) -> set[str]:
    """Try every reference; returns the names of those that pass."""
    started = time.perf_counter()
    tasks = [asyncio.ensure_future(bench.testbench(problem, problem.reference)) for problem in problems]
    for task in run.progress(tasks, "references"):
        await task
    seconds = time.perf_counter() - started
    found = {problem.name: task.result() for problem, task in zip(problems, tasks, strict=True)}
    sound = {name for name, verdict in found.items() if verdict.passes}
    simulator = f"iverilog {find('iverilog').version}"
    run.log(f"references: {len(sound)} of {len(problems)} pass under {simulator}, {seconds:.1f} s")
    failing = {}
    for name, verdict in found.items():
        if not verdict.passes:
            failing[name] = {
                "stage": verdict.stage,
                "why": FAILING_REFERENCES.get(name, ""),
                "report": verdict.report[-2000:],
            }
            run.log(f"  {name} ({verdict.stage}): {FAILING_REFERENCES.get(name) or last_line(verdict.report)}")
    run.artifact("references.json").write_text(json.dumps(failing, indent=1))
    labels: Labels = {"dataset": config.dataset.name, "simulator": simulator}
    run.record("references", labels, "references", len(problems))
    run.record("references", labels, "sound", len(sound), note="; ".join(sorted(failing)) or None)
    run.record("references", labels, "seconds", seconds)
    return sound


async def replay(
    config: Config,
    run: Run,
    bench: Workbench,
    problems: Sequence[Problem],
    sound: Collection[str],
    recording: str,
    model: str,
) -> None:
    """Judge what a model answered in 2023: the papers' figures before any correction, from real answers."""
    known = {problem.name: problem for problem in problems}
    recorded = [answer for answer in run.load(recording) if answer.design in known]
    started = time.perf_counter()
    tasks = [asyncio.ensure_future(bench.verdict(known[a.design], a.text)) for a in recorded]
    for task in run.progress(tasks, f"{model}, recorded"):
        await task
    judged: Judged = {}
    lines = []
    for answer, task in zip(recorded, tasks, strict=True):
        verdict = task.result()
        judged.setdefault(answer.design, []).append(verdict)
        lines.append({"design": answer.design, "trial": answer.trial, "stage": verdict.stage, "hidden": verdict.hidden})
    run.artifact(f"replay-{model}.json").write_text(json.dumps(lines, indent=1))
    run.log(f"{model}, recorded in 2023, judged in {time.perf_counter() - started:.1f} s:")
    answers(config, run, model, 0, judged, sound, "recorded")
    pass_at_k(config, run, model, 0, judged, "recorded")


async def mutants(config: Config, run: Run, bench: Workbench, problems: Sequence[Problem]) -> None:
    """Put single faults into references: how many does the testbench notice, how many do random inputs?"""
    rng = run.numpy("mutants")
    texts = []
    for problem in problems:
        edits = faults(problem.reference)
        picked = rng.permutation(len(edits))[: config.mutants]
        texts += [(problem, edits[int(index)].apply(problem.reference)) for index in picked]
    tasks = [asyncio.ensure_future(bench.noticed(problem, text)) for problem, text in texts]
    for task in run.progress(tasks, "mutants"):
        await task
    seen = [found for task in tasks if (found := task.result()) is not None]
    labels: Labels = {"dataset": config.dataset.name}
    run.record("testbenches", labels, "mutants", len(seen))
    for metric, index in (("bench_kills", 0), ("wave_kills", 1)):
        known = [bool(found[index]) for found in seen if found[index] is not None]
        share = Share(sum(known), len(known))
        run.log(f"mutants noticed by {'the testbenches' if index == 0 else 'random inputs'}: {share}")
        run.record("testbenches", labels, metric, share.value, note=str(share))


def last_line(report: str) -> str:
    lines = report.strip().splitlines()
    return lines[-1] if lines else "nothing was printed"
