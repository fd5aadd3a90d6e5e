"""The transformer baseline: with a cache it is the same function, and its cache grows as it must."""

import pytest
import torch

from effml.models.transformer import Transformer


@pytest.mark.parametrize("prompt", [1, 6, 15])
def test_prompt_and_cached_steps_equal_the_whole(prompt):
    model = Transformer(32, 2, 4).double()
    x = torch.randn(2, 15, 32, dtype=torch.float64)
    whole, _ = model(x)
    head, cache = model(x[:, :prompt], model.start(2, 15))
    tail = [model.step(x[:, n], cache) for n in range(prompt, 15)]
    torch.testing.assert_close(torch.cat([head, *(y[:, None] for y in tail)], 1), whole, rtol=1e-10, atol=1e-10)


def test_causal_or_not():
    x = torch.randn(1, 9, 16)
    changed = x.clone()
    changed[:, 6] += 1
    for causal in (True, False):
        model = Transformer(16, 2, 2, causal=causal)
        same = torch.equal(model(x)[0][:, :6], model(changed)[0][:, :6])
        assert same == causal


def test_cache_bytes_are_linear_in_length():
    model = Transformer(16, 3, 2)
    cache = model.start(2, 64)
    sizes = []
    for _ in range(32):
        model.step(torch.randn(2, 16), cache)
        sizes.append(cache.nbytes)
    assert sizes == [3 * 2 * 2 * 16 * 4 * length for length in range(1, 33)], "layers, K and V, B, d, float32"


def test_full_cache_is_an_error():
    model = Transformer(16, 1, 2)
    cache = model.start(1, 1)
    model.step(torch.randn(1, 16), cache)
    with pytest.raises(ValueError, match="full with 1 tokens"):
        model.step(torch.randn(1, 16), cache)
    with pytest.raises(ValueError, match="only into an empty cache"):
        model(torch.randn(1, 1, 16), cache)
    with pytest.raises(ValueError, match="sees both ways"):
        Transformer(16, 1, 2, causal=False).start(1, 8)
