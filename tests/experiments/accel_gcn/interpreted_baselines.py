"""The re-implemented GPU baselines, interpreted, against float64."""

import pytest
import torch

from effml.experiments.accel_gcn import gpu_baselines
from tests.kernels.spmm.cases import of_degrees, scaled_error


@pytest.mark.parametrize("product", [gpu_baselines.rows, gpu_baselines.groups])
@pytest.mark.parametrize("d", [1, 40])
def test_baseline_multiplies_rightly(product, d):
    adj = of_degrees([0, 1, 7, 0, 12, 3])
    x = torch.randn(50, d)
    assert scaled_error(adj, x, product(adj, x)) < 1e-6
