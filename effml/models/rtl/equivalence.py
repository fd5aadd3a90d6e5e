"""Is a rewritten design still the same one: proven, bounded, only simulated, different, or another specification.

PROVEN: yosys' SAT solver shows that no input tells the two apart (combinational), or that no step can from equal
registers and none does in the first steps after reset (sequential). BOUNDED: none does within k cycles after reset.
SIMULATED: random waves did not either, and nothing stronger could be said. DIFFERENT: an input tells them apart.
OTHER: ports or latency changed, which is another specification and no rewrite of this one, whatever it gains.
Where the reference is undefined (x, don't care) the design is free.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from effml.models.rtl.differential import Differential
from effml.models.rtl.interface import Interface, NotElaborated, interface_of
from effml.models.rtl.process import Limits, run_tool, workspace
from effml.models.rtl.tools import find

PROVEN, BOUNDED, SIMULATED, DIFFERENT, OTHER = "PROVEN", "BOUNDED", "SIMULATED", "DIFFERENT", "OTHER"
TRIED_BITS = 16
SAME = (PROVEN, BOUNDED, SIMULATED)


@dataclass(frozen=True)
class Equivalence:
    """A verdict, what was shown in words, and the bound in cycles for BOUNDED."""

    verdict: str
    detail: str = ""
    cycles: int = 0

    @property
    def same(self) -> bool:
        return self.verdict in SAME

    def __str__(self) -> str:
        return f"{self.verdict} ({self.cycles} cycles)" if self.verdict == BOUNDED else self.verdict


def compare(
    reference: str,
    design: str,
    top: str,
    simulation: Differential | None = None,
    cycles: int = 12,
    seconds: float = 30.0,
) -> Equivalence:
    """Compare a design with the reference; both define module `top`.

    Args:
        simulation: of the reference, where the caller keeps one.
        cycles: bound of the sequential check.
        seconds: for each call of the solver.
    """
    try:
        before = simulation.interface if simulation else interface_of(reference, top)
        after = interface_of(design, top)
    except NotElaborated as error:
        return Equivalence(OTHER, str(error))
    if changed := before.difference(after):
        return Equivalence(OTHER, f"another interface: {changed}")
    # Simulation first: most differences show at once, and a change of latency only there.
    simulated = (simulation or Differential(reference, top, before)).compare(design)
    if simulated.kind == "delayed":
        return Equivalence(OTHER, f"another latency: {simulated.detail}")
    if simulated.kind == "different":
        return Equivalence(DIFFERENT, simulated.detail)
    sequential = before.sequential or after.sequential
    bits = sum(port.width for port in before.inputs)
    few = not sequential and simulated.kind == "equal" and 0 < bits <= TRIED_BITS
    solve = _sequential if sequential else _combinational
    solved = solve(reference, design, top, before, cycles, min(seconds, 8.0) if few else seconds)
    if solved is not None:
        return solved
    if few:
        # Products are hard for the solver long before they are many for the simulator.
        every = Differential(reference, top, before, exhaustive=TRIED_BITS, seconds=2 * seconds).compare(design)
        if every.kind == "equal":
            return Equivalence(PROVEN, f"all {1 << bits} inputs were tried")
        if every.kind == "different":
            return Equivalence(DIFFERENT, every.detail)
    if simulated.kind == "equal":
        return Equivalence(SIMULATED, f"{simulated.compared} output bits agree; the solver could not say more")
    return Equivalence(DIFFERENT, f"neither solver nor simulation could compare them: {simulated.detail}")


def _combinational(
    reference: str, design: str, top: str, ports: Interface, cycles: int, seconds: float
) -> Equivalence | None:
    found = _solve(reference, design, top, "sat -verify -prove trigger 0 -set-def-inputs -show-inputs miter", seconds)
    if found == "proven":
        return Equivalence(PROVEN, "no input tells them apart")
    if found and found.startswith("refuted"):
        return Equivalence(DIFFERENT, "the solver found an input: " + found.removeprefix("refuted "))
    return None


def _sequential(
    reference: str, design: str, top: str, ports: Interface, cycles: int, seconds: float
) -> Equivalence | None:
    """From reset by unrolling; for ever when, besides, registers of the same names stay equal by induction.

    The induction assumes equal registers, so that its base case compares them as well, not the outputs alone: two timers
    that reset to different values may show it only after the bound.
    """
    for bound in (cycles, min(cycles, 4)):
        found = _unrolled(reference, design, top, ports, bound, seconds)
        if found is not None:
            return found
    return None


def _unrolled(
    reference: str, design: str, top: str, ports: Interface, cycles: int, seconds: float
) -> Equivalence | None:
    hold = "".join(f" -set-at {step} in_{name} {level}" for name, level in ports.resets for step in (1, 2))
    base = (
        f"sat -verify -prove trigger 0 -enable_undef -set-def-inputs -set-init-undef{hold} "
        f"-prove-skip 2 -seq {cycles + 2} -show-inputs miter"
    )
    first = _solve(reference, design, top, base, seconds)
    if first is not None and first.startswith("refuted"):
        return Equivalence(DIFFERENT, f"the solver found inputs within {cycles} cycles after reset")
    if first != "proven":
        return None
    registers = _solve(reference, design, top, base, seconds, "expose -shared -dff gold gate")
    if registers == "proven" and _induction(reference, design, top, seconds):
        return Equivalence(PROVEN, f"{cycles} cycles after reset by unrolling, every later step by induction")
    return Equivalence(BOUNDED, f"the same for {cycles} cycles after reset, whatever the inputs", cycles)


def _prepared(name: str, file: str, top: str) -> list[str]:
    return [
        f"read_verilog -sv {file}",
        f"hierarchy -check -top {top}",
        "proc",
        "flatten",
        "memory -nordff",
        "opt -fast",
        "async2sync",
        "tribuf -logic",
        "opt_clean",
        f"rename {top} {name}",
        f"design -stash {name}",
    ]


def _solve(reference: str, design: str, top: str, question: str, seconds: float, also: str = "") -> str | None:
    """Ask the solver about the two designs side by side, after the pass `also`.

    Returns `proven`, `refuted NAME=VALUE ...`, or None when the solver ran out of time or a design cannot be read.
    """
    lines = [
        *_prepared("gold", "gold.v", top),
        *_prepared("gate", "gate.v", top),
        "design -copy-from gold -as gold gold",
        "design -copy-from gate -as gate gate",
        *([also] if also else []),
        "miter -equiv -ignore_gold_x -flatten gold gate miter",
        "hierarchy -top miter",
        "opt -full",  # logic that both sides share becomes one, so that the solver need not prove it
        question,
    ]
    done = _yosys(reference, design, lines, seconds)
    if done.ok:
        return "proven"
    if "proof did fail" in done.output or "model found: FAIL" in done.output:
        values = re.findall(r"^\s*\\?in_(\S+)\s+\S+\s+\S+\s+([01x]+)\s*$", done.output, flags=re.MULTILINE)
        return "refuted " + " ".join(f"{name}={value}" for name, value in values)
    return None


def _induction(reference: str, design: str, top: str, seconds: float) -> bool:
    """Whether registers of the same names, equal before a step, are equal after it, and the outputs with them."""
    lines = [
        *_prepared("gold", "gold.v", top),
        *_prepared("gate", "gate.v", top),
        "design -copy-from gold -as gold gold",
        "design -copy-from gate -as gate gate",
        "equiv_make gold gate equiv",
        "hierarchy -top equiv",
        "opt_clean",
        "equiv_struct",
        "equiv_simple -undef -seq 2",
        "equiv_induct -undef -seq 4",
        "equiv_status -assert",
    ]
    return _yosys(reference, design, lines, seconds).ok


def _yosys(reference: str, design: str, lines: list[str], seconds: float):
    yosys = find("yosys")
    files = {"gold.v": reference, "gate.v": design, "compare.ys": "\n".join(lines) + "\n"}
    with workspace(files) as folder:
        limits = Limits(seconds=seconds, memory_bytes=4 << 30)
        return run_tool([yosys.path, "-s", "compare.ys"], folder, limits, yosys.readable)
