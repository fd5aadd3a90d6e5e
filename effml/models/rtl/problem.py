"""A design to be written: its specification, its testbench, a reference, and the rule by which the testbench says "passed".

Knows no benchmark's folder layout (the data loaders do) and runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

LINE, MISMATCHES = "line", "mismatches"
MISMATCH_LINE = re.compile(r"^Mismatches: (\d+) in (\d+) samples\s*$", flags=re.MULTILINE)


@dataclass(frozen=True)
class PassRule:
    """How a testbench's output is read.

    Args:
        kind: "line": a pass line is printed and no failure; "mismatches": `Mismatches: 0 in N samples` with the N that
            the reference gets, and no TIMEOUT.
        passed: the pass line, a regular expression that a whole line matches.
        failed: anything that contradicts it.
    """

    kind: str = LINE
    passed: str = r"=+ ?Your Design Passed ?=+"
    failed: str = r"(?i)\bTIMEOUT\b|\bDesign Failed\b|Test completed with\s+[1-9]"

    def samples(self, output: str) -> int | None:
        """N of the `mismatches` rule's line."""
        match = MISMATCH_LINE.search(output)
        return int(match.group(2)) if match else None

    def holds(self, output: str, samples: int | None = None) -> bool:
        """Whether this output of the testbench says that the design passed.

        Args:
            output: lines that the testbench itself printed.
            samples: how many samples the reference gets, for the `mismatches` rule.
        """
        if re.search(self.failed, output):
            return False
        if self.kind == MISMATCHES:
            match = MISMATCH_LINE.search(output)
            found = (int(match.group(1)), int(match.group(2))) if match else None
            return samples is not None and samples > 0 and found == (0, samples)
        return any(re.fullmatch(self.passed, line.strip()) for line in output.splitlines())


@dataclass(frozen=True)
class Problem:
    """One design of a benchmark.

    Args:
        name: unique within the benchmark.
        top: the module that the testbench instantiates.
        specification: what a model is told, interface included.
        testbench: Verilog; prints its verdict as `rule` says.
        reference: a right design, its top module named `top`.
        rule: how to read the testbench.
        files: data files that the testbench reads, by plain name.
        golden: Verilog that the testbench instantiates beside the design (a reference model under another name).
        rewrites: other texts of the design, by name; whether they are right is for the tools to say.
        group: a category, for tables.
        seconds: wall clock that a simulation may take before it counts as endless.
    """

    name: str
    top: str
    specification: str
    testbench: str
    reference: str
    rule: PassRule = field(default_factory=PassRule)
    files: Mapping[str, bytes] = field(default_factory=dict)
    golden: str = ""
    rewrites: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    seconds: float = 5.0
