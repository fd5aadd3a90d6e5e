"""Train the tiny model: examples drawn by the teachers, rows of like length batched, loss on completions alone.

Every kind of lesson of a task gets the same number of tokens, prompts included; tasks share by their weights. The result
depends on the recipe, the problems and the seed (and, in its last bits, on the machine).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

import torch
import torch.nn.functional as F

from effml.models.thoughts.prompts import Dialect
from effml.models.thoughts.tiny.gpt import GPT, Shape
from effml.models.thoughts.tiny.tokens import END, Vocabulary
from effml.models.thoughts.tiny.traces import LESSONS, Teacher

WORDS = (  # of all tasks
    *("left", "root", "roots", "shift", "split", "ratio", "form", "formula", "constants"),
    *("geo", "ari", "aff", "lin", "sec", "fit", "no", "y", "n", "i", "sqrt", "x"),
)
IGNORED = -100
RECIPE = 2  # counts changes of what the same settings train

Encoded = tuple[list[int], int]  # tokens, and how many of them are the prompt


@dataclass(frozen=True)
class Recipe:
    """tokens: read in training, padding not counted. pool: share of them that is drawn anew; the rest repeats it. rate:
    highest learning rate of the blocks' matrices (Muon); `embedding_rate`: of everything else (AdamW)."""

    tokens: int = 6_000_000
    pool: float = 0.5
    batch_tokens: int = 1024
    rate: float = 0.02
    embedding_rate: float = 2e-3
    layers: int = 3
    heads: int = 4
    width: int = 96
    context: int = 192
    seed: int = 0
    weights: Mapping[str, float] = field(default_factory=lambda: {"game24": 1.0})

    def digest(self, teachers: Mapping[str, Teacher], dialects: Mapping[str, Dialect]) -> str:
        """Names what is trained: recipe, words of the prompts, problems kept out (64 hexadecimal digits)."""
        said = [
            RECIPE,
            asdict(self),
            {name: {role: dialect[role].user for role in LESSONS} for name, dialect in dialects.items()},
            {name: sorted(teacher.excluded) for name, teacher in teachers.items()},
        ]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def train(
    recipe: Recipe,
    teachers: Mapping[str, Teacher],
    dialects: Mapping[str, Dialect],
    device: torch.device | str = "cpu",
    progress: Callable[[list[Any]], Iterable[Any]] = iter,
    watch: Callable[[int, float], None] = lambda step, loss: None,
) -> dict[str, Any]:
    """The trained state dict with its shape: `{"shape": {...}, "state": {...}}`.

    progress: iterates over a list and shows how far it is. watch: is told step and smoothed loss now and then.
    """
    vocabulary = Vocabulary(WORDS)
    shape = Shape(len(vocabulary), recipe.layers, recipe.heads, recipe.width, recipe.context)
    model = GPT(shape)
    model.initialise(torch.Generator().manual_seed(recipe.seed), vocabulary.values())
    model.to(device)
    optimisers = make_optimisers(model, recipe)
    pools = make_pools(recipe, teachers, dialects, vocabulary)
    batches = list(make_batches(recipe, pools, Random(f"batches {recipe.seed}")))
    smooth = math.nan
    for step, batch in enumerate(progress(batches)):
        scale = min(1.0, (step + 1) / 50) * (0.55 + 0.45 * math.cos(math.pi * step / len(batches)))
        tokens, targets = (each.to(device) for each in as_tensors(batch))
        loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        loss.backward()
        for optimiser, rate in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * scale
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        smooth = loss.item() if math.isnan(smooth) else 0.95 * smooth + 0.05 * loss.item()
        if step % 20 == 0 or step + 1 == len(batches):
            watch(step, smooth)
    return {"shape": asdict(shape), "state": {name: value.detach().cpu() for name, value in model.state_dict().items()}}


def make_optimisers(model: GPT, recipe: Recipe) -> list[tuple[torch.optim.Optimizer, float]]:
    """(optimiser, its highest rate): Muon for the blocks' matrices, which halves the steps here; AdamW for the rest."""
    matrices = [p for p in model.blocks.parameters() if p.dim() == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        (torch.optim.Muon(matrices, lr=recipe.rate, weight_decay=0.0), recipe.rate),
        (torch.optim.AdamW(rest, lr=recipe.embedding_rate, betas=(0.9, 0.98), weight_decay=0.0), recipe.embedding_rate),
    ]


def load(saved: Mapping[str, Any]) -> GPT:
    model = GPT(Shape(**saved["shape"]))
    model.load_state_dict(saved["state"])
    return model.eval()


def make_pools(
    recipe: Recipe, teachers: Mapping[str, Teacher], dialects: Mapping[str, Dialect], vocabulary: Vocabulary
) -> dict[tuple[str, str], list[Encoded]]:
    """Encoded examples of every task and role, as many tokens of each as its share of the pool."""
    total = sum(recipe.weights[name] for name in teachers)
    pools: dict[tuple[str, str], list[Encoded]] = {}
    for name, teacher in teachers.items():
        room = recipe.tokens * recipe.pool * recipe.weights[name] / total / len(LESSONS)
        for role in LESSONS:
            rng = Random(f"examples {name} {role} {recipe.seed}")
            pool: list[Encoded] = []
            used = 0
            while used < room:
                encoded = encode(teacher.example(role, rng), dialects[name], vocabulary)
                if len(encoded[0]) <= recipe.context:
                    pool.append(encoded)
                    used += len(encoded[0])
            pools[name, role] = pool
    return pools


def encode(example: Any, dialect: Dialect, vocabulary: Vocabulary) -> Encoded:
    prompt = vocabulary.encode(dialect[example.role].user.format_map(example.words))
    return prompt + vocabulary.encode(example.completion + END), len(prompt)


def make_batches(
    recipe: Recipe, pools: Mapping[tuple[str, str], Sequence[Encoded]], rng: Random
) -> Iterator[list[Encoded]]:
    """Passes over the pools; in each, examples are sorted by length (with a little noise) and cut into batches."""
    repeats = max(1, round(1 / recipe.pool))
    for _ in range(repeats):
        examples = [example for pool in pools.values() for example in pool]
        examples.sort(key=lambda example: len(example[0]) + rng.uniform(0, 4))
        batches: list[list[Encoded]] = [[]]
        longest = 0
        for example in examples:
            longest = max(longest, len(example[0]))
            if longest * (len(batches[-1]) + 1) > recipe.batch_tokens and batches[-1]:
                batches.append([])
                longest = len(example[0])
            batches[-1].append(example)
        rng.shuffle(batches)
        yield from batches


def as_tensors(batch: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
    """Input rows and targets [B, T]; prompts and padding are no targets. Padding on the right is never looked at."""
    longest = max(len(tokens) for tokens, _ in batch) - 1
    inputs = torch.zeros(len(batch), longest, dtype=torch.long)
    targets = torch.full((len(batch), longest), IGNORED)
    for row, (tokens, prompt) in enumerate(batch):
        text = torch.tensor(tokens)
        inputs[row, : len(tokens) - 1] = text[:-1]
        targets[row, prompt - 1 : len(tokens) - 1] = text[prompt:]
    return inputs, targets
