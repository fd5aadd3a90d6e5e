"""The Triton kernels without a GPU (interpreted, and compiled for sm_80 and sm_90), and on one where there is one."""

from pathlib import Path

import pytest
import torch

from tests.triton_aot import CAPABILITIES, check_interpreted, compile_for, interpreted_tests

pytest.importorskip("triton")
INTERPRETED = Path(__file__).with_name("interpreted_gated.py")
SIZES = {"batch": "i32", "sites": "i32", "rows": "i32"}


@pytest.mark.parametrize("name", interpreted_tests(INTERPRETED))
def test_interpreted(name):
    check_interpreted(INTERPRETED, name)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_compiles_without_spills(dtype, capability):
    from effml.kernels.gated import gpu

    data, aligned = f"*{dtype}", ("z", "table", "y", "grad", "grad_z", "sums", "sites")
    signature = {"z": data, "table": "*fp32", "y": data, **SIZES}
    forward = compile_for(
        gpu.forward_kernel, signature, {"BLOCK": gpu.BLOCK}, capability, divisible_by_16=("z", "table", "y", "sites")
    )
    signature = {"grad": data, "z": data, "table": "*fp32", "grad_z": data, "sums": "*fp32", **SIZES}
    backward = compile_for(
        gpu.backward_kernel,
        signature,
        {"BLOCK": gpu.BLOCK},
        capability,
        divisible_by_16=tuple(name for name in aligned if name != "y"),
    )
    for info in (forward, backward):
        assert info.n_spills == 0 and info.shared_bytes == 0
        assert "ld.global.v4" in info.ptx, "the table should be loaded 16 bytes at a time"
        assert "ld.global.v2" in info.ptx or dtype == "fp32", "half-precision data should be loaded 8 bytes at a time"


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_equals_cpu(dtype):
    from effml.kernels.gated import gated_polynomial

    results = []
    z, keep, coefficients = torch.randn(64, 16, 32, 32).to(dtype), torch.rand(16, 32, 32), torch.randn(3, 16, 1, 1)
    grad = torch.randn(64, 16, 32, 32).to(dtype)
    for device in ("cpu", "cuda"):
        inputs = [tensor.to(device).requires_grad_() for tensor in (z, keep, coefficients)]
        y = gated_polynomial(*inputs)
        results.append([tensor.cpu().float() for tensor in (y, *torch.autograd.grad(y, inputs, grad.to(device)))])
    for ours, right in zip(*results, strict=True):
        torch.testing.assert_close(ours, right, rtol=2e-2 if dtype == torch.bfloat16 else 1e-4, atol=1e-3)
