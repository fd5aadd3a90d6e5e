"""Party programs compute what the network does, folded or not, and part secrets from what is public."""

import pytest
import torch
from torch import nn

from effml.models.gated import FixedGate
from effml.models.private.export import export
from effml.models.private.plain import infer
from effml.models.private.program import Program
from effml.models.reduction.network import GatedNetwork
from effml.models.resnet import ResNet, WideResNet


def trained_looking(model, size=8, share=0.3, **options):
    """A gated network with unlike batch norms, polynomials of modest size, and a random mask."""
    network = GatedNetwork(model, (1, size, size), **options).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, -1, 1)
            nn.init.normal_(module.bias, 0, 0.3)
    for site in network.sites.values():
        site.polynomial.set(torch.randn(len(site.polynomial()), *site.meter.shape, dtype=torch.float64) * 0.1)
        site.gate = FixedGate(torch.rand(site.gate.state.shape) < share)
    return network.eval()


NETWORKS = {"resnet": lambda: ResNet(10, 4, 1), "wide": lambda: WideResNet(10, 10, 1, 1)}


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("network", NETWORKS)
def test_program_equals_network(network, degree, fold):
    gated = trained_looking(NETWORKS[network](), degree=degree)
    program = export(gated, fold)
    images = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(infer(program, images), gated(images), rtol=1e-10, atol=1e-10)
    assert program.relus == gated.kept
    assert program.squares == (gated.total - gated.kept if degree == 2 else 0)


def affine_sites(program):
    activations = [operation for operation in program.operations if operation.kind == "activation"]
    return {operation.name: operation.tensors["affine"].numel() for operation in activations}


@pytest.mark.parametrize("network", NETWORKS)
def test_affine_channels_are_folded_exactly_at_the_border_too(network):
    gated = trained_looking(NETWORKS[network](), degree=1, share=0.0)
    images = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    folded, loose = export(gated), export(gated, fold=False)
    torch.testing.assert_close(infer(folded, images), gated(images), rtol=1e-10, atol=1e-10)
    assert sum(affine_sites(loose).values()) == gated.total
    after_one = "act1" if network == "resnet" else "act2"
    inner = [count for name, count in affine_sites(folded).items() if name.endswith(after_one)]
    assert inner and not any(inner), "what follows one convolution alone costs nothing"
    if network == "resnet":
        outer = [count for name, count in affine_sites(folded).items() if name.endswith("act2")]
        assert [bool(count) for count in outer] == [True, True, False, True, False, True, False, True], (
            "a sum is folded where both its terms are convolutions, and not where one is an identity shortcut"
        )


def test_single_channels_are_folded():
    gated = trained_looking(ResNet(10, 4, 1), degree=1, share=0.0)
    site = gated.sites["blocks.0.act1"]
    state = torch.zeros(site.site, dtype=torch.bool)
    state[2, 5, 5] = True
    site.gate = FixedGate(state)
    counts = affine_sites(export(gated))
    assert counts["blocks_0_act1"] == 63, "the other sites of the one channel with a ReLU"


def test_identity_sites_are_in_no_list():
    gated = trained_looking(ResNet(10, 4, 1), degree=1, share=0.5)
    for site in gated.sites.values():
        site.calibrate("identity")
    assert not any(affine_sites(export(gated, fold=False)).values())


def test_client_gets_no_weights(tmp_path):
    gated = trained_looking(ResNet(10, 4, 1))
    program = export(gated)
    program.save(tmp_path / "public.pt", tmp_path / "secret.pt")
    client = Program.load(tmp_path / "public.pt", None)
    server = Program.load(tmp_path / "public.pt", tmp_path / "secret.pt")
    names = {key for operation in client.operations for key in operation.tensors}
    assert "weight" not in names and "bias" not in names and "relu" in names
    assert (client.relus, client.squares, client.relu_layers) == (program.relus, program.squares, 16)
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    assert torch.equal(infer(server, images), infer(program, images))


def test_what_has_no_form_is_named():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Sigmoid())
    with pytest.raises(ValueError, match="no form for Sigmoid"):
        export(GatedNetwork(model, (1, 4, 4)))
