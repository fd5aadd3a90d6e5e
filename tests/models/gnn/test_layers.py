"""The blocks against PyG's own convolutions, and MaxK's two forms against each other."""

import pytest
import torch

from effml.kernels import Csr
from effml.models.gnn import (
    GcnBlock,
    GinBlock,
    GraphNet,
    MaxK,
    Rectify,
    SageBlock,
    mean_normalised,
    prepare_adjacency,
    symmetric_normalised,
    with_self_loops,
)

WIDTH = 24


@pytest.fixture
def graph():
    """An undirected graph with a self loop and two isolated nodes; edge_index in PyG's order."""
    ends = torch.randint(0, 38, (2, 120))
    edges = torch.cat([ends, ends.flip(0), torch.tensor([[5], [5]])], 1)
    adj = Csr.from_edge_index(edges, 40)
    rows = torch.repeat_interleave(torch.arange(40), adj.degrees)
    return adj, torch.stack([adj.indices.long(), rows])


@pytest.fixture(params=["relu", "maxk", "maxk dense"])
def activation(request):
    return {"relu": Rectify(), "maxk": MaxK(7), "maxk dense": MaxK(7, compressed=False)}[request.param]


def plainly(activation, x):
    """The nonlinearity by its definition."""
    if isinstance(activation, Rectify):
        return x.clamp(min=0)
    columns = x.topk(7, 1).indices
    return torch.zeros_like(x).scatter(1, columns, x.gather(1, columns))


def same_gradients(ours, theirs, x):
    """Outputs and gradients in x agree (both given as functions of x)."""
    y, z = ours(x), theirs(x)
    torch.testing.assert_close(y, z, rtol=1e-4, atol=1e-5)
    weight = torch.randn_like(y)
    (a,), (b,) = (torch.autograd.grad((out * weight).sum(), x, retain_graph=True) for out in (y, z))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_sage_is_pygs(graph, activation):
    from torch_geometric.nn import SAGEConv

    adj, edge_index = graph
    block = SageBlock(WIDTH, activation, norm=False)
    torch.nn.init.normal_(block.bias)
    conv = SAGEConv(WIDTH, WIDTH, aggr="mean")
    conv.load_state_dict(
        {"lin_l.weight": block.neighbours.weight, "lin_l.bias": block.bias, "lin_r.weight": block.own.weight}
    )
    x = torch.randn(40, WIDTH, requires_grad=True)
    same_gradients(lambda x: block(x, mean_normalised(adj)), lambda x: conv(plainly(activation, x), edge_index), x)


def test_gcn_is_pygs(graph, activation):
    from torch_geometric.nn import GCNConv

    adj, edge_index = graph
    block = GcnBlock(WIDTH, activation, norm=False)
    torch.nn.init.normal_(block.bias)
    conv = GCNConv(WIDTH, WIDTH, add_self_loops=False)
    conv.load_state_dict({"bias": block.bias, "lin.weight": torch.eye(WIDTH)})
    x = torch.randn(40, WIDTH, requires_grad=True)
    same_gradients(
        lambda x: block(x, symmetric_normalised(adj)),
        lambda x: conv(plainly(activation, block.linear(x)), edge_index),
        x,
    )


def test_gin_is_pygs(graph, activation):
    from torch_geometric.nn import GINConv

    adj, edge_index = graph
    block = GinBlock(WIDTH, activation, norm=False)
    torch.nn.init.constant_(block.eps, 0.3)
    conv = GINConv(torch.nn.Identity(), eps=0.3)
    x = torch.randn(40, WIDTH, requires_grad=True)
    same_gradients(
        lambda x: block(x, adj.with_values(None)), lambda x: conv(plainly(activation, block.linear(x)), edge_index), x
    )


@pytest.mark.parametrize("kind", ["sage", "gcn", "gin"])
def test_norm_ends_the_block(graph, kind):
    """LayerNorm hides errors of scale: the tests above compare before it, this one only sees that it is there."""
    net = GraphNet(WIDTH, 3, hidden=WIDTH, layers=1, kind=kind)
    y = net.blocks[0].eval()(torch.randn(40, WIDTH) * 100, prepare_adjacency(graph[0], kind))
    spread = y.std(1, correction=0)[graph[0].degrees > 0]
    torch.testing.assert_close(spread, torch.ones_like(spread), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("kind", ["sage", "gcn", "gin"])
def test_compressed_and_masked_maxk_are_the_same_network(graph, kind):
    """Loss and every gradient, dropout off: CBSR is how it is computed, not what."""
    nets = [GraphNet(30, 4, hidden=WIDTH, layers=2, kind=kind, k=5, dropout=0.0, compressed=c) for c in (True, False)]
    nets[1].load_state_dict(nets[0].state_dict())
    x, adj, y = torch.randn(40, 30), prepare_adjacency(graph[0], kind), torch.randint(0, 4, (40,))
    losses = [torch.nn.functional.cross_entropy(net(x, adj), y) for net in nets]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-6)
    for loss in losses:
        loss.backward()
    for (name, ours), theirs in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_maxk_is_in_every_block_and_relu_in_none(graph):
    net = GraphNet(30, 4, hidden=WIDTH, layers=3, k=5)
    assert [type(block.activation) for block in net.blocks] == [MaxK] * 3
    assert {block.activation.k for block in net.blocks} == {5}
    net = GraphNet(30, 4, hidden=WIDTH, layers=3)
    assert [type(block.activation) for block in net.blocks] == [Rectify] * 3


def test_dropout_thins_stored_values_and_keeps_their_mean(graph):
    from effml.models.gnn.activation import drop

    kept = MaxK(7)(torch.rand(4000, WIDTH) + 1)
    thinned = drop(kept, 0.5, training=True)
    assert thinned.index is kept.index and abs((thinned.values == 0).float().mean() - 0.5) < 0.03
    assert abs(thinned.values.mean() / kept.values.mean() - 1) < 0.05
    assert drop(kept, 0.5, training=False) is kept


def test_keeping_everything_leaves_a_linear_network():
    """k = H is no baseline: without norms the network is affine in its input."""
    adj = prepare_adjacency(Csr.from_edge_index(torch.randint(0, 20, (2, 60)), 20), "sage")
    net = GraphNet(10, 3, hidden=16, layers=2, k=16, dropout=0.0, norm=False)
    a, b = torch.randn(20, 10), torch.randn(20, 10)
    torch.testing.assert_close(net((a + b) / 2, adj), (net(a, adj) + net(b, adj)) / 2, rtol=1e-4, atol=1e-4)


def test_unknown_kind_and_k_are_refused(graph):
    with pytest.raises(ValueError, match="sage, gcn, gin"):
        GraphNet(4, 2, kind="gat")
    with pytest.raises(ValueError, match="sage, gcn, gin"):
        prepare_adjacency(graph[0], "gat")
    with pytest.raises(ValueError, match="at least 1"):
        GraphNet(4, 2, k=0)


def test_one_self_loop_a_node_whatever_was_there(graph):
    looped = with_self_loops(with_self_loops(graph[0]))
    rows = torch.repeat_interleave(torch.arange(40), looped.degrees)
    assert int((looped.indices.long() == rows).sum()) == 40
    rows = torch.repeat_interleave(torch.arange(40), graph[0].degrees)
    assert looped.nnz == graph[0].nnz + 40 - int((graph[0].indices.long() == rows).sum())


def test_mean_of_no_neighbours_is_zero(graph):
    adj = mean_normalised(graph[0])
    assert bool(torch.isfinite(adj.values).all()) and adj.degrees[39] == 0
    block = SageBlock(WIDTH, MaxK(3), norm=False)
    x = torch.randn(40, WIDTH)
    torch.testing.assert_close(block(x, adj)[39], block.own(plain_top(x[39:], 3))[0] + block.bias)


def plain_top(x, k):
    columns = x.topk(k, 1).indices
    return torch.zeros_like(x).scatter(1, columns, x.gather(1, columns))
