"""The small model, trained once and kept: its checkpoint lies in the user's cache under the hash of its recipe.

What is kept out of training is part of that hash, so that a model never meets a problem it is tested on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from effml.experiments.data import places
from effml.experiments.data.puzzles.reasoning import frozen, hard_puzzles
from effml.experiments.got.config import TASKS, Config
from effml.models.thoughts.game24 import Game24
from effml.models.thoughts.prompts import Dialect
from effml.models.thoughts.tiny.backend import TinyModel
from effml.models.thoughts.tiny.teachers import PolynomialTeacher, SequenceTeacher, Teacher24
from effml.models.thoughts.tiny.tokens import Vocabulary
from effml.models.thoughts.tiny.traces import Teacher
from effml.models.thoughts.tiny.train import WORDS, Recipe, load, train

if TYPE_CHECKING:
    from effml.experiments.core.run import Run


def recipe(config: Config, task: str) -> Recipe:
    tiny = config.tiny
    names = TASKS if tiny.tasks == "all" else (task,)
    return Recipe(
        tokens=tiny.tokens,
        pool=tiny.pool,
        batch_tokens=tiny.batch_tokens,
        rate=tiny.rate,
        embedding_rate=tiny.embedding_rate,
        layers=tiny.layers,
        heads=tiny.heads,
        width=tiny.width,
        seed=tiny.seed,
        weights={name: 1 / len(names) for name in names},
    )


def teachers(names: Iterable[str], tested: Mapping[str, Sequence[str]]) -> dict[str, Teacher]:
    """The teachers of these tasks. Kept out: the frozen test problems, ranks 901 to 1000, ranks 1001 to 1100 (on which
    recipe, prompts and budgets were settled), and `tested`, the nodes of this run by task."""
    game24 = Game24()
    hard = [game24.problem("", text).node for text in hard_puzzles().values()]
    made: dict[str, Teacher] = {}
    if "game24" in names:
        made["game24"] = Teacher24([*hard, *tested.get("game24", ())])
    for name, teacher in (("polynomial", PolynomialTeacher), ("sequence", SequenceTeacher)):
        if name in names:
            made[name] = teacher([*frozen(name, "easy"), *frozen(name, "full"), *tested.get(name, ())])
    return made


def tiny_model(config: Config, run: Run, dialects: dict[str, Dialect], task: str, tested: Sequence[str]) -> TinyModel:
    """The model trained for `task` as a back end, from the cache where it is, else trained now. `tested`: the nodes of
    this run's problems, which it must not have met."""
    made = recipe(config, task)
    taught = teachers(made.weights, {task: tested})
    dialects = {name: dialects[name] for name in taught}
    digest = made.digest(taught, dialects)
    path = places.cache() / "got" / f"tiny-{digest[:16]}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    import torch

    with FileLock(f"{path}.lock"):  # runs of a sweep that start together train it once
        if not path.is_file():
            _train(made, taught, dialects, run, path)
        else:
            run.log(f"small model {digest[:8]}: taken from the cache")
        saved = torch.load(path, map_location="cpu", weights_only=True)
    return TinyModel(load(saved).to(run.device), Vocabulary(WORDS), f"tiny {digest[:16]}")


def _train(made: Recipe, taught: dict[str, Teacher], dialects: dict[str, Dialect], run: Run, path: Path) -> None:
    import torch

    run.log(f"training the small model: {made.tokens / 1e6:g} million tokens, once")
    losses: list[float] = []

    def watch(step: int, loss: float) -> None:
        losses.append(loss)
        run.step(step=step, loss=round(loss, 5))

    saved = train(
        made, taught, dialects, run.device, lambda batches: run.progress(batches, "training the small model"), watch
    )
    run.log(f"trained: loss {losses[-1]:.3f} a token")
    temporary = path.with_suffix(".tmp")
    torch.save(saved, temporary)
    temporary.replace(path)
