"""Lookahead against its recursion."""

import pytest
import torch

from effml.models.lookahead import Lookahead


def test_weights_follow_the_recursion_of_slow_and_fast(seed):
    weight = torch.nn.Parameter(torch.randn(5, dtype=torch.float64))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    ahead = Lookahead([weight], k=3, alpha=0.4)
    slow = fast = weight.detach().clone()
    for step in range(1, 11):
        weight.grad = torch.randn(5, dtype=torch.float64)
        fast = fast - 0.1 * weight.grad
        optimiser.step()
        ahead.step()
        if step % 3 == 0:
            slow = fast = slow + 0.4 * (fast - slow)
        torch.testing.assert_close(weight.detach(), fast, rtol=0, atol=1e-14)


def test_alpha_of_one_changes_nothing(seed):
    weight = torch.nn.Parameter(torch.randn(4))
    ahead = Lookahead([weight], k=1, alpha=1.0)
    with torch.no_grad():
        weight.add_(1)
    moved = weight.detach().clone()
    ahead.step()
    assert torch.equal(weight, moved)


@pytest.mark.parametrize(("k", "alpha"), [(0, 0.5), (6, 0.0), (6, 1.5)])
def test_settings_without_meaning_are_refused(k, alpha):
    with pytest.raises(ValueError, match="Lookahead takes"):
        Lookahead([], k, alpha)
