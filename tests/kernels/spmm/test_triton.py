"""The Triton programs without a GPU: interpreted, and compiled for sm_80 and sm_90; and for real where a GPU is."""

from pathlib import Path

import pytest
import torch

from effml.kernels import spmm
from tests.kernels.spmm.cases import TOLERANCE, heavy_tailed, scaled_error
from tests.triton_aot import CAPABILITIES, check_interpreted, compile_for, interpreted_tests

pytest.importorskip("triton")
INTERPRETED = Path(__file__).with_name("interpreted_spmm.py")


@pytest.mark.parametrize("name", interpreted_tests(INTERPRETED))
def test_interpreted(name):
    check_interpreted(INTERPRETED, name)


# One dtype for each target; the widest tile is the one that could spill.
@pytest.mark.parametrize(("capability", "dtype", "width"), [(80, "fp32", 128), (90, "bf16", 128), (90, "fp32", 16)])
def test_multiply_compiles_without_spills(capability, dtype, width):
    import triton.language as tl

    from effml.kernels.spmm import gpu, triton_kernels

    assert capability in CAPABILITIES
    shape = gpu.tile(width)
    types = {
        **{"x": f"*{dtype}", "out": f"*{dtype}", "values": "*fp32", "scratch": "*fp32"},
        **{name: "*i32" for name in ("indices", "blocks", "order")},
        **{"first_cut": "i32", "width": "i32", "x_stride": "i32"},
    }
    constants = {"WEIGHTED": True, "COLUMNS": shape.columns, "SLOTS": gpu.SLOTS, "SUM": tl.float32}
    pointers = ("x", "out", "values", "scratch", "indices", "blocks", "order", "width", "x_stride")
    info = compile_for(
        triton_kernels.multiply_kernel, types, constants, capability, shape.warps, divisible_by_16=pointers
    )
    assert info.n_spills == 0
    assert "ld.global.v4.b32" in info.ptx, "rows of x are read 16 bytes at a time"


@pytest.mark.parametrize("program", ["join_kernel", "sampled_kernel"])
def test_small_programs_compile_without_spills(program):
    import triton.language as tl

    from effml.kernels.spmm import triton_kernels

    fn = getattr(triton_kernels, program)
    integers = {"first_piece": "*i32", "cut_rows": "*i32", "order": "*i32", "indices": "*i32", "rows": "*i64"}
    types = {name: integers.get(name, "*fp32") for name in fn.arg_names} | {"width": "i32", "nnz": "i64"}
    constants = {"COLUMNS": 64, "NONZEROS": 32, "SUM": tl.float32}
    constants = {name: value for name, value in constants.items() if name in fn.arg_names}
    types = {name: kind for name, kind in types.items() if name in fn.arg_names and name not in constants}
    assert compile_for(fn, types, constants).n_spills == 0


@pytest.mark.gpu
@pytest.mark.parametrize("d", [1, 16, 33, 64, 128, 150, 200, 257])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_product_on_the_device_equals_float64(d, dtype):
    adj = heavy_tailed(3000, 2000, hub=100_000, weighted=d % 2 == 0, device="cuda")
    x = torch.randn(2000, d, dtype=dtype, device="cuda", requires_grad=True)
    y = spmm(adj, x)
    assert scaled_error(adj, x.detach(), y.detach()) <= TOLERANCE[dtype]
    g = torch.randn_like(y)
    (gradient,) = torch.autograd.grad(y, x, g)
    assert scaled_error(adj.transpose(), g, gradient) <= TOLERANCE[dtype]
