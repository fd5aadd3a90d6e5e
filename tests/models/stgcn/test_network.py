"""ST-GCN: equal to its plain export, blind to the order of joints and persons, affine when all gates are closed."""

import numpy as np
import pytest
import torch
from torch import nn

from effml.experiments.data.skeletons.layouts import LAYOUTS, MSR20
from effml.models.gated.gate import FixedGate
from effml.models.gated.structural import LayerGate, StructuralGate
from effml.models.stgcn.export import export
from effml.models.stgcn.graph import spatial_adjacency
from effml.models.stgcn.network import STGCN


def drawn(layout=MSR20, counts=(2, 1, 0), kind=StructuralGate, adjacency=None):
    """A float64 network in evaluation mode whose every number is drawn, batch norms and importances included."""
    if adjacency is None:
        adjacency = torch.from_numpy(spatial_adjacency(layout.bones, layout.centre, layout.joints))
    nodes = adjacency.shape[1]
    net = STGCN(adjacency, 5, (4, 6, 6), (1, 2, 1), square_scale=0.2).double()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias)
    for block, count in zip(net.blocks, counts, strict=True):
        nn.init.uniform_(block.importance, 0.5, 1.5)
        gate = kind(nodes, -1, 1)
        block.act.gate, block.act.kind = gate.fixed(count), "polynomial"
        for polynomial in block.act.polynomials:
            for part in (polynomial.c0, polynomial.c1, polynomial.c2):
                nn.init.normal_(part)
    return net.eval().requires_grad_(False)


def sequences(nodes=20, frames=9, persons=()):
    return torch.randn(3, 3, frames, nodes, *persons, dtype=torch.float64)


@pytest.mark.parametrize("kind", [StructuralGate, LayerGate])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("persons", [(), (2,)])
def test_export_equals_the_network(layout, kind, persons, seed):
    net = drawn(layout, kind=kind)
    x = sequences(layout.joints, persons=persons)
    plain = export(net, frames=9)
    np.testing.assert_allclose(plain.forward(x.numpy()), net(x).numpy(), rtol=1e-10, atol=1e-10)
    assert plain.effective_layers() == 3 and plain.synchronised()


def test_export_takes_batch_norms_as_they_stand_in_evaluation(seed):
    net = drawn()
    x = sequences()
    expected = net(x).numpy()
    np.testing.assert_allclose(export(net.train(), frames=9).forward(x.numpy()), expected, rtol=1e-10, atol=1e-10)


def test_a_network_with_relus_is_not_exported(seed):
    net = drawn()
    net.blocks[0].act.kind = "relu"
    with pytest.raises(ValueError, match="a ReLU is left"):
        export(net, frames=9)


def test_permuted_joints_give_the_same_logits(seed):
    """Reorder everything that belongs to a joint, and nothing changes."""
    net = drawn()
    order = torch.randperm(20)
    adjacency = net.blocks[0].adjacency[:, order][:, :, order]
    other = drawn(adjacency=adjacency)
    other.load_state_dict(net.state_dict())
    for name in ("weight", "bias", "running_mean", "running_var"):
        per_joint = getattr(net.norm, name).unflatten(0, (3, 20))[:, order]
        getattr(other.norm, name).data.copy_(per_joint.flatten())
    for mine, theirs in zip(net.blocks, other.blocks, strict=True):
        theirs.adjacency.copy_(adjacency)
        theirs.importance.data.copy_(mine.importance[:, order][:, :, order])
        theirs.act.gate = FixedGate(mine.act.gate.decide()[:, order])
        for p, q in zip(mine.act.polynomials, theirs.act.polynomials, strict=True):
            for part in ("c0", "c1", "c2"):
                getattr(q, part).data.copy_(getattr(p, part)[order])
    x = sequences()
    assert not torch.allclose(net(x[..., order]), net(x))
    torch.testing.assert_close(other(x[..., order]), net(x), rtol=1e-10, atol=1e-10)


def test_with_all_gates_closed_the_network_is_affine(seed):
    net = drawn(counts=(0, 0, 0))
    x, y = sequences(), sequences()
    zero = torch.zeros_like(x)
    torch.testing.assert_close(net(x + y) + net(zero), net(x) + net(y), rtol=1e-9, atol=1e-9)
    bent = drawn(counts=(0, 1, 0))
    assert (bent(x + y) + bent(zero) - bent(x) - bent(y)).abs().max() > 1e-6  # a thousand times the rounding above


def test_identity_polynomials_equal_closed_gates(seed):
    open_gates, closed = drawn(counts=(2, 2, 2)), drawn(counts=(0, 0, 0))
    for pair in open_gates.pairs:
        for polynomial in pair.polynomials:
            polynomial.set(torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)[:, None].expand(3, 20))
    state = {key: value for key, value in open_gates.state_dict().items() if "gate" not in key}
    closed.load_state_dict(state, strict=False)
    x = sequences()
    torch.testing.assert_close(open_gates(x), closed(x), rtol=1e-10, atol=1e-10)


def test_persons_may_change_places(seed):
    net = drawn()
    x = sequences(persons=(2,))
    torch.testing.assert_close(net(x.flip(4)), net(x), rtol=1e-10, atol=1e-10)


def test_first_polynomial_is_the_papers(seed):
    net = STGCN(torch.eye(20).expand(3, 20, 20), 5)
    offset, slope, square = net.pairs[0].coefficients(0)
    assert offset.abs().max() == 0 and (slope == 1).all()
    torch.testing.assert_close(square, torch.full((20,), 0.01 * 0.005))


def test_gates_and_polynomials_pass_gradcheck(seed):
    net = drawn().requires_grad_(True)
    pair, z = net.pairs[1], torch.randn(2, 2, 3, 20, dtype=torch.float64)
    parameters = [pair.polynomials[0].c0, pair.polynomials[0].c1, pair.polynomials[0].c2]
    assert torch.autograd.gradcheck(lambda z, *_: pair(0, z), (z.requires_grad_(True), *parameters))


def test_teacher_is_relu_in_both_places(seed):
    pair = STGCN(torch.eye(20).expand(3, 20, 20), 5).pairs[0]
    z = torch.randn(2, 2, 3, 20)
    assert torch.equal(pair(0, z), z.relu()) and torch.equal(pair(1, z), z.relu())


def test_first_block_is_never_dropped_from():
    net = STGCN(torch.eye(20).expand(3, 20, 20), 5, dropout=0.5)
    assert [block.dropout.p for block in net.blocks] == [0.0, 0.5, 0.5]


def test_open_gates_bend_and_closed_ones_pass_through(seed):
    pair = drawn(counts=(1, 1, 1)).pairs[0]
    pair.kind = "relu"
    z = torch.randn(2, 2, 3, 20, dtype=torch.float64)
    opened = pair.gate.decide()
    for place in (0, 1):
        assert torch.equal(pair(place, z)[..., opened[place]], z[..., opened[place]].relu())
        assert torch.equal(pair(place, z)[..., ~opened[place]], z[..., ~opened[place]])


def test_weights_of_the_papers_largest_three_blocks_by_closed_form():
    layout = LAYOUTS["ntu25"]
    adjacency = torch.from_numpy(spatial_adjacency(layout.bones, layout.centre, 25)).float()
    net = STGCN(adjacency, 60, (128, 256, 256), (1, 2, 1))
    expected = 2 * 75 + 256 * 60 + 60 + (128 * 256 + 256 + 2 * 256)  # norm, head, the one 1x1 residual
    for inputs, outputs in ((3, 128), (128, 256), (256, 256)):
        expected += 3 * outputs * (inputs + 1) + 9 * outputs**2 + outputs + 4 * outputs + 3 * 25 * 25
    weights = sum(p.numel() for name, p in net.named_parameters() if "polynomials" not in name)
    assert weights == expected
