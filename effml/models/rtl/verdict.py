"""What the simulator says of a design: does it parse, does it compile with the testbench, does it pass.

A design cannot talk its way through. Every line that the testbench prints is signed with a secret drawn for the run, and
only signed lines count; the testbench's modules get secret names, so that no path reaches into them; its top is the only
root, so that nothing else in the answer runs; and a benchmark that counts samples must count as many as the reference.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field, replace

from effml.models.rtl.problem import MISMATCHES, Problem
from effml.models.rtl.process import Finished, Limits, run_tool, workspace
from effml.models.rtl.source import clean, names, refusals, rename, roots, tokens
from effml.models.rtl.tools import find

STAGES = ("refused", "syntax", "compile", "timeout", "function", "passed")
PRINTING = re.compile(r"^\$(display|write|monitor|strobe)[bho]?$")


@dataclass(frozen=True)
class Verdict:
    """How far a design came.

    Args:
        stage: "refused" (text that is not run), "syntax" (does not compile alone), "compile" (not with the testbench),
            "timeout" (the simulation did not end, or its output overflowed), "function" (wrong results), "passed".
        parses: compiles on its own, as `iverilog -tnull` says.
        compiles: compiles with the testbench.
        report: what the tools and the testbench said, uncapped.
        hidden: whether it also agrees with the reference under random inputs; None when that was not asked or not possible.
        seconds: time spent in tools.
    """

    stage: str
    parses: bool
    compiles: bool
    report: str = ""
    hidden: bool | None = None
    seconds: float = 0.0

    @property
    def passes(self) -> bool:
        return self.stage == "passed"


@dataclass
class Judge:
    """Gives verdicts on designs; keeps what it learns of each problem's reference.

    Args:
        compiling: limits of each compilation.
    """

    compiling: Limits = field(default_factory=lambda: Limits(seconds=20))
    _samples: dict[str, int | None] = field(default_factory=dict, repr=False)

    def verdict(self, problem: Problem, design: str) -> Verdict:
        """The verdict of the problem's own testbench on a design (Verilog text)."""
        design = clean(design)
        reasons = refusals(design)
        if reasons:
            return Verdict("refused", False, False, "\n".join(reasons))
        samples = self._reference_samples(problem) if problem.rule.kind == MISMATCHES else None
        return self._try(problem, design, samples)

    def _reference_samples(self, problem: Problem) -> int | None:
        """How many samples the testbench takes of the reference: one that ends the simulation early gets fewer."""
        if problem.name not in self._samples:
            found = self._try(problem, clean(problem.reference), None)
            self._samples[problem.name] = problem.rule.samples(found.report)
        return self._samples[problem.name]

    def _try(self, problem: Problem, design: str, samples: int | None) -> Verdict:
        iverilog, vvp = find("iverilog"), find("vvp")
        bench, mark = signed(problem)
        with workspace({"design.v": design, "testbench.v": bench.text, **problem.files}) as folder:
            command = [iverilog.path, "-g2012", "-s", bench.top, "-o", "simulation.vvp", "testbench.v", "design.v"]
            compiled = run_tool(command, folder, self.compiling, iverilog.readable)
            spent = compiled.seconds
            if not compiled.ok:
                # What compiles under the testbench's secret names needs nothing from it, and compiles alone as well.
                alone = run_tool(
                    [iverilog.path, "-g2012", "-tnull", "design.v"], folder, self.compiling, iverilog.readable
                )
                said = compiled if alone.ok else alone
                report = bench.unnamed(_explained(said))
                stage = "compile" if alone.ok else "syntax"
                return Verdict(stage, alone.ok, False, report, None, spent + alone.seconds)
            # The design must not be able to read the testbench while it runs.
            (folder / "testbench.v").unlink()
            (folder / "design.v").unlink()
            limits = Limits(seconds=problem.seconds)
            simulated = run_tool([vvp.path, "-n", "simulation.vvp"], folder, limits, vvp.readable)
        spent += simulated.seconds
        printed = spoken(simulated.stdout, mark)
        found = Verdict("function", True, True, printed, None, spent)
        if simulated.timed_out or simulated.overflowed:
            limit = f"{problem.seconds:g} s" if simulated.timed_out else "the output limit"
            return replace(found, stage="timeout", report=f"{printed}\nThe simulation did not end within {limit}.")
        if not printed.strip():
            report = "The simulation ended before the testbench reported anything.\n" + bench.unnamed(simulated.stderr)
            return replace(found, report=report)
        return replace(found, stage="passed" if problem.rule.holds(printed, samples) else "function")


@dataclass(frozen=True)
class SignedBench:
    """A testbench (and golden model) under secret names, and the way back for messages."""

    text: str
    top: str
    original: dict[str, str]

    def unnamed(self, message: str) -> str:
        for secret, name in self.original.items():
            message = message.replace(secret, name)
        return message


def signed(problem: Problem) -> tuple[SignedBench, str]:
    """The testbench with its modules renamed and its prints signed, and the mark it signs with."""
    text = clean(problem.testbench + ("\n" + problem.golden if problem.golden else ""))
    tops = roots(clean(problem.testbench))
    mark, suffix = f"<{secrets.token_hex(8)}>", f"_{secrets.token_hex(6)}"
    new_names = {name: name + suffix for name in names(text) if name != problem.top}
    text = rename(_sign(text, mark), new_names)
    # The testbench is the last root: files often put helpers such as stimulus generators before it.
    top = new_names[tops[-1]] if tops else ""
    return SignedBench(text, top, {secret: name for name, secret in new_names.items()}), mark


def spoken(output: str, mark: str) -> str:
    """The lines of an output that carry the mark, from the mark on, without it."""
    lines = [line[line.index(mark) :].replace(mark, "") for line in output.splitlines() if mark in line]
    return "\n".join(lines)


def _sign(text: str, mark: str) -> str:
    """Put the mark at the start of whatever $display, $write, $monitor and $strobe print."""
    pieces, last = [], 0
    listed = tokens(text)
    for index, token in enumerate(listed[:-2]):
        if (
            token.kind != "SystemIdentifier"
            or not PRINTING.match(token.text)
            or listed[index + 1].kind != "OpenParenthesis"
        ):
            continue
        argument = listed[index + 2]
        if argument.kind == "StringLiteral":
            pieces += [text[last : argument.start + 1], mark]
            last = argument.start + 1
        else:
            comma = "" if argument.kind == "CloseParenthesis" else ", "
            pieces += [text[last : argument.start], f'"{mark}"{comma}']
            last = argument.start
    return "".join(pieces) + text[last:]


def _explained(compiled: Finished) -> str:
    if compiled.timed_out:
        return compiled.output + f"\nThe compiler did not end within {compiled.seconds:.0f} s."
    return compiled.output
