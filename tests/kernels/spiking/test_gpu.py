"""The Triton kernels of the reversible node without a GPU (interpreted, compiled ahead of time), and on one."""

from pathlib import Path

import pytest
import torch

from effml.kernels.spiking import MODES, Rule, revlif
from tests.triton_aot import CAPABILITIES, check_interpreted, compile_for, interpreted_tests

pytest.importorskip("triton")
INTERPRETED = Path(__file__).with_name("interpreted_revlif.py")
SCALARS = {name: "i32" for name in ("steps", "pairs", "half", "width", "segment")}
ALIGNED = ("pairs", "half", "width")
COMMON = {"K": 0.5, "THRESHOLD": 1.0, "ANCHOR_EVERY": 8, "HAS_STATE": True}


@pytest.mark.parametrize("name", interpreted_tests(INTERPRETED))
def test_interpreted(name):
    check_interpreted(INTERPRETED, name)


def compiled(kernel, mode, capability, real="fp32", **constexprs):
    from effml.kernels.spiking import gpu

    block = gpu.FORWARD_BLOCK if kernel is gpu.forward_kernel else gpu.BACKWARD_BLOCK
    constexprs = {**COMMON, **constexprs, "MODE": gpu._MODE[mode], "BLOCK": block}
    names = [name for name in kernel.arg_names if name not in constexprs]
    signature = {name: SCALARS.get(name, "*u8" if name == "bits_ptr" else f"*{real}") for name in names}
    aligned = tuple(name for name in names if signature[name].startswith("*") or name in ALIGNED)
    return compile_for(kernel, signature, constexprs, capability, gpu.WARPS, divisible_by_16=aligned, fp_fusion=False)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("mode", ["bits", "exact"])
def test_forward_compiles_without_spills_or_fused_products(mode, capability):
    from effml.kernels.spiking import gpu

    info = compiled(gpu.forward_kernel, mode, capability)
    assert info.n_spills == 0
    assert "fma.rn.f32" not in info.ptx, "a fused product in one direction alone makes the inverse another function"
    assert "ld.global.v4" in info.ptx, "four neighbours should be read at once"


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("mode", ["bits", "paper"])
def test_backward_compiles_without_spills(mode, capability):
    from effml.kernels.spiking import gpu

    more = {"SLOPE": 2.0, "SURROGATE": 0, "DETACHED": False, "HAS_GRAD_U": True, "COUPLING": True}
    info = compiled(gpu.backward_kernel, mode, capability, **more)
    assert info.n_spills == 0
    assert "div.rn.f32" in info.ptx, "division must be rounded as in the reference"


@pytest.mark.gpu
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_device_equals_reference(mode, dtype):
    x = torch.randn(9, 4, 6, 10, device="cuda", dtype=dtype) * 1.5 + 0.3
    alpha = torch.tensor(0.5, device="cuda", dtype=dtype)
    results = []
    for backend in ("torch", "triton"):
        leaf, coupling = x.clone().requires_grad_(), alpha.clone().requires_grad_()
        y, u = revlif(leaf, None, coupling, 1.0, Rule(mode=mode, anchor_every=3), split_dim=2, backend=backend)
        (y.square().sum() + u.sum()).backward()
        results.append((y.detach(), u.detach(), leaf.grad, coupling.grad))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])
    for want, got in zip(results[0][2:], results[1][2:], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
