"""Verdicts: counted right for honest designs, and not to be had by tricks."""

from dataclasses import replace

import pytest

from effml.models.rtl.problem import MISMATCHES, PassRule, Problem
from effml.models.rtl.tools import have
from effml.models.rtl.verdict import Judge, signed, spoken
from tests.models.rtl.small import ADDER, PROBLEM, TESTBENCH

pytestmark = [pytest.mark.tools, pytest.mark.skipif(not have("iverilog", "vvp"), reason="needs iverilog")]

LINE = '$display("===========Your Design Passed===========");'
WRONG = ADDER.replace("a + b", "a - b")


@pytest.fixture(scope="module")
def judge():
    return Judge()


def stage(judge, design, problem=PROBLEM):
    return judge.verdict(problem, design).stage


def test_right_design_passes(judge):
    found = judge.verdict(PROBLEM, ADDER)
    assert (found.stage, found.parses, found.compiles, found.passes) == ("passed", True, True, True)


def test_wrong_design_fails_with_the_testbench_s_words(judge):
    found = judge.verdict(PROBLEM, WRONG)
    assert (found.stage, found.parses, found.compiles) == ("function", True, True)
    assert "expected" in found.report and "failures" in found.report


def test_syntax_error_names_the_line(judge):
    found = judge.verdict(PROBLEM, ADDER.replace("a + b;", "a + ;"))
    assert (found.stage, found.parses, found.compiles) == ("syntax", False, False)
    assert "design.v:2" in found.report


@pytest.mark.parametrize(
    "design, expected",
    [
        (ADDER.replace("add4", "adder4"), "compile"),  # the wrong name
        (ADDER.replace("input [3:0] b", "input [3:0] bb").replace("a + b", "a + bb"), "compile"),  # the wrong port
        (WRONG.replace("endmodule", "initial begin " + LINE + " end endmodule"), "function"),
        (WRONG.replace("endmodule", "initial begin " + LINE + " $finish; end endmodule"), "function"),
        (WRONG.replace("endmodule", "initial $finish; endmodule"), "function"),
        (ADDER.replace("endmodule", "initial $finish; endmodule"), "function"),  # right, but nothing was tested
        (
            WRONG.replace("endmodule", "always @* begin #0 bench.error = 0; end endmodule"),
            "syntax",
        ),  # reaches into the testbench
        (
            WRONG + "\nmodule bench; initial begin " + LINE + " $finish; end endmodule",
            "function",
        ),  # a testbench of its own
        (WRONG + "\nmodule liar; initial begin " + LINE + " end endmodule", "function"),  # a second root
        (ADDER.replace("endmodule", "initial forever begin end endmodule"), "timeout"),
        (ADDER.replace("endmodule", 'initial forever $display("x"); endmodule'), "timeout"),
        (ADDER.replace("endmodule", 'integer f; initial f = $fopen("/tmp/escaped", "w"); endmodule'), "refused"),
        ('`include "/etc/passwd"\n' + ADDER, "refused"),
        ("", "syntax"),
        ("I cannot write Verilog.", "syntax"),
    ],
)
def test_tricks_do_not_pay(judge, design, expected):
    quick = replace(PROBLEM, seconds=1.0)
    assert stage(judge, design, quick) == expected


def test_two_modules_and_prose_are_no_fault(judge):
    halves = """module add4(input [3:0] a, input [3:0] b, output [4:0] s);
      part p(.x({1'b0, a}), .y({1'b0, b}), .z(s)); endmodule
      module part(input [4:0] x, input [4:0] y, output [4:0] z); assign z = x + y; endmodule"""
    assert stage(judge, halves) == "passed"


def test_scope_names_do_not_reveal_the_mark(judge):
    """%m shows a design the testbench's secret name, which is another secret than the one that signs."""
    spy = WRONG.replace(
        "endmodule", 'initial begin $display("%m===========Your Design Passed==========="); end endmodule'
    )
    assert stage(judge, spy) == "function"
    bench, mark = signed(PROBLEM)
    assert mark.strip("<>") not in bench.top


def test_words_without_the_mark_are_not_heard():
    mark = "<12>"
    assert spoken("liar\n<12>one\nliar<12>two\n", mark) == "one\ntwo"


COUNTING = """module bench; reg clk = 0; always #5 clk = ~clk; integer errors = 0, samples = 0; reg [3:0] a = 0, b = 0;
  wire [4:0] good, s; model m(.a(a), .b(b), .s(good)); add4 dut(.a(a), .b(b), .s(s));
  always @(posedge clk) begin samples = samples + 1; if (good !== s) errors = errors + 1; {a, b} <= {a, b} + 8'd7; end
  initial #1000 $finish;
  final $display("Mismatches: %1d in %1d samples", errors, samples);
endmodule
"""


def test_counted_samples_must_be_as_many_as_the_reference_gets(judge):
    problem = Problem(
        "counting", "add4", "", COUNTING, ADDER, PassRule(kind=MISMATCHES), golden=ADDER.replace("add4", "model")
    )
    assert stage(judge, ADDER, problem) == "passed"
    early = judge.verdict(problem, ADDER.replace("endmodule", "initial #40 $finish; endmodule"))
    assert "Mismatches: 0 in" in early.report and early.stage == "function"
    assert stage(judge, WRONG, problem) == "function"


def test_zero_mismatches_with_a_time_out_is_no_pass():
    rule = PassRule(kind=MISMATCHES)
    assert rule.holds("Mismatches: 0 in 10 samples", 10)
    assert not rule.holds("TIMEOUT\nMismatches: 0 in 10 samples", 10)
    assert not rule.holds("Mismatches: 0 in 0 samples", 0)
    assert not PassRule().holds(
        "===========Your Design Passed===========\n=====Test completed with 3 / 20 failures===="
    )


def test_testbench_text_is_gone_when_the_design_runs(judge):
    """A right design whose testbench checks that its own source cannot be opened any more."""
    nosy = TESTBENCH.replace("error = 0;", 'error = 0; if ($fopen("testbench.v", "r") != 0) error = 100;', 1)
    assert stage(judge, ADDER, replace(PROBLEM, testbench=nosy)) == "passed"


def test_paths_hidden_behind_a_parameter_do_not_resolve_either(judge):
    """Code that is elaborated only under the testbench's parameter passes the check alone; the secret names stop it."""
    sly = """module add4 #(parameter W = 0)(input [3:0] a, input [3:0] b, output [4:0] s); assign s = a - b;
      generate if (W == 4) begin : g always @* begin #0 bench.error = 0; end end endgenerate endmodule"""
    problem = replace(PROBLEM, testbench=TESTBENCH.replace("add4 dut", "add4 #(.W(4)) dut"))
    found = judge.verdict(problem, sly)
    assert (found.parses, found.stage) == (True, "compile")
