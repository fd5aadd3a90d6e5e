"""The two ways of checking a Triton kernel without a GPU do check it."""

from pathlib import Path

import pytest

from tests import triton_aot
from tests.triton_aot import check_interpreted, compile_for, interpreted_tests

pytest.importorskip("triton")
INTERPRETED = Path(__file__).with_name("interpreted_addition.py")
SIGNATURE = {"x_ptr": "*fp32", "y_ptr": "*fp32", "out_ptr": "*fp32", "n": "i32"}


@pytest.mark.parametrize("capability", triton_aot.CAPABILITIES)
def test_compiles_for_target_without_spills(capability):
    from tests.interpreted_addition import add_kernel

    aligned = ("x_ptr", "y_ptr", "out_ptr", "n")
    info = compile_for(add_kernel, SIGNATURE, {"BLOCK": 512}, capability, divisible_by_16=aligned)
    assert f".target sm_{capability}" in info.ptx and "add.f32" in info.ptx
    assert info.n_spills == 0 and info.shared_bytes == 0 and 0 < info.registers <= 255
    assert "ld.global.v4" in info.ptx, "what is aligned should be loaded 16 bytes at a time"


def test_reports_spills():
    from tests.interpreted_addition import add_kernel

    info = compile_for(add_kernel, SIGNATURE, {"BLOCK": 16384}, 90, num_warps=1)
    assert info.n_spills > 0, "16384 elements over 32 threads cannot fit in registers"


def test_argument_without_type_or_value_is_named():
    from tests.interpreted_addition import add_kernel

    with pytest.raises(ValueError, match="BLOCK"):
        compile_for(add_kernel, SIGNATURE)


@pytest.mark.parametrize("name", interpreted_tests(INTERPRETED))
def test_interpreted(name):
    check_interpreted(INTERPRETED, name)


def test_interpreted_failure_is_reported(tmp_path):
    path = tmp_path / "interpreted_wrong.py"
    path.write_text("def test_right():\n    pass\n\ndef test_wrong():\n    assert 1 + 1 == 3\n")
    assert interpreted_tests(path) == ["test_right", "test_wrong"]
    check_interpreted(path, "test_right")
    with pytest.raises(AssertionError, match="1 \\+ 1"):
        check_interpreted(path, "test_wrong")
    with pytest.raises(AssertionError, match="did not run"):
        check_interpreted(path, "test_absent")
