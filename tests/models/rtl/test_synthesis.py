"""Netlists, libraries and figures: units read, scripts fixed, gains measured, no gain shown as none."""

import gzip

import pytest

from effml.experiments.data import registry
from effml.models.rtl import liberty
from effml.models.rtl.ppa import NotSynthesisable, measure, script_for
from effml.models.rtl.synthesis import synthesise
from effml.models.rtl.timing import estimate
from effml.models.rtl.tools import have
from tests.models.rtl.small import ADDER, COUNTER

pytestmark = [pytest.mark.tools, pytest.mark.skipif(not have("yosys"), reason="needs yosys")]
needs_sta = pytest.mark.skipif(not have("sta"), reason="needs opensta")

PART = """library (PART) {{
  time_unit : "{time}"; voltage_unit : "1V"; leakage_power_unit : "1nW"; capacitive_load_unit (1, ff);
  lu_table_template (t) {{ variable_1 : input_net_transition; index_1 ("1, 2"); }}
  cell ({cell}) {{ area : 1.0; /* }} */ pin (A) {{ direction : input; }} {extra} }}
}}
"""


@pytest.fixture(scope="module")
def ihp(tmp_path_factory):
    return liberty.read(registry.load("ihp-sg13g2").value.paths, tmp_path_factory.mktemp("ihp"))


def designs():
    return {problem.name: problem for problem in registry.load("small-designs").value}


def test_parts_of_a_library_are_joined_and_units_read(tmp_path):
    ff = 'ff (IQ, IQN) { clocked_on : "!CLK"; next_state : "D"; }'
    (tmp_path / "a.lib").write_text(PART.format(time="1ps", cell="NAND", extra=""))
    (tmp_path / "b.lib.gz").write_bytes(gzip.compress(PART.format(time="1ps", cell="DFF", extra=ff).encode()))
    found = liberty.read([tmp_path / "a.lib", tmp_path / "b.lib.gz"], tmp_path)
    assert (found.time, found.capacitance, found.leakage) == (1e-12, 1e-15, 1e-9)
    assert found.cells == {"NAND", "DFF"} and found.registers == {"DFF": "CLK"}
    text = found.path.read_text()
    assert text.count("lu_table_template") == 1 and text.count("cell (") == 2


def test_parts_with_other_units_are_not_joined(tmp_path):
    for name, time in (("a", "1ps"), ("b", "1ns")):
        (tmp_path / f"{name}.lib").write_text(PART.format(time=time, cell=name, extra=""))
    with pytest.raises(ValueError, match="different units"):
        liberty.read([tmp_path / "a.lib", tmp_path / "b.lib"], tmp_path)


def test_generic_gates_are_counted_without_a_library():
    counter = synthesise(COUNTER, "count4")
    assert counter.registers == 4 and counter.clocks == ("clk",) and 0 < counter.depth < 8
    assert measure(ADDER, "add4", None)["generic"].area == synthesise(ADDER, "add4").cells


def test_a_shared_adder_is_smaller_and_exchanged_operands_are_not():
    problem = designs()["add_select"]
    before = measure(problem.reference, "add_select", None)["generic"].area
    assert measure(problem.rewrites["shared"], "add_select", None)["generic"].area < 0.85 * before
    assert measure(problem.rewrites["exchanged"], "add_select", None)["generic"].area == before


def test_what_cannot_be_hardware_is_said_so():
    with pytest.raises(NotSynthesisable, match="ERROR"):
        synthesise("module m(input a, output reg b); always @(posedge a or negedge a) b <= a; endmodule", "m")
    with pytest.raises(NotSynthesisable, match="nothing is left"):
        synthesise("module m(input a, output b); assign b = a; endmodule", "m")


@pytest.mark.realdata
@needs_sta
def test_figures_of_an_adder_in_two_scripts(ihp):
    """The 32-bit ripple adder: 1752 um2 and 4.45 ns by the area script, 2589 um2 and 1.21 ns by the speed script."""
    adder = next(problem for problem in registry.load("rtllm").value if problem.name == "adder_32bit")
    assert (ihp.time, ihp.capacitance) == (1e-9, 1e-12)
    figures = measure(adder.reference, adder.top, ihp)
    area, speed = figures["area"], figures["speed"]
    assert area.area == pytest.approx(1752.5, rel=0.02) and area.delay == pytest.approx(4448, rel=0.02)
    assert speed.area == pytest.approx(2589, rel=0.02) and speed.delay == pytest.approx(1214, rel=0.02)
    assert area.power is not None and 1 < area.power < 1000
    assert (
        script_for("delay", ihp) == "speed"
        and script_for("area", ihp) == "area"
        and script_for("area", None) == "generic"
    )


@pytest.mark.realdata
@needs_sta
def test_a_netlist_mapped_out_of_order_is_buffered_all_the_same(ihp):
    """The arbiter's, on which ABC 1.01 crashes unless it sorts the netlist first."""
    arbiter = designs()["round_robin"]
    figures = measure(arbiter.reference, arbiter.top, ihp)
    assert figures["speed"].registers == figures["area"].registers == 6
    assert figures["speed"].delay < figures["area"].delay


@pytest.mark.realdata
@needs_sta
def test_registers_are_timed_from_clock_to_clock(ihp):
    netlist = synthesise(COUNTER, "count4", "area", ihp)
    assert netlist.registers == 4 and netlist.clocks == ("clk",)
    timed = estimate(netlist, "count4", ihp)
    assert timed.delay is not None and 1e-10 < timed.delay < 2e-9


@pytest.mark.realdata
@needs_sta
def test_a_library_in_parts_and_picoseconds_gives_figures_of_its_size(tmp_path):
    """ASAP7 (7 nm): some hundred times smaller than SG13G2; with its ps read as ns it would be 1000 times slower."""
    asap = liberty.read(registry.load("asap7").value.paths, tmp_path)
    assert asap.time == 1e-12 and len(asap.registers) > 5
    found = measure(COUNTER, "count4", asap, ["area"])["area"]
    assert 1 < found.area < 10 and 20 < found.delay < 500
