"""A second verdict: does a design do the same as the reference under random inputs, cycle by cycle.

Testbenches of benchmarks are weak (many try a handful of vectors). Here reference and design are simulated apart, under
the same seeded waves, and their outputs compared outside the simulator, so that a design can neither see the reference
nor say anything about the outcome. Bits that the reference leaves undefined (x, z) are free.
"""

from __future__ import annotations

import secrets
import zlib
from dataclasses import dataclass, field

import numpy as np

from effml.models.rtl.interface import Interface, Port
from effml.models.rtl.process import Limits, run_tool, workspace
from effml.models.rtl.tools import find

LONGEST_DELAY = 16


@dataclass(frozen=True)
class Wave:
    """Values of all inputs, step by step.

    Args:
        inputs: the ports driven, in order; a step is one string of bits, first port first.
        steps: what the inputs are, one string a step.
        sampled: indices of the steps after which outputs are compared.
        cycles: index into `sampled` at which each clock cycle begins, for designs with one clock; else empty.
        resets_until: the first cycle after the last reset.
    """

    inputs: tuple[Port, ...]
    steps: tuple[str, ...]
    sampled: tuple[int, ...]
    cycles: tuple[int, ...] = ()
    resets_until: int = 0


@dataclass(frozen=True)
class Difference:
    """What the comparison found.

    Args:
        kind: "equal"; "different"; "delayed" (equal when the design is read `delay` cycles later: another latency);
            "untested" (nothing could be compared, `detail` says why).
        compared: bits compared (defined in the reference).
        detail: the first difference, in words.
        delay: cycles.
    """

    kind: str
    compared: int = 0
    detail: str = ""
    delay: int = 0


@dataclass
class Differential:
    """Compares designs with one reference; simulates the reference once.

    Args:
        reference: Verilog with module `top`.
        interface: of the reference.
        cycles: clock cycles (or input vectors of a combinational design) to try.
        seed: of the inputs.
        seconds: wall clock of each simulation.
        exhaustive: a combinational design with at most so many input bits gets every input there is, in a drawn order.
    """

    reference: str
    top: str
    interface: Interface
    cycles: int = 1000
    seed: int = 0
    seconds: float = 20.0
    exhaustive: int = 10
    _wave: Wave | None = field(default=None, repr=False)
    _expected: list[str] | None = field(default=None, repr=False)

    def compare(self, design: str) -> Difference:
        """Simulate the design under the reference's waves and compare what its outputs were."""
        if not self.interface.outputs or not self.interface.inputs:
            return Difference("untested", detail="the design has no inputs or no outputs to compare")
        if self._expected is None:
            rng = np.random.default_rng([self.seed, zlib.crc32(self.top.encode())])
            self._wave = waves(self.interface, self.cycles, rng, self.exhaustive)
            self._expected, said = simulate(self.reference, self.top, self.interface, self._wave, self.seconds)
            if self._expected is None:
                return Difference("untested", detail=f"the reference does not simulate: {said}")
        assert self._wave is not None
        found, said = simulate(design, self.top, self.interface, self._wave, self.seconds)
        if found is None:
            return Difference("different", detail=said)
        return judge(self.interface, self._wave, self._expected, found)


def waves(interface: Interface, cycles: int, rng: np.random.Generator, exhaustive: int = 10) -> Wave:
    """Random inputs for these ports: resets first and now and then, data that changes away from clock edges."""
    clocks, levels = interface.clocks, dict(interface.resets)
    data = [port for port in interface.inputs if port.name not in clocks and port.name not in levels]
    values = {port.name: _column(port.width, cycles, rng) for port in data}
    bits = sum(port.width for port in data)
    if not clocks and not levels and 0 < bits <= exhaustive:
        order, shift = rng.permutation(1 << bits), 0
        cycles = len(order)
        for port in data:
            values[port.name] = [int(value >> shift) & ((1 << port.width) - 1) for value in order]
            shift += port.width
    held = {name: _resets(cycles, rng) if clocks else rng.random(cycles) < 0.05 for name in levels}
    steps: list[str] = []
    sampled: list[int] = []
    starts: list[int] = []

    def step(compared: bool) -> None:
        if compared:
            sampled.append(len(steps))
        steps.append("".join(f"{now[port.name]:0{port.width}b}" for port in interface.inputs))

    now = {port.name: 0 for port in interface.inputs}
    for cycle in range(cycles):
        now.update({name: column[cycle] for name, column in values.items()})
        now.update({name: levels[name] if held[name][cycle] else 1 - levels[name] for name in levels})
        # Under reset, outputs count from the clock edge on: a synchronous reset is as good as an asynchronous one.
        reset = bool(clocks) and any(held[name][cycle] for name in levels)
        starts.append(len(sampled))
        step(not reset)
        if len(clocks) == 1:
            for level in (1, 0):
                now[clocks[0]] = level
                step(True)
        else:
            for name in rng.permutation(clocks) if clocks else ():
                if reset or rng.random() < 0.6:
                    now[str(name)] ^= 1
                    step(not reset)
    last = max((int(np.flatnonzero(column)[-1]) for column in held.values() if column.any()), default=0)
    return Wave(
        tuple(interface.inputs), tuple(steps), tuple(sampled), tuple(starts) if len(clocks) == 1 else (), last + 1
    )


def simulate(text: str, top: str, interface: Interface, wave: Wave, seconds: float) -> tuple[list[str] | None, str]:
    """The outputs after each sampled step, one string of bits (0, 1, x, z) a step; or None and what went wrong."""
    mark, bench = f"<{secrets.token_hex(8)}>", f"player_{secrets.token_hex(6)}"
    files = {"design.v": text, "player.v": _player(bench, mark, top, interface, wave)}
    iverilog, vvp = find("iverilog"), find("vvp")
    with workspace({**files, "wave.txt": "\n".join(wave.steps) + "\n"}) as folder:
        command = [iverilog.path, "-g2012", "-s", bench, "-o", "player.vvp", "player.v", "design.v"]
        compiled = run_tool(command, folder, Limits(seconds=20), iverilog.readable)
        if not compiled.ok:
            return None, "it does not compile with the ports of the reference: " + compiled.output.strip()[:500]
        limits = Limits(seconds=seconds, file_bytes=64 << 20)
        done = run_tool([vvp.path, "-n", "player.vvp"], folder, limits, vvp.readable, kept=64 << 20)
    if not done.ok:
        return None, f"the simulation did not end within {seconds:g} s"
    found = [line[len(mark) :] for line in done.stdout.splitlines() if line.startswith(mark)]
    if len(found) != len(wave.steps):
        return None, f"the simulation ended after {len(found)} of {len(wave.steps)} steps"
    return [found[index] for index in wave.sampled], ""


def judge(interface: Interface, wave: Wave, expected: list[str], found: list[str]) -> Difference:
    """Compare two lists of sampled outputs; a constant delay in whole cycles is told from a difference."""
    compared, first = _mismatch(expected, found)
    if compared == 0:
        return Difference("untested", 0, "the reference's outputs were never defined")
    if first is None:
        return Difference("equal", compared)
    detail = _in_words(interface, wave, expected, found, first)
    for delay in range(1, LONGEST_DELAY + 1) if wave.cycles else ():
        # Outputs at the start of each cycle, after the last reset, until the shifted tail runs out.
        begin = wave.cycles[min(wave.resets_until + 1, len(wave.cycles) - 1) :]
        if len(begin) < delay + 32:
            break
        late, first = _mismatch([expected[i] for i in begin[:-delay]], [found[i] for i in begin[delay:]])
        steady = len({expected[i] for i in begin}) > 8
        if late and first is None and steady:
            return Difference("delayed", compared, f"the same results {delay} clock cycles later", delay)
    return Difference("different", compared, detail)


def _mismatch(expected: list[str], found: list[str]) -> tuple[int, int | None]:
    """How many defined bits were compared, and the index of the first sample that differs."""
    want = np.frombuffer("".join(expected).encode(), np.uint8)
    have = np.frombuffer("".join(found).encode(), np.uint8)
    defined = (want == ord("0")) | (want == ord("1"))
    wrong = np.flatnonzero(defined & (want != have))
    width = len(expected[0]) if expected else 1
    return int(defined.sum()), int(wrong[0]) // width if len(wrong) else None


def _in_words(interface: Interface, wave: Wave, expected: list[str], found: list[str], index: int) -> str:
    """`after step 12 with a=3 b=4: s is 5, the reference has 7`."""
    step = wave.steps[wave.sampled[index]]
    inputs = _fields(wave.inputs, step)
    said = " ".join(f"{name}={value}" for name, value in inputs.items())
    outputs = zip(
        _fields(tuple(interface.outputs), expected[index]).items(),
        _fields(tuple(interface.outputs), found[index]).values(),
        strict=True,
    )
    wrong = ", ".join(f"{name} is {have}, expected {want}" for (name, want), have in outputs if _differs(want, have))
    return f"after step {wave.sampled[index]} with {said}: {wrong}"


def _differs(want: str, have: str) -> bool:
    return any(w in "01" and w != h for w, h in zip(want, have, strict=True))


def _fields(ports: tuple[Port, ...], bits: str) -> dict[str, str]:
    found, at = {}, 0
    for port in ports:
        found[port.name] = bits[at : at + port.width]
        at += port.width
    return found


def _player(bench: str, mark: str, top: str, interface: Interface, wave: Wave) -> str:
    """A module that plays the wave and prints all outputs after every step."""
    width = sum(port.width for port in wave.inputs)
    seen = sum(port.width for port in interface.outputs)
    pins, at = [], width
    for port in wave.inputs:
        pins.append(f".{port.name}(now[{at - 1}:{at - port.width}])")
        at -= port.width
    at = seen
    for port in interface.outputs:
        pins.append(f".{port.name}(seen[{at - 1}:{at - port.width}])")
        at -= port.width
    steps = len(wave.steps)
    return f"""`timescale 1ns/1ps
module {bench};
  reg [{width - 1}:0] wave [0:{steps - 1}]; reg [{width - 1}:0] now; wire [{seen - 1}:0] seen; integer step;
  {top} dut({", ".join(pins)});
  initial begin
    $readmemb("wave.txt", wave);
    for (step = 0; step < {steps}; step = step + 1) begin now = wave[step]; #10; $display("{mark}%b", seen); end
    $finish;
  end
endmodule
"""


def _column(width: int, cycles: int, rng: np.random.Generator) -> list[int]:
    """Values of one input: stretches of uniform draws, corner values, constants, and bits of one bias."""
    values: list[int] = []
    top = (1 << width) - 1
    corners = [0, top, 1, top >> 1, (top >> 1) + 1]
    while len(values) < cycles:
        length = int(rng.integers(4, 48))
        kind = rng.choice(["uniform", "corners", "constant", "biased"], p=[0.5, 0.15, 0.15, 0.2])
        if kind == "constant":
            values += [_draw(width, rng)] * length
        elif kind == "corners":
            values += [corners[int(i)] & top for i in rng.integers(0, len(corners), length)]
        elif kind == "biased":
            chance = rng.choice([0.1, 0.9])
            values += [
                int("".join("1" if bit else "0" for bit in rng.random(width) < chance), 2) for _ in range(length)
            ]
        else:
            values += [_draw(width, rng) for _ in range(length)]
    return values[:cycles]


def _draw(width: int, rng: np.random.Generator) -> int:
    return int.from_bytes(rng.bytes((width + 7) // 8), "little") & ((1 << width) - 1)


def _resets(cycles: int, rng: np.random.Generator) -> np.ndarray:
    """Held in the first four cycles, then for a cycle now and then in the first third; never after."""
    held = np.zeros(cycles, bool)
    held[:4] = True
    early = np.arange(cycles) < cycles // 3
    return held | (early & (rng.random(cycles) < 1 / 64))
