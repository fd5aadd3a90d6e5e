"""Power, performance and area of a design under each fixed script, in fixed units.

With a library: square micrometres, picoseconds, microwatts, all before layout. Without one: generic gates for area and
levels for delay, which are counts and are named so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from effml.models.rtl.liberty import Liberty
from effml.models.rtl.synthesis import SCRIPTS, NotSynthesisable, synthesise
from effml.models.rtl.timing import NotTimed, estimate

METRICS = ("area", "delay", "power")


@dataclass(frozen=True)
class Ppa:
    """Figures of one design under one script.

    Args:
        area: um2 with a library, number of generic gates without.
        delay: ps with a library (None without a timed path), levels of generic gates without.
        power: uW at the stated clock and activity; None without a library.
        cells, registers: counts.
        script: "area", "speed", or "generic".
        library: its name; "" without one.
    """

    area: float
    delay: float | None
    power: float | None
    cells: int
    registers: int
    script: str
    library: str = ""

    def figure(self, metric: str) -> float | None:
        return {"area": self.area, "delay": self.delay, "power": self.power}[metric]


def measure(text: str, top: str, library: Liberty | None, scripts: Sequence[str] = tuple(SCRIPTS)) -> dict[str, Ppa]:
    """Figures of module `top` under each script.

    Raises:
        NotSynthesisable, NotTimed: with the tool's message.
    """
    if library is None:
        found = synthesise(text, top)
        return {"generic": Ppa(found.area, float(found.depth), None, found.cells, found.registers, "generic")}
    figures = {}
    for script in scripts:
        netlist = synthesise(text, top, script, library)
        timed = estimate(netlist, top, library)
        delay = None if timed.delay is None else timed.delay * 1e12
        figures[script] = Ppa(
            netlist.area, delay, timed.power * 1e6, netlist.cells, netlist.registers, script, library.name
        )
    return figures


def script_for(metric: str, library: Liberty | None) -> str:
    """The script under which a metric is a goal: delay under "speed", area and power under "area"."""
    return "generic" if library is None else "speed" if metric == "delay" else "area"


__all__ = ["METRICS", "NotSynthesisable", "NotTimed", "Ppa", "measure", "script_for"]
