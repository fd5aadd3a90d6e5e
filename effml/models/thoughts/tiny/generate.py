"""Many texts from the tiny model at once: rows of different prompts in one batch, keys and values cached.

A text depends on its prompt and seed alone, never on the rows beside it. Each row draws from its own seed; and since
float32 sums differ in their last bits from batch to batch, a draw that falls within their reach of a boundary between
two tokens is decided again by the same model in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from effml.models.thoughts.tiny.gpt import GPT

MARGIN = 2e-4  # float32 and float64 differ by about 1e-5 in cumulated probability at temperature 1


@dataclass(frozen=True)
class Row:
    """One text to be continued: the prompt's tokens, how far, how boldly, and the seed of its draws."""

    prompt: tuple[int, ...]
    max_tokens: int
    temperature: float
    seed: int


@torch.inference_mode()
def generate(model: GPT, exact: GPT, rows: Sequence[Row], end: int) -> list[list[int]]:
    """The tokens that continue each row, `end` included where the model ended by itself.

    exact: the same model in float64, on the CPU. Rows that ask for about as many tokens should come together: the batch
    runs until its last row is done.
    """
    if not rows:
        return []
    shape, device = model.shape, model.embed.weight.device
    width = max(len(row.prompt) for row in rows)
    most = max(row.max_tokens for row in rows)
    if width + most > shape.context:
        raise ValueError(f"{width} + {most} tokens do not fit into a context of {shape.context}")
    # Each different prompt is read once; padding goes to the left, where rotary positions are indifferent to it.
    padded = [(-1,) * (width - len(row.prompt)) + row.prompt for row in rows]
    places = {prompt: place for place, prompt in enumerate(dict.fromkeys(padded))}
    prompts = torch.tensor(list(places), device=device)
    there = prompts >= 0
    size = (len(places), shape.heads, width + most, shape.width // shape.heads)
    cache = [(torch.zeros(size, device=device), torch.zeros(size, device=device)) for _ in range(shape.layers)]
    causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    visible = (there[:, None, :] & causal) | torch.eye(width, dtype=torch.bool, device=device)
    logits = model.extend(prompts.clamp(min=0), cache, 0, visible[:, None])

    kept = torch.tensor([places[prompt] for prompt in padded], device=device)
    cache, there, logits = _select(cache, kept), there[kept], logits[kept]
    alive = np.arange(len(rows))  # the row of each line of the batch; a text that ended stays until a third has
    going = np.ones(len(rows), dtype=bool)
    draws = np.stack([np.random.Generator(np.random.Philox(key=row.seed)).random(most) for row in rows])
    coldness = np.array([1.0 / max(row.temperature, 1e-3) for row in rows])
    limits = np.array([row.max_tokens for row in rows])
    texts: list[list[int]] = [[] for _ in rows]
    for step in range(most):
        chosen, margins = _draw(logits, coldness[alive], draws[alive, step])
        for line in np.flatnonzero(going & (margins < MARGIN * np.maximum(1.0, coldness[alive]))):
            index = alive[line]
            prefix = torch.tensor([[*rows[index].prompt, *texts[index]]])
            again = exact(prefix)[:, -1]
            chosen[line] = _draw(again, coldness[[index]], draws[[index], step])[0][0]
        for line in np.flatnonzero(going):
            texts[alive[line]].append(int(chosen[line]))
        going &= (chosen != end) & (limits[alive] > step + 1)
        if not going.any():
            break
        if going.mean() < 0.67:
            lines = np.flatnonzero(going)
            kept = torch.from_numpy(lines).to(device)
            alive, chosen, there, going = alive[lines], chosen[lines], there[kept], going[lines]
            cache = _select(cache, kept)
        there = torch.cat((there, torch.ones(len(alive), 1, dtype=torch.bool, device=device)), dim=1)
        logits = model.extend(
            torch.from_numpy(chosen).to(device)[:, None], cache, width + step, there[:, None, None, :]
        )
    return texts


def _select(cache: list[tuple[Tensor, Tensor]], lines: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(keys[lines], values[lines]) for keys, values in cache]


def _draw(logits: Tensor, coldness: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One token per row by inversion, the first whose cumulated probability passes the row's uniform draw; and how far
    that draw is from the nearest boundary."""
    scaled = logits.double().cpu().numpy() * coldness[:, None]
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    cumulated = np.cumsum(weights, axis=1)
    cumulated /= cumulated[:, -1:]
    chosen = (cumulated < uniform[:, None]).sum(axis=1).clip(max=logits.shape[1] - 1)
    margins = np.abs(cumulated - uniform[:, None]).min(axis=1)
    return chosen, margins
