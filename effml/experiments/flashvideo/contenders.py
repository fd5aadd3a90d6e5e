"""What is timed against length: one more token by each contender, as attention core and as whole network.

Every contender does the same job at its best: caches are allocated once and written in place, attention is the faster of
torch's fused one and plain products, networks have equal width, depth and number of weights. Knows nothing of tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from effml.experiments.core.measure import interleave, scaled_error
from effml.experiments.flashvideo.config import Decode
from effml.kernels import retention_step
from effml.models.retnet import decay
from effml.models.video.language_model import Shape, VideoModel
from effml.models.video.layout import Layout
from effml.models.video.masked import MaskedVideoModel

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
RETNET, CACHED, UNCACHED, MASKED = "retnet", "transformer cached", "transformer uncached", "masked"
BASELINES = (CACHED, UNCACHED, MASKED)
PATCHES = 64  # codes a frame of the timed networks
CODES = 1024


@dataclass(frozen=True)
class Contender:
    """`call` makes one token; `nbytes` and `flops` are the least that it must move and compute for that, `state_bytes`
    what it keeps of the tokens so far. `share` is what one call is of a token: masked generation makes all tokens of a
    clip in a few passes."""

    call: Callable[[], Any]
    nbytes: float
    flops: float
    state_bytes: float
    share: float = 1.0


class RetentionCore:
    """One layer's retention alone: the state of `batch` sequences and the next token's q, k, v."""

    def __init__(self, options: Decode, batch: int, device: torch.device) -> None:
        H, K = options.heads, options.width // options.heads
        dtype = DTYPES[options.dtype]
        self.q, self.k = (torch.randn(batch, H, K, device=device).to(dtype) for _ in range(2))
        self.v = torch.randn(batch, H, 2 * K, device=device).to(dtype)
        self.state = torch.randn(batch, H, K, 2 * K, device=device)
        self.log_gamma = torch.tensor(decay.framewise(H, PATCHES + 1, 16), device=device)

    def __call__(self) -> Tensor:
        return retention_step(self.state, self.q, self.k, self.v, self.log_gamma)

    def expected(self) -> Tensor:
        """What the next call must return, in float64."""
        q, k, v, state = (x.double() for x in (self.q, self.k, self.v, self.state))
        state = self.log_gamma.double().exp()[:, None, None] * state + k[..., None] * v[..., None, :]
        return torch.einsum("bhk,bhkv->bhv", q, state) * q.shape[-1] ** -0.5


class AttentionCore:
    """One layer's attention alone: a cache of `length - 1` tokens and the next token's q, k, v."""

    def __init__(self, options: Decode, batch: int, length: int, device: torch.device) -> None:
        H, K = options.heads, options.width // options.heads
        dtype = DTYPES[options.dtype]
        self.q, self.k, self.v = (torch.randn(batch, H, 1, K, device=device).to(dtype) for _ in range(3))
        self.keys, self.values = (torch.randn(batch, H, length, K, device=device).to(dtype) for _ in range(2))
        self.place = length - 1
        ways: dict[str, Callable[..., Tensor]] = {"fused": F.scaled_dot_product_attention, "plain": plain_attention}
        calls = {name: (lambda way=way: way(self.q, self.keys, self.values)) for name, way in ways.items()}
        timings = interleave(calls, rounds=5, device=device)
        self.attend = ways[min(timings, key=lambda name: timings[name].median)]

    def __call__(self) -> Tensor:
        self.keys[:, :, self.place] = self.k[:, :, 0]
        self.values[:, :, self.place] = self.v[:, :, 0]
        return self.attend(self.q, self.keys, self.values)

    def expected(self) -> Tensor:
        """What the next call must return, in float64."""
        q, k, v, keys, values = (x.double() for x in (self.q, self.k, self.v, self.keys, self.values))
        return plain_attention(q, torch.cat([keys[:, :, :-1], k], 2), torch.cat([values[:, :, :-1], v], 2))


def plain_attention(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return torch.softmax(q @ keys.transpose(-1, -2) * q.shape[-1] ** -0.5, -1) @ values


def cores(options: Decode, batch: int, length: int, device: torch.device) -> dict[str, Contender]:
    """One layer alone, for the `length`-th token.

    Raises:
        RuntimeError: a core that does not compute what it should, which must not be timed.
    """
    H, K, size = options.heads, options.width // options.heads, DTYPES[options.dtype].itemsize
    ours, theirs = RetentionCore(options, batch, device), AttentionCore(options, batch, length, device)
    for core in (ours, theirs):
        expected = core.expected()
        error = scaled_error(core().double(), expected)
        if error > (1e-4 if options.dtype == "fp32" else 3e-2):
            raise RuntimeError(f"{type(core).__name__} at length {length} is wrong by {error:.2g}; it is not timed")
    q, keys, values = (torch.randn(batch, H, length, K, device=device).to(theirs.q.dtype) for _ in range(3))
    kept = 2.0 * batch * H * length * K * size
    full = 4.0 * batch * H * length**2 * K
    causal = lambda: F.scaled_dot_product_attention(q, keys, values, is_causal=True)  # noqa: E731
    both = lambda: F.scaled_dot_product_attention(q, keys, values)  # noqa: E731
    rounds = options.masked_rounds
    return {
        RETNET: Contender(ours, 2.0 * ours.state.nbytes, 4.0 * ours.state.numel(), ours.state.nbytes),
        CACHED: Contender(theirs, kept, 4.0 * batch * H * length * K, kept),
        UNCACHED: Contender(causal, 2 * kept, full / 2, 0.0),
        MASKED: Contender(both, 2 * kept, full, 0.0, rounds / length),
    }


class Networks:
    """The whole networks, built once for all lengths."""

    def __init__(self, options: Decode, device: torch.device) -> None:
        self.options, self.device = options, device
        frames = -(-max(options.lengths) // (PATCHES + 1)) + 1
        layout = Layout(CODES, 32, 8, PATCHES, frames)
        shape = Shape(options.width, options.layers, options.heads)
        dtype = DTYPES[options.dtype]
        self.retnet = VideoModel(layout, shape).to(device, dtype).eval()
        self.transformer = VideoModel(layout, shape, "transformer").to(device, dtype).eval()
        self.masked = MaskedVideoModel(layout, shape).to(device, dtype).eval()

    def parameters(self) -> dict[str, int]:
        models: dict[str, Any] = {
            RETNET: self.retnet,
            CACHED: self.transformer,
            UNCACHED: self.transformer,
            MASKED: self.masked,
        }
        return {name: model.parameters_count for name, model in models.items()}

    @torch.no_grad()
    def check(self) -> None:
        """Steps after a prompt must agree with one pass over everything; RuntimeError otherwise."""
        ids = torch.randint(CODES, (2, 40), device=self.device)
        for name, model in ((RETNET, self.retnet), (CACHED, self.transformer)):
            expected = model(ids)[:, -1].double()
            _, state = model.read(ids[:, :-1], model.stack.start(2, 40))
            error = scaled_error(model.step(ids[:, -1], state).double(), expected)
            if error > (1e-3 if self.options.dtype == "fp32" else 5e-2):
                raise RuntimeError(
                    f"{name}: a step is off by {error:.2g} from the pass over everything; it is not timed"
                )

    @torch.no_grad()
    def contenders(self, batch: int, length: int) -> dict[str, Contender]:
        """For the `length`-th token."""
        device, options = self.device, self.options
        one = torch.randint(CODES, (batch,), device=device)
        everything = torch.randint(CODES, (batch, length), device=device)
        state = self.retnet.stack.start(batch)
        cache = self.transformer.stack.start(batch, length)
        for tensor in (*state.layers, *cache.keys, *cache.values):
            tensor.normal_()

        def step() -> Tensor:
            return self.retnet.step(one, state)

        def cached() -> Tensor:
            cache.position = length - 1
            return self.transformer.step(one, cache)

        @torch.no_grad()
        def uncached() -> Tensor:
            hidden, _ = self.transformer.stack(self.transformer.embed(everything))
            return self.transformer.head(hidden[:, -1])

        prefix = self.masked.layout.prefix
        frames = max(1, (length - prefix) // PATCHES)
        text = torch.zeros(batch, prefix - 1, dtype=torch.long, device=device)
        codes = torch.randint(CODES, (batch, frames, PATCHES), device=device)

        @torch.no_grad()
        def masked() -> Tensor:
            return self.masked(text, codes)

        weights = sum(weight.nbytes for block in self.retnet.stack.blocks for weight in block.parameters())
        products = 2.0 * batch * sum(weight.numel() for weight in self.retnet.stack.blocks.parameters())
        head = 2.0 * batch * options.width * CODES
        cache.position = length
        kept = cache.nbytes
        seen = 4.0 * batch * length * options.width * options.layers
        return {
            RETNET: Contender(
                torch.no_grad()(step),
                weights + 2.0 * state.nbytes,
                products + head + 4.0 * state.nbytes / 4,
                state.nbytes,
            ),
            CACHED: Contender(torch.no_grad()(cached), weights + kept, products + head + seen, kept),
            UNCACHED: Contender(uncached, weights, products * length + head + seen * length / 2, 8.0 * batch * length),
            MASKED: Contender(
                masked,
                weights,
                (products + head + seen) * length,
                8.0 * batch * length,
                options.masked_rounds / (frames * PATCHES),
            ),
        }
