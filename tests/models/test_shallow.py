"""One hidden layer with MaxK."""

import torch

from effml.models.shallow import Shallow


def test_maxk_keeping_all_is_affine_and_keeping_some_is_not():
    x = torch.linspace(-1, 1, 101)[:, None]

    def curvature(net):
        return net(x).diff().diff().abs().max()

    assert curvature(Shallow(1, 16, 16)) < 1e-5
    assert curvature(Shallow(1, 16, 4)) > 1e-3


def test_two_units_keeping_one_make_the_absolute_value():
    """max(x, -x): MaxK computes it exactly with two units, the first case of the theorem's construction."""
    net = Shallow(1, 2, 1)
    with torch.no_grad():
        net.hidden.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        net.out.weight.fill_(1.0)
        net.hidden.bias.zero_(), net.out.bias.zero_()
    x = torch.linspace(-3, 3, 61)[:, None]
    assert torch.equal(net(x), x.abs().squeeze(1))
