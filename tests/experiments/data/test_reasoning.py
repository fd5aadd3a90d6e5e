"""Problems for reasoning: the hard puzzles are the published ranks, the generated ones stay what they were."""

from __future__ import annotations

import pytest

from effml.errors import MissingRequirement
from effml.experiments.data import registry
from effml.experiments.data.puzzles import reasoning


def test_the_hard_puzzles_are_ranks_901_to_1000():
    loaded = registry.load("game24-hard")
    assert [puzzle.id for puzzle in loaded.value] == [str(rank) for rank in range(901, 1001)]
    assert (loaded.value[0].text, loaded.value[-1].text) == ("4 5 6 10", "4 9 10 13")
    assert loaded.record["origin"] == "bundled" and len(loaded.record["sha256"]) == 64


@pytest.mark.realdata
def test_the_bundled_ranks_equal_the_downloaded_ones():
    ranked = {int(puzzle.id): puzzle.text for puzzle in registry.load("game24").value}
    assert reasoning.hard_puzzles() == {rank: ranked[rank] for rank in range(901, 1101)}


@pytest.mark.parametrize("name", ["polynomials", "polynomials-easy", "sequences", "sequences-easy"])
def test_generated_problems_are_a_hundred_different_ones(name):
    puzzles = registry.load(name).value
    assert len({puzzle.text for puzzle in puzzles}) == 100


def test_a_generator_that_moved_is_noticed(monkeypatch):
    monkeypatch.setattr(reasoning, "SEED", reasoning.SEED + 1)
    with pytest.raises(MissingRequirement, match="no longer gives the frozen ones"):
        registry.load("sequences")
