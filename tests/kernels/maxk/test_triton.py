"""The Triton kernels of MaxK without a GPU: interpreted, and compiled for sm_80 and sm_90; with one, run for real."""

from pathlib import Path

import pytest
import torch

from effml.kernels.maxk import maxk, reference, spgemm, sspmm
from tests.kernels.maxk.graphs import heavy_tailed
from tests.triton_aot import CAPABILITIES, check_interpreted, compile_for, interpreted_tests

pytest.importorskip("triton")
INTERPRETED = Path(__file__).with_name("interpreted_maxk.py")


@pytest.mark.parametrize("name", interpreted_tests(INTERPRETED))
def test_interpreted(name):
    check_interpreted(INTERPRETED, name)


GRAPH = {"row_ptr": "*i32", "start_ptr": "*i64", "length_ptr": "*i32", "indices_ptr": "*i32", "weights_ptr": "*fp32"}
SIZES = {"weight_stride": "i32", "columns": "i32", "k": "i32"}


@pytest.mark.parametrize(
    ("dtype", "index", "capability"),
    [("*fp32", "*u8", 80), ("*fp32", "*u8", 90), ("*fp16", "*i16", 80), ("*bf16", "*i16", 90)],
)
class TestCompiled:
    def test_selection(self, dtype, index, capability):
        from effml.kernels.maxk.triton_kernels import select_kernel

        signature = {"x_ptr": dtype, "values_ptr": dtype, "index_ptr": index}
        signature |= dict.fromkeys(("rows", "columns", "k", "row_stride"), "i32")
        columns = {"*u8": 256, "*i16": 1024}[index]
        info = compile_for(select_kernel, signature, {"ROWS": 2048 // columns, "COLUMNS": columns}, capability)
        assert info.n_spills == 0

    def test_forward(self, dtype, index, capability):
        from effml.kernels.maxk.triton_kernels import spgemm_kernel

        signature = GRAPH | SIZES | {"indptr_ptr": "*i64", "values_ptr": dtype, "mask_ptr": "*i32", "before_ptr": index}
        signature |= {"out_ptr": "*fp32"}
        constants = {"GROUP": 64, "ALL_WORDS": 8 if index == "*u8" else 12, "WORDS": 8, "UNROLL": 4}
        info = compile_for(spgemm_kernel, signature, constants, capability, num_warps=1)
        assert info.n_spills == 0 and info.shared_bytes == 0
        assert "popc.b32" in info.ptx, "ranks should be one instruction, not twelve"
        assert info.ptx.count("atom.") + info.ptx.count("red.") > 0

    def test_backward(self, dtype, index, capability):
        from effml.kernels.maxk.triton_kernels import sspmm_kernel

        signature = GRAPH | SIZES | {"grad_ptr": dtype, "index_ptr": index, "out_ptr": "*fp32"}
        for k in (8, 32, 256):
            constants = {"K": k, "EDGES": 256 // k}
            info = compile_for(sspmm_kernel, signature, constants, capability, num_warps=1)
            assert info.n_spills == 0


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_small_kernels_compile_without_spills(capability):
    from effml.kernels.maxk.triton_kernels import mask_kernel, move_kernel

    signature = {"index_ptr": "*u8", "mask_ptr": "*i32", "before_ptr": "*u8", "k": "i32", "words": "i32"}
    assert compile_for(mask_kernel, signature, {"K": 32, "WORDS": 8}, capability, num_warps=1).n_spills == 0
    signature = {"values_ptr": "*fp32", "dense_ptr": "*fp32", "index_ptr": "*u8"}
    signature |= {"count": "i64", "columns": "i32", "k": "i32"}
    for to_dense in (True, False):
        info = compile_for(move_kernel, signature, {"TO_DENSE": to_dense, "BLOCK": 1024}, capability)
        assert info.n_spills == 0


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("columns", "k"), [(256, 1), (256, 8), (256, 32), (256, 256), (384, 96), (100, 17)])
def test_on_the_gpu_equals_float64(dtype, columns, k):
    adj = heavy_tailed(3000).to("cuda")
    x = torch.randn(3000, columns, device="cuda").to(dtype)
    kept = maxk(x, k)
    values, index = reference.select(x, k)
    assert torch.equal(kept.values, values) and torch.equal(kept.index, index)
    assert torch.equal(kept.to_dense(), reference.unpack(values, index, columns))
    grad = torch.randn(3000, columns, device="cuda").to(dtype)
    tolerance = max(1e-5, 2 * torch.finfo(dtype).eps)
    for found, form, operand in (
        (spgemm(adj, kept), lambda v: reference.spgemm(adj, v, index, columns), values),
        (sspmm(adj, grad, index), lambda g: reference.sspmm(adj, g, index), grad),
    ):
        exact, scale = form(operand.double()), form(operand.double().abs())
        assert float(((found.double() - exact).abs() / scale.clamp(min=1e-30)).max()) < tolerance
