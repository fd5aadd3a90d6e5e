"""How fast each head forgets: schedules of log gamma. Knows nothing of tensors' use.

The paper's schedule, gamma_h = 1 - 2^(-5-h), halves a token's weight after 22, 44, 88 ... tokens whatever the data. In a
video of N tokens a frame the same place one frame ago lies N tokens back: for N = 1024 the first heads of that schedule
cannot see it at all. `framewise` spaces the half-lives from a part of a frame to four clips instead.
"""

from __future__ import annotations

import math

SCHEDULES = ("retnet", "framewise")


def retnet(heads: int) -> list[float]:
    """log gamma of each head, arXiv 2307.08621 eq. 8; by log1p, since log(1 - 2^-25) is 0 in float32."""
    return [math.log1p(-(2.0 ** (-5 - h))) for h in range(heads)]


def framewise(heads: int, frame_tokens: int, frames: int) -> list[float]:
    """log gamma with half-lives from 1/8 frame to `4 frames` frames, evenly spaced in their logarithm."""
    low, high = math.log(1 / 8), math.log(4 * frames)
    spread = [low + (high - low) * h / max(heads - 1, 1) for h in range(heads)]
    if heads == 1:
        spread = [high]
    return [-math.log(2) / (math.exp(s) * frame_tokens) for s in spread]


def half_life(log_gamma: float) -> float:
    """Tokens after which a token counts half."""
    return math.inf if log_gamma == 0 else -math.log(2) / log_gamma
