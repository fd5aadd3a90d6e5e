"""Gates: which sites keep their ReLU. Knows nothing of activations, layers or budgets.

AutoReP's gate is a Schmitt trigger on a trained weight with a straight-through gradient (arXiv 2308.10134); LinGCN
(arXiv 2309.14331) takes the same gradient for its structured indicator; SNL (arXiv 2202.02340) relaxes to [0, 1].
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


def hysteresis(state: Bool[Tensor, "*gate"], weight: Float[Tensor, "*gate"], threshold: float) -> Bool[Tensor, "*gate"]:
    """Next state of the trigger: open gates stay so while `weight > -threshold`, closed ones open above `threshold`."""
    return torch.where(state, weight > -threshold, weight > threshold)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, state: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return state.to(weight.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        # Softplus itself and not its derivative: the papers' choice; never zero, so closed gates can reopen.
        return F.softplus(weight) * grad, None


def straight_through(weight: Float[Tensor, "*gate"], state: Bool[Tensor, "*gate"]) -> Float[Tensor, "*gate"]:
    """The state as 0 and 1, whose gradient reaches `weight` times `softplus(weight)`."""
    return _StraightThrough.apply(weight, state)


class Gate(nn.Module):
    """What every gate offers: called, it returns values in [0, 1]; `state` is the decision, True where ReLU is kept."""

    state: Tensor

    def value(self) -> Float[Tensor, "*gate"]:
        """The gate as it stands, differentiable where it is learned; what a budget's penalty sums."""
        return self.state.float()

    def decide(self) -> Bool[Tensor, "*gate"]:
        """The decision as it stands, without changing anything."""
        return self.state

    def score(self) -> Float[Tensor, "*gate"]:
        """How much a site wants its ReLU: those with the least lose it when a budget must be met exactly."""
        return self.state.float()


class FixedGate(Gate):
    """A decision that no longer changes; `ranking` keeps the scores that led to it, for a later, smaller budget."""

    ranking: Tensor

    def __init__(self, state: Bool[Tensor, "*gate"], ranking: Float[Tensor, "*gate"] | None = None) -> None:
        super().__init__()
        self.register_buffer("state", state.bool().clone())
        self.register_buffer("ranking", (state if ranking is None else ranking).float().clone())

    def forward(self) -> Float[Tensor, "*gate"]:
        return self.state.float()

    def score(self) -> Float[Tensor, "*gate"]:
        return self.ranking


class HysteresisGate(Gate):
    """AutoReP's gate. All open at first; `weight ~ U(low, high)` is trained, in float32 also under autocast.

    Args:
        shape: gate shape, `[C, H, W]` per pixel.
        threshold: half-width of the trigger's dead band; 0.003 in the paper's published settings.
        low, high: range of the initial weights; the paper's is (0, 1). A weight moves by about the learning rate in
            each step of Adam, so a short schedule wants a narrow range.
        limit: weights stay within +-limit, because a closed gate's gradient never vanishes and would carry it away.
    """

    flips: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        threshold: float = 0.003,
        low: float = 0.0,
        high: float = 1.0,
        limit: float = 3.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.threshold, self.limit = threshold, limit
        self.weight = nn.Parameter(torch.empty(shape).uniform_(low, high, generator=generator))
        self.register_buffer("state", torch.ones(shape, dtype=torch.bool))
        self.register_buffer("flips", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self) -> None:
        """One step of the trigger. Applied twice at the same weights it changes nothing the second time."""
        self.weight.clamp_(-self.limit, self.limit)
        state = hysteresis(self.state, self.weight, self.threshold)
        self.flips += (state != self.state).sum()
        self.state.copy_(state)

    def forward(self) -> Float[Tensor, "*gate"]:
        if self.training:
            self.update()
        return self.value()

    def value(self) -> Float[Tensor, "*gate"]:
        return straight_through(self.weight, self.state)

    def score(self) -> Float[Tensor, "*gate"]:
        return self.weight.detach()


class SoftGate(Gate):
    """SNL's gate: the trained weight itself, in [0, 1], counted as open above `floor` (0.01 in SNL)."""

    def __init__(self, shape: tuple[int, ...], floor: float = 0.01) -> None:
        super().__init__()
        self.floor = floor
        self.weight = nn.Parameter(torch.ones(shape))

    @property
    def state(self) -> Bool[Tensor, "*gate"]:  # type: ignore[override]
        return self.weight.detach() > self.floor

    def forward(self) -> Float[Tensor, "*gate"]:
        if self.training:
            with torch.no_grad():  # projected, not clamped: beyond a clamp no gradient would bring a weight back
                self.weight.clamp_(0, 1)
        return self.value()

    def value(self) -> Float[Tensor, "*gate"]:
        return self.weight

    def score(self) -> Float[Tensor, "*gate"]:
        return self.weight.detach()
