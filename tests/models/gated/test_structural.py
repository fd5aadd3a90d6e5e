"""Structural gates: in step over nodes, blind to the nodes' order, with the straight-through gradient."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.nn import functional as F

from effml.models.gated.structural import LayerGate, StructuralGate, density, layers, meet

WEIGHTS = arrays.arrays(float, st.tuples(st.just(2), st.integers(1, 9)), elements=st.floats(-1, 1, width=16))
KINDS = pytest.mark.parametrize("kind", [StructuralGate, LayerGate])


def gate_of(weights, kind=StructuralGate):
    gate = kind(len(weights[0]))
    with torch.no_grad():
        gate.weight.copy_(torch.as_tensor(weights))
    return gate


@KINDS
@given(weights=WEIGHTS)
def test_every_node_keeps_the_same_number(kind, weights):
    kept = gate_of(weights, kind).state.sum(0)
    assert (kept == kept[0]).all()


@given(weights=WEIGHTS)
def test_number_kept_is_that_of_positive_sums_of_sorted_pairs(weights):
    gate = gate_of(weights)
    small, large = torch.as_tensor(weights).float().sort(0).values.sum(1)
    assert int(gate.state.sum(0)[0]) == int(small > 0) + int(large > 0)


@given(weights=WEIGHTS)
def test_single_nonlinearity_stands_where_the_larger_weight_is(weights):
    gate = gate_of(weights)
    one = gate.opened(1)
    assert one.sum(0).tolist() == [1] * len(weights[0])
    chosen = gate.weight.detach()[one.T.nonzero()[:, 1], torch.arange(len(weights[0]))]
    assert (chosen == gate.weight.detach().max(0).values).all()


@given(weights=WEIGHTS, data=st.data())
def test_permuted_nodes_give_the_permuted_gate(weights, data):
    order = list(data.draw(st.permutations(range(len(weights[0])))))
    for kind in (StructuralGate, LayerGate):
        gate, other = gate_of(weights, kind), gate_of(weights[:, order], kind)
        for count in range(3):
            assert torch.equal(other.opened(count), gate.opened(count)[:, order])


@KINDS
def test_all_open_at_first(kind):
    gate = kind(25)
    assert gate.state.all() and gate.weight.min() >= 5e-4 and gate.weight.max() <= 1e-3


def test_hand_made_case():
    gate = gate_of([[0.5, -0.2, 0.1], [0.1, 0.3, -0.9]])  # sums of pairs sorted: -1.0 and 0.9
    assert gate.state.int().tolist() == [[1, 0, 1], [0, 1, 0]]
    assert gate.ranks().tolist() == pytest.approx([0.9, -1.0])


def test_layer_gate_decides_for_all_nodes_at_once():
    gate = gate_of([[0.5, -0.9, 0.1], [0.1, 0.3, -0.2]], LayerGate)  # sums -0.3 and 0.2
    assert gate.state.int().tolist() == [[0, 0, 0], [1, 1, 1]]


@KINDS
def test_gradient_is_softplus_times_gradient_at_each_unsorted_weight(kind):
    gate = gate_of(torch.randn(2, 7), kind)
    grad = torch.randn(2, 7)
    gate.value().backward(grad)
    assert torch.equal(gate.weight.grad, F.softplus(gate.weight.detach()) * grad)


@KINDS
def test_density_is_the_share_of_open_gates_and_spreads_its_gradient_evenly(kind):
    gates = [gate_of([[1.0, 1.0], [1.0, 1.0]], kind), gate_of([[1.0, -0.5], [-0.5, 1.0]], kind)]
    gates[1].weight.data[:, 1] = -0.25
    share = density(gates)
    kept = sum(int(gate.state.sum()) for gate in gates)
    assert share.item() == kept / 8
    (3 * share).backward()
    for gate in gates:
        assert torch.allclose(gate.weight.grad, 3 / 8 * F.softplus(gate.weight.detach()))


@KINDS
@pytest.mark.parametrize("target", range(7))
def test_meet_ends_with_exactly_the_target(kind, target, seed):
    gates = [gate_of(torch.randn(2, 5), kind) for _ in range(3)]
    fixed, moved = meet(gates, target)
    kept = [gate.state.sum(0) for gate in fixed]
    assert all((count == count[0]).all() for count in kept)
    assert sum(int(count[0]) for count in kept) == target
    assert moved == sum(abs(int(k[0]) - int(g.state.sum(0)[0])) for k, g in zip(kept, gates, strict=True))


def test_meet_closes_the_lowest_ranks_first():
    weights = [[[5.0], [1.0]], [[4.0], [3.0]], [[2.0], [-1.0]]]  # ranks 5, 1 | 4, 3 | 2, -1
    gates = [gate_of(pair) for pair in weights]
    assert layers(gates) == 5
    counts = [[int(gate.state.sum()) for gate in meet(gates, n)[0]] for n in range(7)]
    assert counts == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 2, 0], [1, 2, 1], [2, 2, 1], [2, 2, 2]]
    assert [meet(gates, n)[1] for n in (5, 3, 6)] == [0, 2, 1]


def test_meet_refuses_more_layers_than_there_are():
    with pytest.raises(ValueError, match="7 layers of 3 pairs"):
        meet([gate_of([[1.0], [1.0]]) for _ in range(3)], 7)


def test_a_second_layer_never_outranks_the_first():
    for pair in itertools.product([-1.0, 0.0, 2.0], repeat=2):
        for kind in (StructuralGate, LayerGate):
            first, second = gate_of([[pair[0]], [pair[1]]], kind).ranks()
            assert first >= second
