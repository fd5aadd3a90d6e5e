"""The input layer on wide sparse features."""

import torch

from effml.kernels import Csr
from effml.models.gnn import GraphNet, InputLinear, prepare_adjacency, sparse_features


def test_sparse_and_dense_features_give_the_same_outputs_and_gradients():
    dense = (torch.rand(50, 300) < 0.02).float() * torch.rand(50, 300)
    layer = InputLinear(300, 16)
    torch.nn.init.normal_(layer.bias)
    features = sparse_features(dense.to_sparse_csr())
    weight = torch.randn(50, 16)
    gradients = []
    for x in (dense, features):
        y = layer(x)
        torch.testing.assert_close(y, dense @ layer.weight.T + layer.bias, rtol=1e-5, atol=1e-5)
        gradients.append(torch.autograd.grad((y * weight).sum(), list(layer.parameters())))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_maxk_keeping_all_equals_torch_sparse_in_logits_and_gradients():
    """k = H = 256: the CBSR pipeline against one written with torch.sparse alone (acceptance case 2 on a random graph)."""
    pattern = Csr.from_edge_index(torch.randint(0, 120, (2, 700)), 120)
    adj = prepare_adjacency(pattern, "sage")
    x, y = torch.randn(120, 40), torch.randint(0, 7, (120,))
    net = GraphNet(40, 7, hidden=256, layers=2, k=256, dropout=0.0)
    logits = net(x, adj)
    torch.nn.functional.cross_entropy(logits, y).backward()
    ours = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    sparse = adj.to_torch()
    h = x @ net.enter.weight.T + net.enter.bias
    for block in net.blocks:
        h = block.norm(h @ block.own.weight.T + (sparse @ h) @ block.neighbours.weight.T + block.bias)
    expected = net.leave(h)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    torch.nn.functional.cross_entropy(expected, y).backward()
    for mine, p in zip(ours, net.parameters(), strict=True):
        torch.testing.assert_close(mine, p.grad, rtol=1e-4, atol=1e-6)
