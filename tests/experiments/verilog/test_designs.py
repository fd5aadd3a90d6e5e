"""The bundled designs: enough of them, right, and with testbenches that notice most faults."""

import numpy as np
import pytest

from effml.experiments.data import registry
from effml.models.rtl.mutate import faults
from effml.models.rtl.source import names
from effml.models.rtl.tools import have
from effml.models.rtl.verdict import Judge

pytestmark = [pytest.mark.tools, pytest.mark.skipif(not have("iverilog", "vvp"), reason="needs iverilog")]

WEAK = "carry_add"  # its eight vectors are weak on purpose


@pytest.fixture(scope="module")
def problems():
    return registry.load("small-designs").value


def test_there_are_enough_and_each_is_whole(problems):
    assert len(problems) >= 10
    for problem in problems:
        assert problem.top == problem.name and problem.top in names(problem.reference)
        assert f"Module name: {problem.top}" in problem.specification
    assert sum(bool(problem.rewrites) for problem in problems) >= 4


def test_references_pass_and_a_fault_is_noticed(problems, seed):
    judge, rng, missed = Judge(), np.random.default_rng(seed), []
    for problem in problems:
        assert judge.verdict(problem, problem.reference).passes, problem.name
        if problem.name == WEAK:
            continue
        edits = [edit for edit in faults(problem.reference) if not edit.what[0].isdigit()]
        edit = edits[int(rng.integers(len(edits)))]
        if judge.verdict(problem, edit.apply(problem.reference)).passes:
            missed.append(f"{problem.name}: {edit.what} at {edit.start}")
    assert len(missed) <= 3, missed
