"""The tools as the loop sees them: verdicts, equivalence and figures, awaited, a few at a time, each asked once.

Each tool call blocks a thread of a pool as large as `jobs`; the event loop stays free for the models' answers. Answers are
kept by the texts they are about: models repeat themselves, and so does a resumed run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from effml.models.rtl import equivalence, ppa
from effml.models.rtl.differential import Difference, Differential
from effml.models.rtl.equivalence import Equivalence
from effml.models.rtl.interface import NotElaborated, interface_of
from effml.models.rtl.liberty import Liberty
from effml.models.rtl.ppa import Ppa
from effml.models.rtl.problem import Problem
from effml.models.rtl.source import clean
from effml.models.rtl.verdict import Judge, Verdict

T = TypeVar("T")


class Workbench:
    """Runs tools for many trials at once.

    Args:
        library: cells for synthesis; None for generic gates.
        jobs: tool processes at a time.
        hidden: whether passing designs are also compared with the reference under random inputs.
        cycles: of that comparison.
    """

    def __init__(self, library: Liberty | None = None, jobs: int = 2, hidden: bool = False, cycles: int = 1000) -> None:
        self.library, self.hidden, self.cycles = library, hidden, cycles
        self.judge = Judge()
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="rtl")
        self._kept: dict[tuple[str, ...], Any] = {}
        self._references: dict[tuple[str, str], Differential | None] = {}

    async def verdict(self, problem: Problem, design: str) -> Verdict:
        """The testbench's verdict, with the hidden one where that is asked for."""
        return await self._do(("verdict", problem.name, design), lambda: self.verdict_now(problem, design))

    async def testbench(self, problem: Problem, design: str) -> Verdict:
        """The testbench's verdict alone."""
        return await self._do(("testbench", problem.name, design), lambda: self.judge.verdict(problem, design))

    async def noticed(self, problem: Problem, mutant: str) -> tuple[bool, bool | None] | None:
        """Whether the testbench, and whether random inputs, tell a mutant from the reference; None if it does not compile."""

        def work() -> tuple[bool, bool | None] | None:
            verdict = self.judge.verdict(problem, mutant)
            if not verdict.compiles:
                return None
            compared = self.against_reference(problem, mutant)
            return not verdict.passes, None if compared.kind == "untested" else compared.kind != "equal"

        return await self._do(("noticed", problem.name, mutant), work)

    def verdict_now(self, problem: Problem, design: str) -> Verdict:
        """The same, waiting."""
        found = self.judge.verdict(problem, design)
        if not self.hidden or not found.passes:
            return found
        compared = self.against_reference(problem, design)
        return found if compared.kind == "untested" else replace(found, hidden=compared.kind == "equal")

    def against_reference(self, problem: Problem, design: str) -> Difference:
        """A passing design against the reference under random inputs."""
        simulation = self._simulation(problem, clean(problem.reference))
        if simulation is None:
            return Difference("untested", detail="the reference cannot be elaborated")
        return simulation.compare(clean(design))

    async def compare(self, problem: Problem, original: str, design: str) -> Equivalence:
        """Whether a rewrite is the same design as the one it started from."""

        def work() -> Equivalence:
            before = clean(original)
            return equivalence.compare(before, clean(design), problem.top, self._simulation(problem, before))

        return await self._do(("compare", problem.name, original, design), work)

    def _simulation(self, problem: Problem, text: str) -> Differential | None:
        """The simulation that designs are compared with; it runs the text once."""
        key = problem.name, text
        if key not in self._references:
            try:
                found = Differential(text, problem.top, interface_of(text, problem.top), self.cycles)
            except NotElaborated:
                found = None
            self._references[key] = found
        return self._references[key]

    async def measure(self, problem: Problem, design: str) -> dict[str, Ppa]:
        """Figures under each fixed script."""
        return await self._do(
            ("measure", problem.name, design), lambda: ppa.measure(clean(design), problem.top, self.library)
        )

    def script_for(self, metric: str) -> str:
        return ppa.script_for(metric, self.library)

    def describe(self, figures: dict[str, Ppa]) -> str:
        """Figures in words, for a model."""
        said = []
        for script, found in figures.items():
            if self.library is None:
                said.append(f"Generic synthesis: {found.area:.0f} gates, {found.delay:.0f} levels deep.")
                continue
            delay = "no timed path" if found.delay is None else f"delay {found.delay:.0f} ps"
            said.append(
                f"Synthesis for {script} ({self.library.name}): area {found.area:.1f} um2, {delay}, "
                f"power {found.power:.3g} uW, {found.registers} registers."
            )
        return "\n".join(said)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _do(self, key: tuple[str, ...], work: Callable[[], T]) -> T:
        if key not in self._kept:
            self._kept[key] = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        return self._kept[key]
