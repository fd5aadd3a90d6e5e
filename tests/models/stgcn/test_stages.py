"""Stages after the teacher: the loss against its definition, the penalty's push, the wanted number of layers reached."""

import copy
from dataclasses import replace as replace_stage

import pytest
import torch
from torch.nn import functional as F

from effml.experiments.data.skeletons.layouts import MSR20
from effml.models.distillation import attention_map, softened_divergence
from effml.models.gated.structural import StructuralGate, layers
from effml.models.reduction.batches import Batches
from effml.models.stgcn.export import export
from effml.models.stgcn.graph import spatial_adjacency
from effml.models.stgcn.network import STGCN
from effml.models.stgcn.stages import Distillation, Pressure, Stage, linearize, replace, train

ADJACENCY = torch.from_numpy(spatial_adjacency(MSR20.bones, MSR20.centre, 20)).float()


@pytest.fixture
def teacher():
    return STGCN(ADJACENCY, 4, (4, 4, 4)).eval().requires_grad_(False)


def stage(teacher, steps, **options):
    x, labels = torch.randn(24, 3, 8, 20), torch.arange(24) % 4
    batches = Batches(x, labels, 8, seed=0)
    return Stage(batches, Distillation(teacher), (x[:4], labels[:4]), steps, rate=0.01, **options)


def test_loss_is_the_sum_of_its_three_parts(teacher):
    student = STGCN(ADJACENCY, 4, (4, 4, 4)).eval()
    x, labels = torch.randn(5, 3, 8, 20), torch.arange(5) % 4
    logits, features = student.outputs(x)
    target, targets = teacher.outputs(x)
    maps = sum((attention_map(a) - attention_map(b)).square().mean() for a, b in zip(features, targets, strict=True))
    expected = 0.7 * F.cross_entropy(logits, labels) + 0.3 * softened_divergence(logits, target) + 50 * maps
    torch.testing.assert_close(Distillation(teacher, eta=0.3, phi=100)(student, x, labels), expected)


def test_teacher_as_its_own_student_pays_cross_entropy_alone(teacher):
    x, labels = torch.randn(5, 3, 8, 20), torch.arange(5) % 4
    loss = Distillation(teacher, eta=0.2, phi=200)(copy.deepcopy(teacher), x, labels)
    torch.testing.assert_close(loss, 0.8 * F.cross_entropy(teacher(x), labels), rtol=0, atol=1e-5)


def test_penalty_is_mu_times_the_share_of_open_gates():
    gates = [StructuralGate(5) for _ in range(3)]
    assert Pressure(gates, mu=2.0)().item() == 2.0
    gates[0].weight.data[:] = torch.tensor([[1.0], [-2.0]])
    assert Pressure(gates, mu=2.0)().item() == pytest.approx(2 * 5 / 6)


@pytest.mark.parametrize(("target", "sign"), [(2, 1), (3, 0), (5, -1)])
def test_with_a_target_the_penalty_pushes_towards_it_and_rests_there(target, sign):
    gates = [StructuralGate(5) for _ in range(3)]
    for gate in gates:
        gate.weight.data[:] = torch.tensor([[1.0], [-2.0]])
    pressure = Pressure(gates, mu=6.0, target=target, growth=2.0)
    pressure().backward()
    expected = sign * F.softplus(gates[0].weight.detach()) * 6 / 30
    torch.testing.assert_close(gates[0].weight.grad, expected)
    pressure.look()
    assert pressure.mu == (12.0 if sign else 6.0)


@pytest.mark.parametrize("granularity", ["node", "layer"])
@pytest.mark.parametrize("target", [5, 2, 0])
def test_linearize_ends_in_step_at_the_target(teacher, granularity, target, seed):
    network, learned = linearize(teacher, stage(teacher, 6), granularity, mu=1.0, target=target)
    kept = [pair.gate.decide().sum(0) for pair in network.pairs]
    assert all((count == count[0]).all() for count in kept)
    assert sum(int(count[0]) for count in kept) == target == learned.layers
    if granularity == "layer":
        assert all(len(row.unique()) == 1 for pair in network.pairs for row in pair.gate.decide())


def test_pressure_alone_reaches_the_target_without_force(teacher, seed):
    """Without a loss that speaks for any gate, the penalty must still stop at the target and not run past it."""
    learned = linearize(teacher, stage(teacher, 60, lookahead=0), mu=3.0, target=3)[1]
    assert learned.layers == 3 and learned.forced <= 1


def test_a_large_fixed_penalty_closes_every_gate_and_none_closes_no_gate(teacher, seed):
    assert linearize(teacher, stage(teacher, 12), mu=100.0)[1].layers == 0
    assert linearize(teacher, stage(teacher, 1), mu=0.0)[1].layers == 6


@pytest.mark.parametrize("start", ["identity", "fitted"])
def test_replacing_leaves_an_exportable_network_and_fixed_gates(teacher, start, seed):
    network, _ = linearize(teacher, stage(teacher, 3), target=2)
    before = [pair.gate.decide().clone() for pair in network.pairs]
    polynomials = copy.deepcopy([pair.polynomials.state_dict() for pair in network.pairs])
    replace(network, stage(teacher, 6), start)
    assert all(torch.equal(pair.gate.decide(), gate) for pair, gate in zip(network.pairs, before, strict=True))
    moved = [pair.polynomials.state_dict() for pair in network.pairs]
    assert any(not torch.equal(a[key], b[key]) for a, b in zip(polynomials, moved, strict=True) for key in a)
    network.eval()
    x = torch.randn(4, 3, 8, 20)
    plain = export(network, 8)
    assert plain.effective_layers() == 2
    torch.testing.assert_close(torch.from_numpy(plain.forward(x.numpy())).float(), network(x), rtol=1e-3, atol=1e-4)


def test_fitted_polynomials_are_nearer_to_relu_than_the_identity(teacher, seed):
    """On the pre-activations that they were fitted to."""
    x = torch.randn(24, 3, 8, 20)
    wide = STGCN(ADJACENCY, 4, (4, 4, 4), square_scale=1.0, limit=100.0).eval().requires_grad_(False)
    wide.load_state_dict(teacher.state_dict())
    hidden = wide.blocks[0].norm1(
        torch.einsum(
            "nkctv,kvw->nctw",
            wide.blocks[0].spatial(wide.norm(x.permute(0, 1, 3, 2).flatten(1, 2)).unflatten(1, (3, 20)).transpose(2, 3))
            .unflatten(1, (3, 4)),
            wide.blocks[0].adjacency * wide.blocks[0].importance,
        )
    )  # fmt: skip
    from effml.models.stgcn.stages import observe

    observe(wide, [x])
    pair = wide.pairs[0]
    pair.kind = "polynomial"
    assert (pair(0, hidden) - hidden.relu()).square().mean() < 0.3 * (hidden - hidden.relu()).square().mean()


def test_frozen_offset_stays_zero(teacher, seed):
    bare = STGCN(ADJACENCY, 4, (4, 4, 4), offset=False)
    replace(bare, stage(teacher, 3))
    assert all(float(p.c0.detach().abs().max()) == 0 for pair in bare.pairs for p in pair.polynomials)
    free = STGCN(ADJACENCY, 4, (4, 4, 4), offset=True)
    replace(free, stage(teacher, 3))
    assert any(float(p.c0.detach().abs().max()) > 0 for pair in free.pairs for p in pair.polynomials)


def test_of_equally_good_states_the_last_is_kept(teacher, seed):
    student = STGCN(ADJACENCY, 4, (4, 4, 4))
    with torch.no_grad():
        student.head.bias.copy_(torch.tensor([100.0, 0.0, 0.0, 0.0]))  # class 0 whatever happens: accuracy never moves
    student.head.bias.requires_grad_(False)
    fitted = train(student, replace_stage(stage(teacher, 6, check_every=2), rate=1e-4))
    assert len({score for _, _, score in fitted.curve}) == 1
    assert all(torch.equal(value, fitted.best_state[name]) for name, value in student.state_dict().items())


def test_layers_counts_what_the_gates_decide():
    gates = [StructuralGate(5) for _ in range(2)]
    gates[0].weight.data[:] = -1
    assert layers(gates) == 2
