"""Verdicts on rewrites: proven, bounded, different, another specification; never more than was shown."""

import pytest

from effml.models.rtl.equivalence import BOUNDED, DIFFERENT, OTHER, PROVEN, compare
from effml.models.rtl.tools import have
from tests.models.rtl.small import ADDER, COUNTER

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(not have("iverilog", "vvp", "yosys"), reason="needs iverilog, yosys"),
]

TIMER = """module timer(input clk, input rst_n, input en, output reg done);
  reg [15:0] count;
  always @(posedge clk or negedge rst_n)
    if (!rst_n) begin count <= 16'd0; done <= 1'b0; end
    else begin if (en) count <= count + 16'd1; done <= (count == 16'hffff); end
endmodule
"""


def test_an_equal_combinational_design_is_proven():
    ripple = """module add4(input [3:0] a, input [3:0] b, output [4:0] s);
      wire [4:0] c = {(a & b) | ((a ^ b) & c[3:0]), 1'b0};
      assign s = {c[4], a ^ b ^ c[3:0]}; endmodule"""
    assert compare(ADDER, ripple, "add4").verdict == PROVEN


def test_a_rare_difference_is_found_by_the_solver():
    wide = ADDER.replace("[3:0]", "[31:0]").replace("[4:0]", "[32:0]")
    rare = wide.replace("a + b", "a + b + (a == 32'hdeadbeef && b == 32'h12345678)")  # one pair in 2^64
    found = compare(wide, rare, "add4")
    assert found.verdict == DIFFERENT and "solver" in found.detail


def test_an_equal_sequential_design_is_proven_by_induction():
    found = compare(COUNTER, COUNTER.replace("q + 4'd1", "4'd1 + q"), "count4")
    assert found.verdict == PROVEN and "induction" in found.detail


def test_registers_that_start_apart_are_not_proven_equal():
    """Both timers are silent for 65,535 cycles: only the bound may be claimed, for induction assumes equal registers."""
    later = TIMER.replace("count <= 16'd0", "count <= 16'd1")
    found = compare(TIMER, later, "timer")
    assert (found.verdict, found.cycles) == (BOUNDED, 12)
    assert str(found) == "BOUNDED (12 cycles)"


def test_another_encoding_is_bounded():
    down = (
        TIMER.replace("16'd0", "16'hffff").replace("count + 16'd1", "count - 16'd1").replace("== 16'hffff", "== 16'd0")
    )
    assert compare(TIMER, down, "timer").verdict == BOUNDED


def test_a_wrong_counter_is_different():
    found = compare(COUNTER, COUNTER.replace("q + 4'd1", "q + 4'd3"), "count4")
    assert found.verdict == DIFFERENT and "expected" in found.detail


@pytest.mark.parametrize(
    "change, word",
    [
        (("output [4:0] s", "output [4:0] s, output x"), "port x was added"),
        (("output [4:0] s", "output [5:0] s"), "port s is output of 6 bits, was output of 5 bits"),
        (("module add4", "module add5"), "no top module 'add4'"),
    ],
)
def test_another_interface_is_another_specification(change, word):
    found = compare(ADDER, ADDER.replace(*change), "add4")
    assert found.verdict == OTHER and word in found.detail and not found.same


def test_another_latency_is_another_specification():
    one = """module add4(input clk, input [3:0] a, input [3:0] b, output reg [4:0] s);
      always @(posedge clk) s <= a + b; endmodule"""
    two = """module add4(input clk, input [3:0] a, input [3:0] b, output reg [4:0] s);
      reg [4:0] t; always @(posedge clk) begin t <= a + b; s <= t; end endmodule"""
    found = compare(one, two, "add4")
    assert found.verdict == OTHER and "1 clock cycle" in found.detail
