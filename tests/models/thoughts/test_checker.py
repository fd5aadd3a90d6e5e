"""The model's own checker: by a word, or by working the step out again."""

from __future__ import annotations

import asyncio

import pytest

from effml.errors import UserError
from effml.models.llm import Ledger, Port, Scripted
from effml.models.thoughts.asking import Asker
from effml.models.thoughts.checker import ModelChecker
from effml.models.thoughts.game24 import Game24
from effml.models.thoughts.prompts import read_dialect

WORDS = {
    "name": "own",
    "opinions": {"y": 1.0, "n": 0.0},
    "defaults": {"max_tokens": 20},
    "game24": {"check": {"user": "{numbers}|{move}"}},
}


def accepted(checks, replies, move="10-4=6 left 5 6 6"):
    """Whether three checks of a move out of 4 5 6 10 take it in, and whether three more confirm it."""
    task = Game24()
    problem = task.problem("1", "4 5 6 10")
    dialect = read_dialect({**WORDS, "checks": checks}, "game24")
    port = Port(Scripted(lambda request, index: replies[index % len(replies)]))
    (shown,), _ = task.moves(problem.node, move)

    async def ask():
        asker, checker = Asker(port, dialect, task, problem, "", Ledger()), ModelChecker(3)
        return await checker.accepts(asker, shown), await checker.confirms(asker, shown)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("replies", "verdict"),
    [
        (["10-4=6 left 5 6 6"], True),
        (["10 - 4 = 6 (left: 6 6 5)"], True),  # the same move in other words
        (["10-4=6 left 5 6 6", "10-4=6 left 5 6 6", "10-4=7 left 5 6 7"], False),
        (["10-4=6 left 4 5 6"], False),
        (["y"], False),
        ([""], False),
    ],
)
def test_a_move_that_comes_out_the_same_each_time_is_accepted(replies, verdict):
    assert accepted("rewrite", replies) == (verdict, verdict)


def test_a_wrong_move_worked_out_rightly_is_refused():
    assert accepted("rewrite", ["10-4=6 left 5 6 6"], move="10-4=7 left 5 6 7") == (False, False)


def test_a_second_look_asks_anew():
    assert accepted("word", ["yes", "yes", "yes", "yes", "no", "yes"]) == (True, False)


def test_a_dialect_with_another_kind_of_check_is_refused():
    with pytest.raises(UserError, match="word and rewrite"):
        read_dialect({**WORDS, "checks": "twice"}, "game24")
