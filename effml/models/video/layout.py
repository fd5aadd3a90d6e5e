"""How a captioned clip is written as one sequence of tokens, and which of them a model is to predict.

    [BOS] text_1 ... text_P  [SN_1] z_11 ... z_1N  [SN_2] z_21 ... z_2N  ...

N codes a frame in raster order; ids are disjoint: codes first, then words, serial numbers, BOS. The serial-number token
tells a model whose positions are all relative which frame it is in (FlashVideo's abstract names it; the paper's placement
is not known, so "before each frame" is this reconstruction's). It is forced, never sampled, and never a target.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

SERIAL = ("token", "embedding", "none")
IGNORE = -100  # what cross_entropy leaves out


@dataclass(frozen=True)
class Layout:
    """Sizes of a sequence.

    Args:
        codes: codebook size of the tokenizer.
        words: vocabulary size, padding included.
        text: P, words a caption.
        patches: N, codes a frame.
        frames: F, the most frames that a model knows serial numbers for.
        serial: "token" (a token before each frame), "embedding" (a vector added to each token of the frame) or "none".
    """

    codes: int
    words: int
    text: int
    patches: int
    frames: int
    serial: str = "token"

    def __post_init__(self) -> None:
        if self.serial not in SERIAL:
            raise ValueError(f"serial '{self.serial}' is none of {', '.join(SERIAL)}")
        if min(self.codes, self.words, self.patches, self.frames) < 1 or self.text < 0:
            raise ValueError(f"a layout needs at least one code, word, patch and frame: {self}")

    @property
    def tokens(self) -> int:
        """Size of the embedding table."""
        return self.codes + self.words + self.frames + 1

    @property
    def bos(self) -> int:
        return self.tokens - 1

    @property
    def prefix(self) -> int:
        """Tokens before the first frame: BOS and the caption."""
        return 1 + self.text

    @property
    def frame_tokens(self) -> int:
        """Tokens that one frame takes: its codes, and its serial number if that is a token."""
        return self.patches + (self.serial == "token")

    def length(self, frames: int) -> int:
        """Tokens of a whole clip."""
        return self.prefix + frames * self.frame_tokens

    def serial_number(self, frame: int) -> int:
        """Id of the token that announces frame `frame` (from 0)."""
        return self.codes + self.words + frame

    def text_prefix(self, text: Int[Tensor, "B P"]) -> Int[Tensor, "B prefix"]:
        """BOS and the caption's words, as ids."""
        bos = torch.full((len(text), 1), self.bos, dtype=torch.long, device=text.device)
        return torch.cat([bos, self.codes + text], 1)

    def sequence(self, text: Int[Tensor, "B P"], codes: Int[Tensor, "B F N"]) -> Int[Tensor, "B L"]:
        """The whole clip as ids."""
        batch, frames, patches = codes.shape
        if patches != self.patches or frames > self.frames:
            raise ValueError(
                f"{frames} frames of {patches} codes do not fit a layout of up to {self.frames} frames of {self.patches}"
            )
        if self.serial == "token":
            numbers = self.serial_number(0) + torch.arange(frames, device=codes.device)
            codes = torch.cat([numbers[None, :, None].expand(batch, -1, 1), codes], 2)
        return torch.cat([self.text_prefix(text), codes.flatten(1)], 1)

    def targets(self, codes: Int[Tensor, "B F N"]) -> Int[Tensor, "B L_minus_1"]:
        """For each token of `sequence` but the last: the code that follows it, or IGNORE where none does."""
        batch, frames, _ = codes.shape
        if self.serial == "token":
            codes = torch.cat([codes.new_full((batch, frames, 1), IGNORE), codes], 2)
        head = codes.new_full((batch, self.prefix - 1), IGNORE)
        return torch.cat([head, codes.flatten(1)], 1)

    def frame_of(self, start: int, count: int, device: torch.device | str = "cpu") -> Int[Tensor, " count"]:
        """Frame (from 1) that each of the positions `start ... start + count - 1` belongs to; 0 for the prefix."""
        position = torch.arange(start, start + count, device=device) - self.prefix
        return torch.where(position < 0, 0, position // self.frame_tokens + 1)

    def place_of(self, start: int, count: int, device: torch.device | str = "cpu") -> Int[Tensor, " count"]:
        """Place within its frame (from 1) that each of these positions has; 0 for the prefix."""
        position = torch.arange(start, start + count, device=device) - self.prefix
        return torch.where(position < 0, 0, position % self.frame_tokens + 1)
