"""Every way of keeping a layer computes the same network of its kind, with the same gradients."""

import warnings

import pytest
import torch

from effml.models.spiking.kept import CONTROLS, KEPT, ORDINARY, REVERSIBLE, Constants, neuron_of
from effml.models.spiking.networks import spiking_convnet, spiking_mlp, spiking_vgg, trainable

SAME_AS_LEAKY = ("lif", "lif-norm", "checkpoint", "bit-checkpoint")
SAME_AS_BITS = ("rev-paper", "rev-anchor", "rev-norm", "rev-double", "rev-whole")


def output_and_gradients(kept, build, x, reference=None):
    net = build(kept).to(x.dtype)
    if reference is not None:  # the same values in the same order, whatever the modules are called
        for mine, theirs in zip(net.parameters(), reference.parameters(), strict=True):
            mine.data.copy_(theirs.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logits = net(x)
    logits.square().sum().backward()
    return net, [logits.detach(), *(p.grad for p in net.parameters())]


@pytest.mark.parametrize(
    ("first", "others", "dtype", "tolerance"),
    [
        ("leaky", SAME_AS_LEAKY, torch.float32, 1e-4),  # snntorch's spikes are float32 whatever comes in
        ("rev-bits", SAME_AS_BITS, torch.float64, 1e-7),
    ],
)
def test_ways_of_keeping_agree_on_output_and_gradients(first, others, dtype, tolerance):
    x = torch.rand(6, 2, 2, 8, 8, dtype=dtype)
    build = lambda kept: spiking_convnet(kept, 2, 4, 4, 8, 3)  # noqa: E731
    net, expected = output_and_gradients(first, build, x)
    assert all(float(gradient.abs().sum()) > 0 for gradient in expected)
    for kept in others:
        _, actual = output_and_gradients(kept, build, x, net)
        for got, want in zip(actual, expected, strict=True):
            error = float((got - want).norm() / want.norm())
            assert error < tolerance, kept


@pytest.mark.parametrize("kept", [kept for kept in KEPT if kept != "depth"])
def test_vgg_of_every_kind_takes_a_still_image(kept):
    if kept == "online":
        pytest.skip("one step at a time")
    net = spiking_vgg(kept, 11, 1, 2, 5)
    logits = net(torch.rand(2, 1, 32, 32), 3)
    assert logits.shape == (2, 5)
    logits.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_still_image_is_the_same_as_its_repetition():
    for kept in ("lif", "bit-checkpoint", "depth", "rev-norm"):
        net = spiking_convnet(kept, 1, 4, 2, 6).double()
        x = torch.rand(2, 1, 6, 6, dtype=torch.float64)
        torch.testing.assert_close(net(x, 5), net(x.expand(5, 2, 1, 6, 6)))
    with pytest.raises(ValueError, match="steps=T"):
        net(x)


def test_widths_and_parameters():
    assert trainable(spiking_convnet("leaky")) == trainable(spiking_convnet("rev-norm"))
    assert [sum(isinstance(m, torch.nn.Conv2d) for m in spiking_vgg("lif", d, width=2).modules()) for d in (11, 13, 16, 19)] == [
        8, 10, 13, 16,
    ]  # fmt: skip
    assert {*ORDINARY, *REVERSIBLE, *CONTROLS} == set(KEPT)


def test_what_cannot_work_is_refused():
    for call, words in [
        (lambda: neuron_of("bits", Constants()), "none of leaky"),
        (lambda: spiking_convnet("lif", layers=3), "even number"),
        (lambda: spiking_vgg("depth"), "reversible in depth"),
        (lambda: spiking_vgg("lif", 12), "none of 11, 13"),
        (lambda: spiking_mlp("rev-norm", 4, (4,), 2), "convolutional"),
        (lambda: neuron_of("leaky", Constants(spike_grad="atan")), "takes a function"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
