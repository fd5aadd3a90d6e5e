"""Synthesis by yosys under two fixed scripts, to cells of a library or, without one, to generic gates.

The script moves area and delay more than most rewrites do, so it is never a free choice here: "area" is yosys' own
mapping, "speed" restructures for delay, then buffers and sizes. Two designs are compared under the same script only.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from effml.models.rtl.liberty import Liberty
from effml.models.rtl.process import Limits, run_tool, workspace
from effml.models.rtl.tools import find

# `topo` first: mapping leaves some netlists out of order, on which ABC's buffering ends in a crash.
SCRIPTS = {
    "area": "abc -liberty {library}",
    "speed": "abc -liberty {library} -script +strash;balance;dch;map,-B,.9;topo;buffer;upsize;dnsize",
}
GENERIC = "abc -g AND,NAND,OR,NOR,XOR,XNOR,MUX,AOI3,OAI3"


@dataclass(frozen=True)
class Netlist:
    """A synthesised design.

    Args:
        verilog: the mapped netlist, one the timer can read.
        area: sum of cell areas in the library's unit; the number of gates without a library.
        cells: number of cells.
        registers: flip-flops and latches among them.
        depth: longest path in generic gates before mapping (a count, no time).
        clocks: top ports at clock pins of registers.
    """

    verilog: str
    area: float
    cells: int
    registers: int
    depth: int
    clocks: tuple[str, ...]


class NotSynthesisable(ValueError):
    """yosys cannot make hardware of the design; the message is its reason."""


def synthesise(
    text: str, top: str, script: str = "area", library: Liberty | None = None, seconds: float = 120.0
) -> Netlist:
    """Synthesise module `top` of a Verilog text.

    Args:
        script: "area" or "speed" (with a library; generic gates have one script).

    Raises:
        NotSynthesisable: with yosys' message, or when it takes too long.
    """
    yosys = find("yosys")
    # Names that reach a script are Verilog identifiers or the library's path, never free text of a design.
    if not re.fullmatch(r"[A-Za-z_][\w$]*", top):
        raise NotSynthesisable(f"'{top}' is no plain module name")
    files = {"design.v": text, "synthesis.ys": _script(top, script, library)}
    readable = (*yosys.readable, *([library.path] if library else []))
    with workspace(files) as folder:
        done = run_tool(
            [yosys.path, "-q", "-s", "synthesis.ys"], folder, Limits(seconds=seconds, memory_bytes=4 << 30), readable
        )
        if not done.ok:
            raise NotSynthesisable(_reason(done.output, done.timed_out, seconds))
        verilog = (folder / "netlist.v").read_text()
        design = json.loads((folder / "netlist.json").read_text())["modules"][top]
        statistics = (folder / "statistics.txt").read_text()
        paths = (folder / "depth.txt").read_text()
    cells = [cell for cell in design["cells"].values() if cell["type"] != "$scopeinfo"]
    area = re.search(r"Chip area for (?:top )?module '[^']*': ([\d.eE+-]+)", statistics)
    if not cells:
        raise NotSynthesisable("nothing is left after synthesis: the outputs are constant or wires")
    return Netlist(
        verilog=verilog,
        area=float(area.group(1)) if library and area else 0.0 if library else float(len(cells)),
        cells=len(cells),
        registers=sum(_clock_net(cell, library) is not None for cell in cells),
        depth=max((int(length) for length in re.findall(r"length=(\d+)", paths)), default=0),
        clocks=_clocks(design, cells, library),
    )


def _script(top: str, script: str, library: Liberty | None) -> str:
    lines = [
        "read_verilog -sv design.v",
        f"synth -flatten -top {top}",
        "tee -q -o depth.txt ltp -noff",
    ]
    if library:
        path = f'"{library.path}"'
        lines += [f"dfflibmap -liberty {path}", SCRIPTS[script].format(library=path)]
    else:
        lines += [GENERIC]
    lines += [
        "opt_clean -purge",
        "splitnets",
        "tee -q -o statistics.txt stat" + (f' -liberty "{library.path}"' if library else ""),
        "write_json netlist.json",
        "write_verilog -simple-lhs -noattr -noexpr netlist.v",
    ]
    return "\n".join(lines) + "\n"


def _clock_net(cell: dict, library: Liberty | None) -> int | str | None:
    """The net at the pin that clocks a register or opens a latch; None for a gate."""
    if library is not None and cell["type"] in library.registers:
        return cell["connections"][library.registers[cell["type"]]][0]
    if re.match(r"\$_(S?DFF|ALDFF|DLATCH|SR)", cell["type"]):
        return (cell["connections"].get("C") or cell["connections"].get("E") or ["?"])[0]
    return None


def _clocks(design: dict, cells: list[dict], library: Liberty | None) -> tuple[str, ...]:
    """Input ports that reach a register's clock pin, directly or through gates with one input."""
    through = {}
    for cell in cells:
        outputs = [pin for pin, way in cell.get("port_directions", {}).items() if way == "output"]
        inputs = [bits[0] for pin, bits in cell["connections"].items() if pin not in outputs and bits]
        if len(inputs) == 1:
            through.update({cell["connections"][pin][0]: inputs[0] for pin in outputs if cell["connections"][pin]})
    ports = {port["bits"][0]: name for name, port in design["ports"].items() if port["direction"] == "input"}
    found: dict[str, None] = {}
    for cell in cells:
        net, seen = _clock_net(cell, library), set()
        while net in through and net not in ports and net not in seen:
            seen.add(net)
            net = through[net]
        if net in ports:
            found[ports[net]] = None
    return tuple(found)


def _reason(output: str, timed_out: bool, seconds: float) -> str:
    if timed_out:
        return f"synthesis did not end within {seconds:g} s"
    errors = [line for line in output.splitlines() if "ERROR" in line]
    if any("ABC output file" in line for line in errors):
        return "ABC, yosys' mapper, crashed on it"
    return (errors[0] if errors else output.strip()[-300:] or "yosys failed without a message").strip()
