"""Delay and power of a mapped netlist by OpenSTA: no wires, no placement, a stated activity.

A pre-layout estimate: compare ratios within one library and one script. Delay is the shortest clock period at which every
path holds, to, from and between registers and ports: the longest path, or twice it where both clock edges are used. Power
is at 100 MHz with every data input toggling in one cycle of ten, spread through the gates
by the timer's own propagation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from effml.models.rtl.liberty import Liberty
from effml.models.rtl.process import Limits, run_tool, workspace
from effml.models.rtl.synthesis import Netlist
from effml.models.rtl.tools import find

FREQUENCY = 100e6
ACTIVITY = 0.1


@dataclass(frozen=True)
class Estimate:
    """Delay in seconds (None where no path is constrained) and power in watts."""

    delay: float | None
    power: float


class NotTimed(ValueError):
    """OpenSTA could not read or time the netlist; the message is its reason."""


def estimate(netlist: Netlist, top: str, library: Liberty, seconds: float = 60.0) -> Estimate:
    """Delay and power of a netlist in cells of `library`.

    Raises:
        NotTimed: with the timer's message.
    """
    sta = find("sta")
    period = 1 / FREQUENCY / library.time
    files = {"netlist.v": netlist.verilog, "timing.tcl": _script(netlist, top, library, period)}
    with workspace(files) as folder:
        command = [sta.path, "-no_splash", "-exit", "timing.tcl"]
        done = run_tool(command, folder, Limits(seconds=seconds), (*sta.readable, library.path))
    power = re.search(r"^Total\s+\S+\s+\S+\s+\S+\s+(\S+)", done.stdout, flags=re.MULTILINE)
    if not done.ok or "timing done" not in done.stdout or power is None:
        errors = [line for line in done.output.splitlines() if "Error" in line] or [done.output.strip()[-300:]]
        raise NotTimed(errors[0])
    shortest = re.search(r"^shortest period (\S+)", done.stdout, flags=re.MULTILINE)
    delay = None if shortest is None else float(shortest.group(1)) * library.time
    return Estimate(delay, float(power.group(1)))


def _script(netlist: Netlist, top: str, library: Liberty, period: float) -> str:
    """Tcl. All clocks share one period and edge: paths between them are timed as if they were one.

    The shortest period is found by taking the worst slack off the period until none is left: at once where paths take a
    whole period, by halves where they have half of one.
    """
    names = " ".join(netlist.clocks)
    clocks = [f"create_clock -name clk{i} -period $period [get_ports {{{c}}}]" for i, c in enumerate(netlist.clocks)]
    made = "\n  ".join(clocks or ["create_clock -name clk0 -period $period"])
    return f"""read_liberty {{{library.path}}}
read_verilog netlist.v
link_design {top}
set data [list]
foreach port [all_inputs] {{
  if {{[lsearch -exact {{{names}}} [get_property $port full_name]] < 0}} {{ lappend data $port }}
}}
proc constrain {{period}} {{
  global data
  {made}
  if {{[llength $data]}} {{ set_input_delay 0 -clock clk0 $data }}
  set_output_delay 0 -clock clk0 [all_outputs]
}}
proc worst_slack_now {{}} {{
  set worst ""
  foreach end [find_timing_paths -path_delay max -group_count 4] {{
    set slack [get_property $end slack]
    if {{$worst eq "" || $slack < $worst}} {{ set worst $slack }}
  }}
  return $worst
}}
set period {period:g}
for {{set round 0}} {{$round < 60}} {{incr round}} {{
  constrain $period
  set slack [worst_slack_now]
  if {{$slack eq ""}} {{ break }}
  set last $period
  set period [expr $period - $slack]
  if {{$period <= 0}} {{ set period [expr $last / 2.0] }}
  if {{abs($slack) < 1e-5 * $last}} {{ break }}
}}
if {{$slack ne ""}} {{ puts "shortest period $period" }}
constrain {period:g}
set_power_activity -input -activity {ACTIVITY} -duty 0.5
report_power -digits 8
puts "timing done"
"""
