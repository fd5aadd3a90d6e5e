"""Problems for reasoning: the hundred hard puzzles of the game of 24, and generated polynomials and recurrences.

The generated ones are frozen: the seed must go on giving the problems whose checksum stands here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from effml.errors import MissingRequirement
from effml.experiments.data import checksum
from effml.experiments.data.entry import Content, Files
from effml.experiments.data.puzzles.game24 import Puzzle

TESTED = range(901, 1001)  # ranks; 1001 to 1100 lie beside them for settling prompts and budgets
SEED = 20230816  # of the generated problems; training draws from other streams and leaves these out
FROZEN = {
    ("polynomial", "full"): "c1677c438317afd25ff9e7487950f8e06e06b80a39c26f5e597c3594e9364b01",
    ("polynomial", "easy"): "5f4a1c213b00ebeffe5673387446e0c5f4a9c8020da9102a304d731379a076c6",
    ("sequence", "full"): "ae4eda000b89ce010134d628c756042fb08398ee4dc57ff9cd6cd88afa97276a",
    ("sequence", "easy"): "ab61d6779fbcee5cee7494ac721040ff9cf9c8b645ee222ad0395581a468c85d",
}


def game24_hard(files: Files) -> Content:
    puzzles = [Puzzle(str(rank), text) for rank, text in hard_puzzles().items() if rank in TESTED]
    return Content(puzzles, _sha256(puzzles), "ranks 901 to 1000")


def hard_puzzles() -> dict[int, str]:
    """Rank -> puzzle, ranks 901 to 1100."""
    lines = (Path(__file__).parent / "hard.txt").read_text(encoding="utf-8").splitlines()
    return dict(enumerate((line for line in lines if not line.startswith("#")), 901))


def frozen(task: str, rung: str) -> list[str]:
    """The texts of the hundred generated problems; MissingRequirement if the generator no longer gives them."""
    from effml.models.thoughts.problems import problems

    texts = problems(task, 100, SEED, rung)
    sha256 = checksum.of(*texts)
    if sha256 != FROZEN[task, rung]:
        raise MissingRequirement(f"the generator of {task} problems no longer gives the frozen ones (sha256 {sha256})")
    return texts


def _generated(files: Files, task: str, rung: str) -> Content:
    puzzles = [Puzzle(str(place), text) for place, text in enumerate(frozen(task, rung), 1)]
    return Content(puzzles, _sha256(puzzles), f"100 problems, seed {SEED}")


polynomials = partial(_generated, task="polynomial", rung="full")
polynomials_easy = partial(_generated, task="polynomial", rung="easy")
sequences = partial(_generated, task="sequence", rung="full")
sequences_easy = partial(_generated, task="sequence", rung="easy")


def _sha256(puzzles: list[Puzzle]) -> str:
    return checksum.of(*(f"{puzzle.id}\t{puzzle.text}" for puzzle in puzzles))
