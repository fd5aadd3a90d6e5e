"""Counting a program before it is run: operations by level, and the rotations that keys are wanted for."""

from __future__ import annotations

from effml.models.encrypted.evaluate import evaluate
from effml.models.encrypted.program import Program
from effml.models.encrypted.simulator import Counter


def count(program: Program) -> Counter:
    """The counter after one inference in one process."""
    counter = Counter(program.parameters, program.paired)
    groups = program.layout.groups(program.network.width)
    evaluate(program, counter, [[counter.fresh() for _ in range(groups)] for _ in program.inputs])
    return counter
