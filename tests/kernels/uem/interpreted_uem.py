"""The fused uncertainty in Triton, interpreted: run by `test_uem.py` in a process of its own."""

import pytest
import torch

from effml.kernels.uem import gpu
from effml.kernels.uem.reference import mean_uncertainty


@pytest.mark.parametrize(
    ("batch", "patches", "width", "outputs"), [(3, 16, 64, 4), (2, 65, 48, 12), (1, 1, 200, 48), (0, 4, 8, 3)]
)
@pytest.mark.parametrize("per_sample", [False, True])
def test_equals_the_formula_in_float64(batch, patches, width, outputs, per_sample):
    tokens, weight = torch.randn(batch, patches, width), torch.randn(outputs, width) / width**0.5
    bias = torch.randn(batch, outputs) if per_sample else torch.randn(outputs)
    exact = mean_uncertainty(tokens.double(), weight.double(), bias.double())
    torch.testing.assert_close(gpu.mean_uncertainty(tokens, weight, bias).double(), exact, rtol=1e-6, atol=1e-6)


def test_reads_a_slice_behind_the_condition_tokens():
    tokens = torch.randn(2, 20, 32)
    weight, bias = torch.randn(4, 32), torch.randn(4)
    exact = mean_uncertainty(tokens[:, 3:].double(), weight.double(), bias.double())
    torch.testing.assert_close(gpu.mean_uncertainty(tokens[:, 3:], weight, bias).double(), exact, rtol=1e-6, atol=1e-6)
