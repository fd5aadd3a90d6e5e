"""Problems from the raw texts of the public benchmarks, and what is known to go wrong with their own references.

Knows the benchmarks' conventions, not where their files lie. RTLLM 2.0 (Lu et al., arXiv 2308.05345; MIT) names its
references `verified_*` and sometimes otherwise than its testbenches do; VerilogEval 2 (Pinckney et al., arXiv
2408.11053; MIT) instantiates RefModule and TopModule side by side and counts mismatches.
"""

from __future__ import annotations

from collections.abc import Mapping

from effml.models.rtl.problem import MISMATCHES, PassRule, Problem
from effml.models.rtl.source import clean, instantiated, names, rename, roots

RTLLM_ANSWER_NAMES = {"calender": "calendar"}
"""Spellings of the recorded answers' files, and the design meant."""


FAILING_REFERENCES = {
    "asyn_fifo": "the testbench uses `break`, which Icarus Verilog 11 does not have",
    "ring_counter": "the testbench assigns a whole array at its declaration, which Icarus Verilog 11 does not have",
    "clkgenerator": "the testbench samples the clock in the very instants in which it toggles; the order is the simulator's",
    "radix2_div": "the testbench changes inputs at the clock edge after the first result; the order is the simulator's",
    "Prob099_m2014_q6c": "the reference's ports are not those that the testbench connects",
    "Prob151_review2015_fsm": "the reference casts to an enumeration, which Icarus Verilog 11 does not have",
    "Prob156_review2015_fancytimer": "the reference casts to an enumeration, which Icarus Verilog 11 does not have",
    "Prob082_lfsr32": "the testbench's stimulus outlasts its own time limit, so it prints TIMEOUT",
    "Prob141_count_clock": "the testbench's stimulus outlasts its own time limit, so it prints TIMEOUT",
}
"""Why references fail their own testbench under Icarus Verilog 11: nothing that a design could mend."""


def rtllm(
    name: str, specification: str, testbench: str, reference: str, files: Mapping[str, bytes], group: str = ""
) -> Problem:
    """One design of RTLLM. The module under test is the one that the testbench instantiates and does not define.

    Raises:
        ValueError: testbench or reference have more than one candidate for it.
    """
    testbench, reference = clean(testbench), clean(reference)
    wanted, tops = instantiated(testbench), roots(reference)
    if len(wanted) != 1 or len(tops) != 1:
        raise ValueError(f"{name}: the testbench instantiates {wanted}, the reference's top modules are {tops}")
    plain = {module: module.removeprefix("verified_") for module in names(reference)}
    reference = rename(reference, {**plain, tops[0]: wanted[0]})
    return Problem(name, wanted[0], specification, testbench, reference, PassRule(), dict(files), group=group)


def verilog_eval(name: str, specification: str, testbench: str, reference: str) -> Problem:
    """One problem of VerilogEval 2: the reference is both the golden model beside the design and the right answer."""
    reference = clean(reference)
    return Problem(
        name,
        "TopModule",
        specification,
        clean(testbench),
        rename(reference, {"RefModule": "TopModule"}),
        PassRule(kind=MISMATCHES),
        golden=reference,
        seconds=30.0,
    )
