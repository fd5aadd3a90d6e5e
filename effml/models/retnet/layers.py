"""The layers of RetNet: multi-scale retention with gate and per-head norm, and the feed-forward layer.

With key width d, value width 2d and a feed-forward width of 2d, a block has 12 d^2 weights, as many as a transformer's
(arXiv 2307.08621, section 2.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from effml.kernels import retention, retention_step
from effml.models.retnet.rotation import rotate


class MultiScaleRetention(nn.Module):
    """`(silu(X W_G) . norm_h(retention(X W_Q, X W_K, X W_V))) W_O` with one decay per head.

    The norm is the paper's GroupNorm with a group per head: each head's output is centred and divided by its deviation,
    which makes it blind to the scale of every row. The row normalisers of the paper would therefore change nothing but
    rounding and are left out.
    """

    log_gamma: Tensor

    def __init__(self, width: int, log_gammas: Sequence[float], chunk: int = 64) -> None:
        """`width` d, divisible by the number of heads, which is the length of `log_gammas`."""
        super().__init__()
        self.heads = len(log_gammas)
        if width % (2 * self.heads):
            raise ValueError(f"width {width} does not split into {self.heads} heads of an even number of channels")
        self.width, self.chunk = width, chunk
        self.log_gammas = tuple(log_gammas)
        self.project = nn.Linear(width, 6 * width, bias=False)  # q, k: d each; v, gate: 2d each
        self.out = nn.Linear(2 * width, width, bias=False)
        self.register_buffer("log_gamma", torch.tensor(self.log_gammas, dtype=torch.float64), persistent=False)
        for part in self.project.weight.split([width, width, 2 * width, 2 * width]):
            nn.init.xavier_uniform_(part, gain=2**-2.5)
        nn.init.xavier_uniform_(self.out.weight, gain=0.5)

    def _apply(self, fn, recurse=True):
        """Move with the module but stay float64: rounded to 16 bits, the slow decays would be 1."""
        super()._apply(fn, recurse)
        self.log_gamma = torch.tensor(self.log_gammas, dtype=torch.float64, device=self.log_gamma.device)
        return self

    def empty_state(self, batch: int) -> Float[Tensor, "B H K V"]:
        weight = self.out.weight
        dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        keys = self.width // self.heads
        return torch.zeros(batch, self.heads, keys, 2 * keys, dtype=dtype, device=weight.device)

    def forward(
        self, x: Float[Tensor, "B T d"], turn: Tensor, state: Float[Tensor, "B H K V"] | None
    ) -> tuple[Float[Tensor, "B T d"], Float[Tensor, "B H K V"]]:
        q, k, v, gate = self._split(x, turn)
        o, state = retention(q, k, v, self.log_gamma, initial_state=state, return_state=True, chunk=self.chunk)
        return self._join(o, gate), state

    def step(self, x: Float[Tensor, "B d"], turn: Tensor, state: Float[Tensor, "B H K V"]) -> Float[Tensor, "B d"]:
        """One token; `state` is updated in place."""
        q, k, v, gate = self._split(x[:, None], turn)
        o = retention_step(state, q[:, 0], k[:, 0], v[:, 0], self.log_gamma)
        return self._join(o[:, None], gate)[:, 0]

    def _split(self, x: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        d = self.width
        q, k, v, gate = self.project(x).split([d, d, 2 * d, 2 * d], -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in (q, k, v))
        return rotate(q, turn), rotate(k, turn), v, gate

    def _join(self, o: Tensor, gate: Tensor) -> Tensor:
        normed = F.layer_norm(o, o.shape[-1:], eps=1e-6).flatten(-2)
        return self.out(F.silu(gate) * normed)


class FeedForward(nn.Module):
    """`gelu(X W_1) W_2`, no bias."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        nn.init.xavier_uniform_(self.up.weight)
        nn.init.xavier_uniform_(self.down.weight, gain=0.5)

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        return self.down(F.gelu(self.up(x)))
