"""The Triton programs without a GPU: interpreted, and compiled for sm_80 and sm_90."""

from pathlib import Path

import pytest
import torch

from tests.kernels.retention.cases import NAMES, decays, problem, relative_error, solve
from tests.triton_aot import check_interpreted, compile_for, interpreted_tests

pytest.importorskip("triton")
INTERPRETED = Path(__file__).with_name("interpreted_retention.py")
PROGRAMS = ("forward_states", "forward_output", "backward_states", "backward_qk", "backward_v")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SHARED_LIMIT = {80: 163 * 1024, 90: 227 * 1024}  # bytes a block may use, CUDA programming guide, table of capabilities


@pytest.mark.parametrize("name", interpreted_tests(INTERPRETED))
def test_interpreted(name):
    check_interpreted(INTERPRETED, name)


def compiled(program: str, dtype: str, K: int, V: int, chunk: int, capability: int, packed: bool = False):
    from effml.kernels.retention import gpu, triton_kernels

    fn = getattr(triton_kernels, program)
    backward = program.startswith("backward")
    chunk = gpu.rows(chunk, DTYPES[dtype], backward)
    tile = gpu.tiles(program, K, V, chunk, DTYPES[dtype])
    constants = {
        "H": 8, "K": K, "V": V, "C": chunk, "BK": tile.BK, "BV": tile.BV, "PACKED": packed, "INITIAL": True,
        "FINAL": True, "HALF": dtype == "fp16", "PRECISION": "ieee",
    }  # fmt: skip
    tables = ("cu_seqlens", "cu_chunks", "chunk_sequence")
    wide = (
        "initial",
        "states",
        "final",
        "grad_final",
        "grad_states",
        "grad_initial",
        "state",
        "log2_gamma",
        "log_gamma",
    )
    types = {"scale": "fp32", "length": "i32", "tokens": "i32", "chunks": "i32"}
    types |= {name: "*fp32" for name in wide}
    if packed:
        types |= {name: "*i64" for name in tables}
    else:
        constants |= {name: None for name in tables}
    types |= {name: f"*{dtype}" for name in fn.arg_names if name not in types}
    constants = {name: value for name, value in constants.items() if name in fn.arg_names}
    return compile_for(fn, types, constants, capability, tile.num_warps, tile.num_stages)


def check(info, capability, dtype, chunk):
    assert info.n_spills == 0
    assert info.shared_bytes <= SHARED_LIMIT[capability]
    if dtype != "fp32":
        # A warp group's instruction takes 64 rows; where there are fewer, the older one may serve.
        wgmma, mma = "wgmma.mma_async" in info.ptx, "mma.sync" in info.ptx
        assert mma if capability == 80 else (wgmma if chunk >= 64 else wgmma or mma), "no tensor cores"
    assert "ld.global.v4" in info.ptx or "cp.async" in info.ptx, "loads are not 16 bytes wide"


@pytest.mark.parametrize("capability", SHARED_LIMIT)
@pytest.mark.parametrize("program", PROGRAMS)
def test_compiles_without_spills(program, capability):
    check(compiled(program, "bf16", 128, 256, 64, capability), capability, "bf16", 64)


@pytest.mark.slow
@pytest.mark.parametrize("capability", SHARED_LIMIT)
@pytest.mark.parametrize("dtype,K,V,chunk,packed", [
    ("fp32", 128, 256, 64, False), ("fp32", 64, 64, 128, False), ("fp32", 256, 256, 16, False),
    ("fp16", 128, 256, 64, False), ("fp16", 256, 256, 128, False), ("bf16", 256, 256, 128, False),
    ("bf16", 64, 64, 32, False), ("bf16", 32, 16, 16, False), ("bf16", 128, 256, 64, True),
])  # fmt: skip
@pytest.mark.parametrize("program", PROGRAMS)
def test_compiles_without_spills_in_every_shape(program, dtype, K, V, chunk, packed, capability):
    check(compiled(program, dtype, K, V, chunk, capability, packed), capability, dtype, chunk)


@pytest.mark.parametrize("K,V", [(64, 128), (256, 256)])
def test_step_compiles_without_spills(K, V):
    from effml.kernels.retention import gpu, triton_kernels

    tile = gpu.tiles("step", K, V, 1, torch.bfloat16)
    types = {name: "*bf16" for name in "qkvo"} | {"state": "*fp32", "log_gamma": "*fp32", "scale": "fp32"}
    constants = {"H": 8, "K": K, "V": V, "BK": tile.BK, "BV": tile.BV}
    info = compile_for(triton_kernels.step, types, constants, 90, tile.num_warps, tile.num_stages)
    assert info.n_spills == 0 and "st.global.v4" in info.ptx


@pytest.mark.gpu
@pytest.mark.parametrize("dtype,bound", [(torch.float32, 1e-6), (torch.float16, 1e-3), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize("shape,chunk,bounds", [
    ((2, 1000, 4, 96, 192), 64, None), ((2, 1000, 4, 96, 192), 128, None), ((4, 513, 2, 64, 64), 32, None),
    ((1, 2048, 8, 256, 256), 64, None), ((1, 1500, 4, 128, 256), 64, [0, 1, 700, 700, 1500]),
])  # fmt: skip
def test_on_a_gpu(shape, chunk, bounds, dtype, bound):
    inputs, gradients = problem(*shape, dtype, bounds=bounds)
    log_gamma = decays(shape[2])
    expected = solve(inputs, gradients, log_gamma, dtype=torch.float64, bounds=bounds, backend="chunk")
    inputs, gradients = [x.cuda() for x in inputs], [x.cuda() for x in gradients]
    got = solve(inputs, gradients, log_gamma.cuda(), bounds=bounds, backend="triton", chunk=chunk)
    again = solve(inputs, gradients, log_gamma.cuda(), bounds=bounds, backend="triton", chunk=chunk)
    for name in NAMES:
        assert relative_error(got[name].cpu(), expected[name]) < bound, name
        assert torch.equal(got[name], again[name]), name
