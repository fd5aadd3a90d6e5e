"""Random waves: right designs agree, wrong and late ones do not, undefined bits are free."""

import numpy as np
import pytest

from effml.models.rtl.differential import Differential, waves
from effml.models.rtl.interface import interface_of
from effml.models.rtl.tools import have
from tests.models.rtl.small import ADDER, COUNTER

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(not have("iverilog", "vvp", "yosys"), reason="needs iverilog, yosys"),
]


def against(reference: str, top: str, **options) -> Differential:
    return Differential(reference, top, interface_of(reference, top), **options)


def test_roles_of_inputs_are_read_from_the_netlist():
    odd = (
        COUNTER.replace("clk", "tempo")
        .replace("rst_n", "quiet")
        .replace("en)", "en_)")
        .replace("input en,", "input en_,")
    )
    found = interface_of(odd, "count4")
    assert (found.clocks, found.resets, found.registers, found.source) == (("tempo",), (("quiet", 0),), 4, "netlist")


def test_synchronous_and_asynchronous_resets_are_the_same_here():
    synchronous = COUNTER.replace(" or negedge rst_n", "")
    found = against(COUNTER, "count4").compare(synchronous)
    assert found.kind == "equal" and found.compared > 4000


def test_few_inputs_are_all_tried():
    wave = waves(interface_of(ADDER, "add4"), 10, np.random.default_rng(0))
    assert len(set(wave.steps)) == 256
    corner = ADDER.replace("a + b", "(a == 15 && b == 13) ? 0 : a + b")  # wrong for one pair in 256
    found = against(ADDER, "add4").compare(corner)
    assert found.kind == "different" and "a=1111 b=1101: s is 00000, expected 11100" in found.detail


def test_what_the_reference_leaves_undefined_is_free():
    loose = ADDER.replace("a + b", "a[3] ? 5'bx : a + b")
    assert against(loose, "add4").compare(ADDER).kind == "equal"
    assert against(ADDER, "add4").compare(loose).kind == "different"


def test_another_latency_is_told_from_another_function():
    late = """module count4(input clk, input rst_n, input en, output reg [3:0] q);
      reg [3:0] inner;
      always @(posedge clk or negedge rst_n)
        if (!rst_n) begin inner <= 0; q <= 0; end else begin inner <= en ? inner + 4'd1 : inner; q <= inner; end
    endmodule"""
    found = against(COUNTER, "count4").compare(late)
    assert (found.kind, found.delay) == ("delayed", 1)


def test_a_design_that_ends_the_simulation_does_not_agree():
    quitter = COUNTER.replace("endmodule", "initial #500 $finish; endmodule")
    found = against(COUNTER, "count4").compare(quitter)
    assert found.kind == "different" and "ended after" in found.detail


def test_a_design_that_prints_lines_changes_nothing():
    noisy = ADDER.replace("endmodule", 'always @* $display("00000"); endmodule')
    assert against(ADDER, "add4").compare(noisy).kind == "equal"


def test_waves_depend_on_the_seed_alone():
    ports = interface_of(COUNTER, "count4")
    first, second, other = (waves(ports, 200, np.random.default_rng(s)).steps for s in (1, 1, 2))
    assert first == second != other
