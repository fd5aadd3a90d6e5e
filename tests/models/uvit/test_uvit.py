"""The architecture is the public one: exact parameter counts, exact costs, exact conversion."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from effml.errors import MissingRequirement
from effml.models.uvit import UViT
from effml.models.uvit.convert import load_public, to_ours
from effml.models.uvit.cost import until, whole

SMALL = {"sample_size": 8, "patch_size": 2, "in_channels": 1, "width": 32, "depth": 4, "heads": 2}


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_the_papers_models():
    with torch.device("meta"):
        cifar, celeba = UViT(uem="none"), UViT(sample_size=64, patch_size=4, uem="none")
        assert count(cifar) == 44_255_328 and count(celeba) == 44_292_228
        assert count(UViT(uem="tokens").uncertainty_heads) == 80_028
        assert count(UViT(uem="concat").uncertainty_heads) == 159_900
        assert count(UViT(sample_size=64, patch_size=4, uem="tokens").uncertainty_heads) == 320_112
        assert count(UViT(sample_size=64, patch_size=4, uem="concat").uncertainty_heads) == 639_600


@pytest.mark.parametrize(("width", "std"), [(512, 0.02), (128, 0.04), (32, 0.08)])
def test_weights_begin_as_published_at_width_512_and_larger_where_they_are_fewer(width, std):
    model = UViT(**{**SMALL, "width": width})
    for weight in (model.blocks[0].fc1.weight, model.blocks[-1].skip_linear.weight):
        assert weight.std().item() == pytest.approx(std, rel=0.1)


def test_cost_of_the_cifar_model_is_12_2_gmac_as_torch_counts_it():
    with torch.device("meta"):
        model = UViT(uem="none")
        x = torch.empty(1, 3, 32, 32)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
            model(x, torch.zeros(1))
    assert whole(model) == counter.get_total_flops() // 2
    assert whole(model) / 1e9 == pytest.approx(12.2, abs=0.01)


@pytest.mark.parametrize("threshold", [0.0, 2.0])
def test_cost_of_an_exit_is_as_torch_counts_it(threshold):
    from effml.models.exits.forward import forward
    from effml.models.exits.policies import Uem

    model, x = UViT(**SMALL, uem="tokens"), torch.randn(1, 1, 8, 8)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        result = forward(model, x, 500, Uem(threshold))
    assert until(model, int(result.layer), checks=result.checks) == counter.get_total_flops() // 2


def test_the_four_papers_models_load_and_step():
    with torch.device("meta"):
        cases = [
            (UViT(), (1, 3, 32, 32), {}),
            (UViT(sample_size=64, patch_size=4), (1, 3, 64, 64), {}),
            (
                UViT(32, 2, 4, 1024, 20, 16, num_classes=1001),
                (1, 4, 32, 32),
                {"class_labels": torch.zeros(1, dtype=torch.long)},
            ),
            (UViT(32, 2, 4, 512, 12, 8, text_tokens=77), (1, 4, 32, 32), {"text": torch.zeros(1, 77, 768)}),
        ]
        for model, shape, condition in cases:
            assert model(torch.zeros(shape), torch.zeros(1), **condition).shape == shape
            assert model.num_exits in (13, 21)


def test_public_names_load_and_certainty_becomes_uncertainty(tmp_path):
    ours = UViT(**SMALL, uem="tokens")
    public = {}
    inner = {"qkv": "attn.qkv", "proj": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
    for name, value in ours.state_dict().items():
        head, _, rest = name.partition(".")
        if head == "blocks":
            index, _, part = rest.partition(".")
            first = part.split(".")[0]
            part = inner.get(first, first) + part[len(first) :]
            place = {0: "in_blocks.0", 1: "in_blocks.1", 2: "mid_block", 3: "out_blocks.0", 4: "out_blocks.1"}[
                int(index)
            ]
            public[f"{place}.{part}"] = value
        elif head == "uncertainty_heads":
            index, _, part = rest.partition(".")
            public[f"lte_classifer.{index}.lte.{part}"] = -value
        elif head in ("norm", "decoder_pred", "final_layer"):
            public[f"{head}.{rest.removeprefix('0.')}"] = value
        else:
            public[name.replace("patch_embed", "patch_embed.proj")] = value
    torch.save(public, tmp_path / "adadiff.pth")
    loaded = UViT(**SMALL, uem="tokens")
    assert load_public(loaded, tmp_path / "adadiff.pth") == []
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), loaded.state_dict().values(), strict=True))
    # certainty > 1 - tau exits exactly where uncertainty < tau does
    tokens, time = ours.embed(torch.randn(3, 1, 8, 8), 10)
    certainty = torch.sigmoid(-ours.uncertainty_logits(0, tokens, time))
    torch.testing.assert_close(1 - certainty, torch.sigmoid(loaded.uncertainty_logits(0, tokens, time)))
    plain = {k: v for k, v in public.items() if not k.startswith("lte")}
    torch.save(plain, tmp_path / "uvit.pth")
    assert all(name.startswith("uncertainty_heads.") for name in load_public(UViT(**SMALL), tmp_path / "uvit.pth"))
    assert "blocks.2.qkv.weight" in to_ours(plain, 4)


def test_a_wrong_checkpoint_is_named(tmp_path):
    (tmp_path / "half.pth").write_bytes(b"PK")
    with pytest.raises(MissingRequirement, match="readable"):
        load_public(UViT(**SMALL), tmp_path / "half.pth")
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(MissingRequirement, match="does not fit"):
        load_public(UViT(**SMALL), tmp_path / "other.pth")
    torch.save({"pos_embed": torch.zeros(1, 3, 32)}, tmp_path / "shape.pth")
    with pytest.raises(MissingRequirement, match="another architecture"):
        load_public(UViT(**SMALL), tmp_path / "shape.pth")


def test_saves_and_loads_as_a_diffusers_model(tmp_path):
    model, x = UViT(**SMALL).eval(), torch.randn(2, 1, 8, 8)
    model.save_pretrained(tmp_path)
    again = UViT.from_pretrained(tmp_path).eval()
    assert torch.equal(model(x, 3), again(x, 3))


def test_concat_split_equals_the_whole_product():
    model = UViT(**SMALL, uem="concat")
    tokens, time = model.embed(torch.randn(2, 1, 8, 8), torch.tensor([5, 900]))
    module, patches = model.uncertainty_heads[1], tokens[:, model.extras :]
    whole_product = module(torch.cat([patches, time[:, None].expand(-1, patches.shape[1], -1)], dim=-1))
    torch.testing.assert_close(model.uncertainty_logits(1, tokens, time), whole_product, rtol=1e-5, atol=1e-6)
    mean = torch.sigmoid(whole_product).flatten(1).mean(1)
    with torch.no_grad():
        torch.testing.assert_close(model.mean_uncertainty(1, tokens, time), mean, rtol=1e-5, atol=1e-6)
