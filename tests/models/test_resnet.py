"""Site counts of the paper's networks, exactly, and the shapes that they compute."""

import pytest
import torch
from torch import nn

from effml.models.efficientnet import EfficientNetB2
from effml.models.reduction.network import count_sites, find_sites
from effml.models.resnet import ResNet, WideResNet


@pytest.mark.parametrize(
    ("model", "size", "count"),
    [
        (ResNet, 32, 491_520),
        (ResNet, 64, 1_966_080),
        (WideResNet, 32, 1_359_872),
        (WideResNet, 64, 5_439_488),
    ],
)
def test_counts_of_residual_networks(model, size, count):
    assert count_sites(model(), (3, size, size)) == count


def test_count_of_efficientnet_at_224():
    model = EfficientNetB2()
    assert count_sites(model, (3, 224, 224)) == 8_804_162
    assert count_sites(model, (3, 224, 224), (nn.Sigmoid,)) == 14_784, "what a protocol still has to compute"


def test_width_16_is_a_quarter():
    assert count_sites(ResNet(width=16), (3, 32, 32)) == 491_520 // 4


def test_stem_has_no_relu():
    names = list(find_sites(ResNet(width=4), (3, 16, 16)))
    assert len(names) == 16 and not any(name.startswith("stem") for name in names)
    assert names[:2] == ["blocks.0.act1", "blocks.0.act2"]


def test_module_that_runs_twice_is_refused():
    relu = nn.ReLU()
    with pytest.raises(ValueError, match="runs twice"):
        find_sites(nn.Sequential(relu, nn.Conv2d(3, 3, 1), relu), (3, 4, 4))


def test_finding_sites_changes_nothing():
    model = ResNet(width=4).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    find_sites(model, (3, 8, 8))
    assert model.training and all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_wide_resnet_depth_is_checked():
    with pytest.raises(ValueError, match="6 n \\+ 4, not 23"):
        WideResNet(depth=23)
