"""What the small model learns: the task at hand or all three, and never what it is tested on."""

from __future__ import annotations

import pytest

from effml.experiments.data.puzzles.reasoning import frozen, hard_puzzles
from effml.experiments.got.checkpoint import recipe, teachers
from effml.experiments.got.config import TASKS, Config, Tiny
from effml.models.thoughts.game24 import Game24


def test_all_tokens_go_to_the_task_at_hand_unless_all_are_wanted():
    assert recipe(Config(), "sequence").weights == {"sequence": 1.0}
    weights = recipe(Config(tiny=Tiny(tasks="all")), "sequence").weights
    assert set(weights) == set(TASKS) and set(weights.values()) == {1 / 3}


@pytest.mark.parametrize("task", TASKS)
def test_every_frozen_problem_is_kept_out_whichever_is_asked(task):
    """So that one model serves all rungs of a task, and a digest does not depend on which is run first."""
    taught = teachers(TASKS, {})[task]
    nodes = [*frozen(task, "easy"), *frozen(task, "full")] if task != "game24" else []
    if task == "game24":
        nodes = [Game24().problem("", text).node.split(" > ")[0] for text in hard_puzzles().values()]
    assert len(nodes) == 200 and set(nodes) == taught.excluded
    again = teachers([task], {task: [taught.task.problem("", node).node for node in nodes]})[task]
    assert again.excluded == taught.excluded
