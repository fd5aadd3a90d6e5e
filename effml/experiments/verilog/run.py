"""The Verilog experiment: references first, then recorded answers, figures of hardware, and the loop with a model.

Nothing is claimed of a model before it is known which testbenches a right design can pass at all.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from effml.errors import UserError
from effml.experiments.core.options import unknown
from effml.experiments.core.run import Run
from effml.experiments.verilog import hardware, references, trials
from effml.experiments.verilog.config import Config
from effml.models.rtl import liberty
from effml.models.rtl.liberty import Liberty
from effml.models.rtl.problem import Problem
from effml.models.rtl.process import confinement
from effml.models.rtl.tools import find
from effml.models.rtl.workbench import Workbench


def run(config: Config, run: Run) -> None:
    problems = chosen(run.load(config.dataset), config.designs)
    describe_tools(config, run)
    with tempfile.TemporaryDirectory(prefix="effml-cells-") as folder:
        library = cells(config, run, Path(folder))
        wanted = {config.suite} if config.suite != "all" else {"replay", "ppa", "refine"}
        bench = Workbench(library, jobs=config.jobs, hidden=config.hidden)
        # A model is connected first: a missing key is not to be met after minutes of work.
        model = trials.source_of(config, run, problems) if wanted & {"generate", "refine"} else nullcontext()
        try:
            with model as source:
                asyncio.run(suites(config, run, bench, problems, wanted, source))
        finally:
            bench.close()


async def suites(
    config: Config,
    run: Run,
    bench: Workbench,
    problems: Sequence[Problem],
    wanted: set[str],
    source: trials.Source | None,
) -> None:
    """The parts of the suite asked for, in the order in which each needs the one before."""
    sound = await references.check(config, run, bench, problems)
    if "replay" in wanted:
        if config.dataset.name == "rtllm":
            for recording, model in references.RECORDINGS.items():
                await references.replay(config, run, bench, problems, sound, recording, model)
        if config.mutants:
            await references.mutants(config, run, bench, [p for p in problems if p.name in sound])
    if "ppa" in wanted:
        await hardware.figures(config, run, bench, problems)
        await hardware.rewrites(config, run, bench, problems)
    if source is not None:
        await trials.run_all(config, run, bench, problems, sound, source)


def chosen(problems: Sequence[Problem], names: Sequence[str]) -> list[Problem]:
    """The problems of these names, in the order of the set; all of them for `all`."""
    if list(names) == ["all"]:
        return list(problems)
    known = [problem.name for problem in problems]
    for name in names:
        if name not in known:
            raise unknown("design", name, known)
    return [problem for problem in problems if problem.name in names]


def describe_tools(config: Config, run: Run) -> None:
    """Say which tools run, and what holds them."""
    needed = ["iverilog", "vvp"]
    needed += ["yosys"] if config.suite != "replay" or config.hidden else []
    needed += ["sta"] if config.suite in ("ppa", "refine", "all") and config.cells.name != "generic" else []
    versions = ", ".join(f"{name} {find(name).version}" for name in needed)
    held = [name for name, holds in confinement().items() if holds]
    free = [name for name, holds in confinement().items() if not holds]
    run.log(f"tools: {versions}; held back: {', '.join(held)}" + (f"; not here: {', '.join(free)}" if free else ""))


def cells(config: Config, run: Run, folder: Path) -> Liberty | None:
    """The cell library as one file, None for generic gates."""
    if config.cells.name == "generic":
        return None
    options = {"path": config.cells.path} if config.cells.path else {}
    name = "liberty-file" if config.cells.name == "file" else config.cells.name
    found = run.load(name, **options)
    try:
        library = liberty.read(found.paths, folder)
    except ValueError as error:
        raise UserError(f"the cell library of cells.name={config.cells.name} cannot be used: {error}") from error
    run.log(
        f"cells: {library.name}, {len(library.cells)} cells; time in {library.time:g} s, "
        f"capacitance in {library.capacitance:g} F, leakage in {library.leakage:g} W"
    )
    return library
