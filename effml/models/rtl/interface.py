"""A design's ports, and which inputs are clocks and resets, read from the elaborated design and not guessed from names.

Ports come from slang's elaboration (widths with their parameters applied), clocks and resets from the flip-flops that
yosys infers. Where yosys cannot synthesise a design, edges and names in the text decide, and the result says so.
Only for text that a simulator has compiled within its limits: slang runs in this process.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass

from pyslang.ast import Compilation
from pyslang.syntax import SyntaxTree

from effml.models.rtl.process import Limits, run_tool, workspace
from effml.models.rtl.source import tokens
from effml.models.rtl.tools import find, have

CLOCK_NAME = re.compile(r"(?i)^([a-z]*_?)?(clk|clock)(_?[a-z0-9]*)?$")
RESET_NAME = re.compile(r"(?i)^([a-z]|async|sync)?_?(rst|reset|clr|clear)(_?(n|in|ni|i|l|b|p|sync|async))?$")
ACTIVE_LOW_NAME = re.compile(r"(?i)(_n|_ni|_l|_b|rstn|resetn|nrst|nreset)$")


@dataclass(frozen=True)
class Port:
    """A port of the top module: direction "in", "out" or "inout", width in bits."""

    name: str
    direction: str
    width: int


@dataclass(frozen=True)
class Interface:
    """The ports of a design and the roles of its inputs.

    Args:
        ports: in order of declaration.
        clocks: inputs that clock flip-flops.
        resets: reset inputs with the level that resets (1 or 0).
        registers: number of flip-flop bits; None where yosys could not infer them.
        source: "netlist" (yosys) or "names".
    """

    ports: tuple[Port, ...]
    clocks: tuple[str, ...] = ()
    resets: tuple[tuple[str, int], ...] = ()
    registers: int | None = None
    source: str = "netlist"

    @property
    def inputs(self) -> list[Port]:
        return [port for port in self.ports if port.direction == "in"]

    @property
    def outputs(self) -> list[Port]:
        return [port for port in self.ports if port.direction == "out"]

    @property
    def sequential(self) -> bool:
        return bool(self.clocks) or bool(self.registers)

    def difference(self, other: Interface) -> str:
        """How the ports of `other` depart from these, in words; empty when they are the same (order is free)."""
        mine, theirs = ({p.name: (p.direction, p.width) for p in who.ports} for who in (self, other))
        said = [f"port {name} is missing" for name in mine if name not in theirs]
        said += [f"port {name} was added" for name in theirs if name not in mine]
        for name in mine:
            if name in theirs and mine[name] != theirs[name]:
                (way, width), (new_way, new_width) = mine[name], theirs[name]
                said.append(f"port {name} is {new_way}put of {new_width} bits, was {way}put of {width} bits")
        return "; ".join(said)


class NotElaborated(ValueError):
    """The text has no top module of this name, or slang cannot elaborate it."""


def ports_of(text: str, top: str) -> tuple[Port, ...]:
    """Ports of module `top`, parameters at their defaults.

    Raises:
        NotElaborated: no such module, or its ports make no sense.
    """
    compilation = Compilation()
    compilation.addSyntaxTree(SyntaxTree.fromText(text))
    for definition in compilation.getRoot().topInstances:
        if definition.name == top:
            ways = {"In": "in", "Out": "out", "InOut": "inout"}
            found = []
            for port in definition.body.portList:
                direction = ways.get(str(port.direction).rsplit(".", 1)[-1], "inout")
                found.append(Port(port.name, direction, int(port.type.bitWidth)))
            return tuple(found)
    raise NotElaborated(f"there is no top module '{top}' in the text")


def interface_of(text: str, top: str) -> Interface:
    """Ports and roles of module `top`.

    Raises:
        NotElaborated: no such module.
    """
    ports = ports_of(text, top)
    inputs = {port.name for port in ports if port.direction == "in"}
    cells = _flip_flops(text, top) if have("yosys") else None
    if cells is None:
        return _by_name(text, ports)
    clocks: dict[str, None] = {}
    resets: dict[str, int] = {}
    for cell in cells:
        if (name := cell["nets"].get("CLK")) in inputs:
            clocks[name] = None
        for pin in ("ARST", "SRST", "CLR", "ALOAD"):
            if (name := cell["nets"].get(pin)) in inputs:
                resets.setdefault(name, cell["levels"].get(f"{pin}_POLARITY", 1))
    # A data input that happens to gate a load is no reset: asynchronous ones count always, synchronous ones by name.
    asynchronous = {cell["nets"].get("ARST") for cell in cells} | {cell["nets"].get("CLR") for cell in cells}
    kept = tuple((name, level) for name, level in resets.items() if name in asynchronous or RESET_NAME.match(name))
    named = _by_name(text, ports)
    missing = tuple((name, level) for name, level in named.resets if name not in dict(kept) and name not in clocks)
    return Interface(ports, tuple(clocks), kept + missing, sum(cell["width"] for cell in cells))


def _by_name(text: str, ports: tuple[Port, ...]) -> Interface:
    """Clocks: one-bit inputs named like clocks, or used as an edge and not named like resets."""
    listed = tokens(text)
    edges = {
        after.text: edge.kind == "NegEdgeKeyword"
        for edge, after in itertools.pairwise(listed)
        if edge.kind in ("PosEdgeKeyword", "NegEdgeKeyword")
    }
    bits = [port.name for port in ports if port.direction == "in" and port.width == 1]
    resets = tuple((n, 0 if edges.get(n, bool(ACTIVE_LOW_NAME.search(n))) else 1) for n in bits if RESET_NAME.match(n))
    clocks = tuple(n for n in bits if n not in dict(resets) and (CLOCK_NAME.match(n) or n in edges))
    return Interface(ports, clocks, resets, None, "names")


def _flip_flops(text: str, top: str) -> list[dict] | None:
    """Flip-flops of the flattened design with the names of the nets at their pins; None where yosys cannot tell."""
    yosys = find("yosys")
    script = (
        f"read_verilog -sv d.v; hierarchy -check -top {top}; proc; flatten; opt -full; memory -nomap; json -o d.json"
    )
    with workspace({"d.v": text}) as folder:
        done = run_tool([yosys.path, "-q", "-p", script], folder, Limits(seconds=30), yosys.readable)
        if not done.ok or not (folder / "d.json").is_file():
            return None
        module = json.loads((folder / "d.json").read_text())["modules"][top]
    net_of: dict[int | str, str] = {}
    for name, port in module["ports"].items():
        for bit in port["bits"]:
            net_of.setdefault(bit, name)
    found = []
    for cell in module["cells"].values():
        kind = cell["type"]
        if "ff" not in kind and not kind.startswith("$mem"):
            continue
        if kind.startswith("$mem") and not _number(cell["parameters"].get("WR_PORTS", 0)):
            continue  # a table of constants
        values = {key: _number(value) for key, value in cell["parameters"].items()}
        pins = {**cell["connections"]}
        if kind.startswith("$mem"):
            pins["CLK"] = pins.get("WR_CLK", [])
            width = values.get("WIDTH", 0) * values.get("SIZE", 0)
        else:
            width = values.get("WIDTH", 1)
        nets = {pin: net_of.get(bits[0]) for pin, bits in pins.items() if bits}
        found.append({"nets": nets, "levels": values, "width": width})
    return found


def _number(value: str | int) -> int:
    return value if isinstance(value, int) else int(value, 2) if re.fullmatch(r"[01]+", value) else 0
