"""Generating clips code by code, and continuing them: the state after a clip is all that its continuation needs.

Knows nothing of words or pixels. Serial numbers are fed, not sampled. `cached=False` is the transformer without a cache,
which reads everything again for each code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from effml.models.video.language_model import VideoModel


@dataclass(frozen=True)
class Choice:
    """How a code is drawn: softmax at `temperature` (0: the likeliest) among the `top_k` likeliest (0: all) that make up
    the first `top_p` of the probability."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


@dataclass
class Session:
    """Clips under way: the model's state, the logits of the code due next and the frames done.

    `tokens` holds all ids so far where the model keeps no state of them, else None.
    """

    state: Any
    logits: Float[Tensor, "B codes"]
    frames: int = 0
    tokens: Int[Tensor, "B T"] | None = None

    def copy(self, repeats: int = 1) -> Session:
        """The same clips to be continued on their own, each `repeats` times: one reading of a prompt serves many draws."""
        state = None if self.state is None else self.state.copy(repeats)
        tokens = None if self.tokens is None else self.tokens.repeat_interleave(repeats, 0)
        return Session(state, self.logits.repeat_interleave(repeats, 0), self.frames, tokens)


class Sampler:
    """Draws clips from a `VideoModel`; `passes` counts the forward passes made."""

    def __init__(self, model: VideoModel, cached: bool = True) -> None:
        if not cached and model.kind == "retnet":
            raise ValueError("RetNet keeps a state instead of a cache; cached=False is for transformers")
        self.model, self.cached, self.passes = model, cached, 0

    @torch.no_grad()
    def begin(self, text: Int[Tensor, "B P"], frames: int = 0, shown: Int[Tensor, "B F N"] | None = None) -> Session:
        """Read captions, and frames already `shown` if any, in parallel.

        `frames` is the number of frames that will be generated in all: a key-value cache must know its size beforehand.
        """
        layout = self.model.layout
        ids = layout.text_prefix(text) if shown is None else layout.sequence(text, shown)
        done = 0 if shown is None else shown.shape[1]
        self._check(frames + done)
        capacity = layout.length(max(frames + done, 1))
        if not self.cached:
            return Session(None, self._reread(ids), done, ids)
        state = self.model.stack.start(len(text), capacity)
        logits, state = self.model.read(ids, state)
        self.passes += 1
        return Session(state, logits, done)

    @torch.no_grad()
    def extend(
        self, session: Session, frames: int, choice: Choice | None = None, generator: torch.Generator | None = None
    ) -> Int[Tensor, "B F N"]:
        """Codes of `frames` more frames; `session` is carried on in place and can be extended again.

        Raises:
            ValueError: no frames asked for, or more than the model has serial numbers for.
        """
        if frames < 1:
            raise ValueError(f"{frames} frames cannot be generated; ask for at least one")
        self._check(session.frames + frames)
        choice, layout = choice or Choice(), self.model.layout
        made = []
        for _ in range(frames):
            if layout.serial == "token":
                self._feed(session, torch.full_like(session.logits[:, 0], layout.serial_number(session.frames)).long())
            for _ in range(layout.patches):
                code = draw(session.logits, choice, generator)
                made.append(code)
                self._feed(session, code)
            session.frames += 1
        return torch.stack(made, 1).unflatten(1, (frames, layout.patches))

    def generate(
        self,
        text: Int[Tensor, "B P"],
        frames: int,
        choice: Choice | None = None,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "B F N"]:
        """Codes of whole clips for these captions."""
        if frames < 1:
            raise ValueError(f"{frames} frames cannot be generated; ask for at least one")
        return self.extend(self.begin(text, frames), frames, choice, generator)

    def _feed(self, session: Session, ids: Tensor) -> None:
        self.passes += 1
        if session.tokens is None:
            session.logits = self.model.step(ids, session.state)
        else:
            session.tokens = torch.cat([session.tokens, ids[:, None]], 1)
            session.logits = self._reread(session.tokens)

    def _reread(self, ids: Tensor) -> Tensor:
        hidden, _ = self.model.stack(self.model.embed(ids))
        return self.model.head(hidden[:, -1])

    def _check(self, frames: int) -> None:
        most = self.model.layout.frames
        if frames > most and self.model.layout.serial != "none":
            raise ValueError(f"{frames} frames are more than the {most} for which the model has serial numbers")


def draw(logits: Float[Tensor, "B codes"], choice: Choice, generator: torch.Generator | None) -> Int[Tensor, " B"]:
    """One code for each row."""
    if choice.temperature == 0:
        return logits.argmax(-1)
    logits = logits.float() / choice.temperature
    if 0 < choice.top_k < logits.shape[-1]:
        smallest = logits.topk(choice.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < smallest, -torch.inf)
    if choice.top_p < 1:
        ordered, order = logits.sort(descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        dropped = torch.zeros_like(before, dtype=torch.bool).scatter_(1, order, before >= choice.top_p)
        logits = logits.masked_fill(dropped, -torch.inf)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)
