"""Gated networks: bit-for-bit ReLU at first, linear when all closed, counted and hashed."""

import torch

from effml.models.gated import FixedGate, GatedActivation
from effml.models.reduction.network import GatedNetwork
from effml.models.resnet import ResNet


def gated(width=4, size=8, **options):
    return GatedNetwork(ResNet(10, width, 1), (1, size, size), **options)


def test_equals_the_plain_network_bit_for_bit_at_first():
    torch.manual_seed(3)
    plain = ResNet(10, 4, 1)
    torch.manual_seed(3)
    network = gated()
    images = torch.randn(5, 1, 8, 8)
    assert torch.equal(network(images), plain(images))
    assert network.kept == network.total == 4 * 64 * 4 * (1 + 1 / 2 + 1 / 4 + 1 / 8)


def test_all_closed_and_linear_is_an_affine_map():
    network = gated(degree=1).double().eval()
    network.set_gates(lambda _, site: FixedGate(torch.zeros(site.site)))
    a, b = torch.randn(2, 3, 1, 8, 8, dtype=torch.float64)
    zero = network(torch.zeros_like(a))
    torch.testing.assert_close(network(2 * a - 3 * b) - zero, 2 * (network(a) - zero) - 3 * (network(b) - zero))
    assert network.kept == 0


def test_architecture_names_shape_and_nothing_else():
    same = {gated().architecture(), gated(degree=1).architecture()}
    assert len(same) == 1, "weights and polynomials do not count"
    others = {gated(5).architecture(), gated(size=10).architecture(), gated(gates="channel").architecture()}
    assert len(same | others) == 4


def test_parameters_are_parted():
    network = gated()
    parts = network.weight_parameters(), network.polynomial_parameters(), network.gate_parameters()
    assert sum(len(part) for part in parts) == len(list(network.parameters())) and not parts[2]
    network.train_polynomials(False)
    assert network.polynomial_parameters() == []


def test_metering_leaves_the_network_alone():
    network = gated().train()
    before = {key: value.clone() for key, value in network.state_dict().items() if "meter" not in key}
    network.meter([torch.randn(8, 1, 8, 8), torch.randn(3, 1, 8, 8)])
    after = network.state_dict()
    assert network.training and all(torch.equal(value, after[key]) for key, value in before.items())
    assert all(int(site.meter.count[0]) == 11 * site.site[1] * site.site[2] for site in network.sites.values())


def test_recalibration_spares_trained_polynomials():
    network = gated()
    site = next(iter(network.sites.values()))
    state = torch.ones(site.site, dtype=torch.bool)
    state[1, 2, 3] = False
    site.gate = FixedGate(state)
    site.polynomial.set(torch.full((3, 4, 1, 1), 7.0))
    network.meter([torch.randn(8, 1, 8, 8)])
    network.calibrate("exact", only_open=True)
    c0 = site.polynomial.c0.flatten()
    assert c0[1] == 7 and bool((c0[[0, 2, 3]] != 7).all())


def test_calibrating_in_order_keeps_a_quadratic_network_in_bounds():
    """Polynomials set for the network as it was run away once everything is replaced; those set in order do not."""
    torch.manual_seed(0)
    images = [torch.randn(64, 1, 8, 8) for _ in range(4)]

    def closed():
        network = gated(8).train()
        for batch in images * 5:
            network(batch)  # batch norms settle
        network.meter(images)
        network.calibrate("exact")
        before = {name: site.gate.state.clone() for name, site in network.sites.items()}
        network.set_gates(lambda _, site: FixedGate(torch.zeros(site.site)))
        return network, before

    loose, _ = closed()
    ordered, before = closed()
    ordered.calibrate_in_order("exact", images, before)
    with torch.no_grad():
        bounded, runaway = ordered.train()(images[0]), loose.train()(images[0])
    assert not runaway.isfinite().all() or runaway.abs().max() > 10 * bounded.abs().max()
    assert bounded.abs().max() < 100


def test_norms_settled_on_images_normalise_them_as_training_does():
    """Evaluation then gives what training mode gives on the same images, although the running statistics lagged behind."""
    torch.manual_seed(0)
    network, images = gated(4), torch.randn(512, 1, 8, 8)
    with torch.no_grad():
        for parameter in network.weight_parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        trained, lagging = network.train()(images), network.eval()(images)
        network.train().settle_norms(images)
        assert network.training and all(norm.momentum == 0.1 for norm in network.modules() if hasattr(norm, "momentum"))
        settled = network.eval()(images)
    assert (lagging - trained).abs().max() > 0.1 * trained.abs().max()
    assert (settled - trained).abs().max() < 0.05 * trained.abs().max(), "but for the variance's n - 1"


def test_without_gates_is_the_plain_model_bit_for_bit():
    network, images = gated(4).eval(), torch.randn(3, 1, 8, 8)
    plain = network.without_gates().eval()
    assert torch.equal(plain(images), network(images)) and not count_gated(plain)
    assert count_gated(network.model) == len(network.sites) == 16


def count_gated(model):
    return sum(isinstance(module, GatedActivation) for module in model.modules())


def test_calibrating_in_order_spares_groups_closed_long_ago():
    network = gated()
    site = next(iter(network.sites.values()))
    state = torch.ones(site.site, dtype=torch.bool)
    state[1] = False
    site.gate = FixedGate(state)
    site.polynomial.set(torch.full((3, 4, 1, 1), 0.5))
    before = {name: other.gate.state.clone() for name, other in network.sites.items()}
    state = state.clone()
    state[2, :4] = False
    site.gate = FixedGate(state)
    network.calibrate_in_order("exact", [torch.randn(8, 1, 8, 8)], before)
    c0 = site.polynomial.c0.flatten()
    assert c0[2] != 0.5 and bool((c0[[0, 1, 3]] == 0.5).all())
