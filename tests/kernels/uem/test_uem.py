"""Fused uncertainty against the written-out expression."""

from pathlib import Path

import pytest
import torch

from effml.kernels import mean_uncertainty
from tests.triton_aot import CAPABILITIES, check_interpreted, compile_for, interpreted_tests

pytest.importorskip("triton")
INTERPRETED = Path(__file__).with_name("interpreted_uem.py")


def test_equals_the_written_out_expression():
    tokens, weight = torch.randn(5, 16, 32, dtype=torch.float64), torch.randn(12, 32, dtype=torch.float64)
    bias = torch.randn(5, 12, dtype=torch.float64)
    written = torch.sigmoid(torch.einsum("bpd,qd->bpq", tokens, weight) + bias[:, None]).flatten(1).mean(1)
    torch.testing.assert_close(mean_uncertainty(tokens, weight, bias), written, rtol=1e-13, atol=1e-13)


def test_a_row_depends_on_no_other_row():
    tokens, weight, bias = torch.randn(6, 9, 16), torch.randn(4, 16), torch.randn(4)
    alone = torch.cat([mean_uncertainty(tokens[i : i + 1], weight, bias) for i in range(6)])
    torch.testing.assert_close(mean_uncertainty(tokens, weight, bias), alone, rtol=1e-6, atol=1e-6)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="do not fit"):
        mean_uncertainty(torch.randn(2, 3, 4), torch.randn(5, 6), torch.randn(5))
    with pytest.raises(ValueError, match="unknown backend"):
        mean_uncertainty(torch.randn(2, 3, 4), torch.randn(5, 4), torch.randn(5), backend="cuda")


@pytest.mark.parametrize("name", interpreted_tests(INTERPRETED))
def test_interpreted(name):
    check_interpreted(INTERPRETED, name)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("outputs", [12, 48])
def test_compiles_without_spills(dtype, capability, outputs):
    from effml.kernels.uem import gpu

    signature = {
        "tokens": f"*{dtype}", "weight": "*fp32", "bias": "*fp32", "out": "*fp32", "patches": "i32", "width": "i32",
        "stride_b": "i64", "stride_p": "i32", "bias_b": "i32",
    }  # fmt: skip
    tiles = {"OUTPUTS": outputs, "TILE_P": 32, "TILE_D": 32, "TILE_Q": 16 if outputs <= 16 else 64}
    info = compile_for(gpu.uem_kernel, signature, tiles, capability, num_stages=2)
    assert info.n_spills == 0 and info.shared_bytes < 48 * 1024


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_cuda_equals_float64(dtype):
    tokens, weight, bias = torch.randn(64, 257, 512).to(dtype), torch.randn(12, 512) / 20, torch.randn(12)
    found = mean_uncertainty(tokens.cuda()[:, 1:], weight.cuda(), bias.cuda()).cpu()
    exact = mean_uncertainty(tokens[:, 1:].double(), weight.double(), bias.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "error", "told"),
    [
        ({"tokens": torch.zeros(2, 0, 4)}, ValueError, "no tokens or no outputs"),
        ({"weight": torch.zeros(4)}, ValueError, "do not fit"),
        ({"bias": torch.zeros(3, 1)}, ValueError, "do not fit"),
        ({"bias": 0.5}, TypeError, "must be tensors"),
        ({"tokens": torch.zeros(2, 3, 4, dtype=torch.int64)}, TypeError, "must be floating point, got torch.int64"),
        ({"backend": "triton"}, ValueError, "needs tensors on a GPU"),
        ({"backend": "triton", "bias": torch.zeros(1, dtype=torch.float64)}, TypeError, "has no float64"),
        ({"weight": torch.zeros(1, 4, requires_grad=True)}, RuntimeError, "under torch.no_grad"),
    ],
)
def test_wrong_arguments_are_named(changed, error, told, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    good = {"tokens": torch.zeros(2, 3, 4), "weight": torch.zeros(1, 4), "bias": torch.zeros(1)}
    with pytest.raises(error, match=told):
        mean_uncertainty(**{**good, **changed})
