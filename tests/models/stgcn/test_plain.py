"""Properties of the plain network: what its parts compute, levels counted, files read back exactly."""

from __future__ import annotations

import numpy as np
import pytest

from effml.errors import MissingRequirement
from effml.experiments.data.skeletons.layouts import MSR20, NTU25
from effml.models.stgcn.graph import distances, spatial_adjacency
from effml.models.stgcn.plain import Activation
from effml.models.stgcn.plain_file import load, random, save


def adjacency(layout=MSR20, **options):
    return spatial_adjacency(layout.bones, layout.centre, layout.joints, **options)


def small(seed, **options):
    return random(adjacency(), (4, 6, 6), (1, 2, 1), classes=5, frames=9, seed=seed, **options)


def test_partitions_of_ntu_hold_as_many_edges_as_the_published_program():
    found = adjacency(NTU25)
    assert [(part != 0).sum() for part in found] == [25, 40, 8]
    np.testing.assert_allclose(found.sum((0, 1)), 1)


def test_with_all_distances_every_bone_leads_inward_once_and_outward_once():
    far = distances(NTU25.bones, NTU25.centre, 25)
    itself, inward, outward = adjacency(NTU25, reach=None)
    assert [(part != 0).sum() for part in (itself, inward, outward)] == [25, 24, 24]
    source, target = inward.nonzero()
    assert (far[source] == far[target] + 1).all()
    source, target = outward.nonzero()
    assert (far[source] == far[target] - 1).all()


@pytest.mark.parametrize(
    ("bones", "said"), [([(0, 1)], "joint 2 is not connected"), ([(0, 1), (1, 3)], "names no joint")]
)
def test_a_graph_that_is_not_one_body_is_refused(bones, said):
    with pytest.raises(ValueError, match=said):
        spatial_adjacency(bones, 0, 3)


def test_activation_is_its_formula_and_linear_nodes_pass_through():
    act = Activation(np.array([0.5, 0.0]), np.array([2.0, 1.0]), np.array([-1.0, 0.0]))
    np.testing.assert_array_equal(act(np.array([[3.0, 7.0]])), [[0.5 * 9 + 6 - 1, 7.0]])
    assert act.nonlinear.tolist() == [True, False]


def test_block_equals_its_sums_written_out(seed):
    model = small(seed)
    draw = np.random.default_rng(seed)
    block = model.blocks[1]
    x = draw.normal(size=(2, 4, 9, 20))
    u = np.einsum("koc,kvw,nctv->notw", block.spatial, block.adjacency, x) + block.bias[:, None]
    a = u * (block.act1.square * u + block.act1.slope) + block.act1.offset
    y = np.zeros((2, 6, 5, 20))
    for t in range(5):
        for tap in range(9):
            frame = 2 * t + tap - 4
            if 0 <= frame < 9:
                y[:, :, t] += np.einsum("oc,ncv->nov", block.temporal[:, :, tap], a[:, :, frame])
    y += block.temporal_bias[:, None, None]
    y += np.einsum("oc,nctv->notv", block.residual.weight, x[:, :, ::2]) + block.residual.bias[:, None, None]
    expected = y * (block.act2.square * y + block.act2.slope) + block.act2.offset
    np.testing.assert_allclose(block.forward(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("keeps", "layers"), [((0, 0, 0), 0), ((1, 0, 1), 2), ((2, 1, 0), 3), ((2, 2, 2), 6)])
def test_effective_layers_are_the_nonlinearities_that_each_node_passes(keeps, layers, seed):
    model = small(seed, keeps=keeps)
    assert model.effective_layers() == layers
    assert model.synchronised()


def test_one_node_out_of_step_costs_the_whole_level(seed):
    model = small(seed, keeps=(0, 0, 0))
    model.blocks[0].act1.square[3] = 0.1
    assert model.effective_layers() == 1
    assert not model.synchronised()


def test_persons_are_averaged_and_may_change_places(seed):
    model = small(seed)
    x = np.random.default_rng(seed).normal(size=(3, 3, 9, 20, 2))
    logits = model.forward(x)
    np.testing.assert_allclose(model.forward(x[..., ::-1]), logits, atol=1e-12)
    alone = (model.forward(x[..., 0]) + model.forward(x[..., 1])) / 2
    np.testing.assert_allclose(logits, alone, atol=1e-12)


def test_a_file_is_read_back_exactly(seed, tmp_path):
    model = small(seed)
    save(model, tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    x = np.random.default_rng(seed).normal(size=(2, 3, 9, 20))
    np.testing.assert_array_equal(again.forward(x), model.forward(x))
    assert (again.frames, again.effective_layers()) == (9, model.effective_layers())
    assert [type(block.residual) for block in again.blocks] == [type(block.residual) for block in model.blocks]


def test_unusable_files_are_refused_in_one_line(seed, tmp_path):
    path = tmp_path / "model.npz"
    with pytest.raises(MissingRequirement, match="does not exist"):
        load(path)
    save(small(seed), path)
    held = dict(np.load(path))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MissingRequirement, match="not a usable plain ST-GCN"):
        load(path)
    np.savez(path, **(held | {"version": np.array(99)}))
    with pytest.raises(MissingRequirement, match="version 99"):
        load(path)
    np.savez(path, **(held | {"head": held["head"][:, 1:]}))
    with pytest.raises(MissingRequirement, match="head has shape"):
        load(path)
