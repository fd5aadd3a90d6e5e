"""The game of 24 against brute force, and moves that keep their word."""

from __future__ import annotations

import itertools
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effml.errors import UserError
from effml.models.thoughts import game24
from effml.models.thoughts.game24 import Game24
from effml.models.thoughts.task import follow

TASK = Game24()
quadruples = st.lists(st.integers(1, 13), min_size=4, max_size=4)


def op(sign: str, u: Fraction | None, v: Fraction | None) -> Fraction | None:
    return None if u is None or v is None else game24.apply(sign, u, v)


def shapes(a, b, c, d, x, y, z):
    """The five ways to put parentheses around four numbers with three operations between them."""
    return (
        op(y, op(x, a, b), op(z, c, d)),
        op(z, op(y, op(x, a, b), c), d),
        op(z, op(x, a, op(y, b, c)), d),
        op(x, a, op(z, op(y, b, c), d)),
        op(x, a, op(y, b, op(z, c, d))),
    )


def brute(numbers: tuple, target: Fraction) -> bool:
    """Every order, operation and parenthesisation of four numbers, written out."""
    return any(
        target in shapes(*order, *signs)
        for order in set(itertools.permutations(numbers))
        for signs in itertools.product(game24.OPERATIONS, repeat=3)
    )


@given(quadruples)
def test_reachability_agrees_with_brute_force(numbers):
    given_numbers = tuple(map(Fraction, sorted(numbers)))
    assert game24.reachable(given_numbers, Fraction(24)) == brute(given_numbers, Fraction(24))


@pytest.mark.parametrize(("text", "solvable"), [("3 3 8 8", True), ("1 5 5 5", True), ("1 1 1 1", False)])
def test_fractions_are_not_lost(text, solvable):
    assert TASK.true(TASK.problem("", text).node) is solvable


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("8/(3-8/3)", True),
        ("Answer: 8 / (3 - 8/3) = 24", True),
        ("8 ÷ (3 − 8 ÷ 3)", True),
        ("3*8", False),  # not all the numbers
        ("3*8*3/3+8-8", False),  # too many
        ("38-8-3", False),  # digits glued together
        ("8/(3-2.6666666666666667)", False),
        ("24", False),
        ("", False),
        ("No solution.", False),
        ("3^3-8/8+(-2)", False),
    ],
)
def test_the_judge_wants_each_number_once_and_exactly_24(answer, right):
    assert TASK.judge(TASK.problem("", "3 3 8 8"), answer).right is right


def test_equal_answers_have_one_form():
    problem = TASK.problem("", "2 3 4 1")
    forms = {TASK.judge(problem, text).form for text in ("2*3*4*1", "1*(4*3)*2", "(4*(2))*(3*1)", "2*3/(1/4)")}
    assert len(forms) == 2  # the last one divides by a quotient: another expression


@given(quadruples)
def test_every_listed_move_is_sound_and_reads_back(numbers):
    node = game24.node_of(map(Fraction, numbers), 24)
    listed = [*game24.forward_moves(node), *game24.backward_moves(node), *game24.split_moves(node)]
    for move in listed[:: max(1, len(listed) // 40)]:
        assert TASK.sound(move)
        assert TASK.moves(node, TASK.line(move)) == ([move], 0)


@pytest.mark.parametrize(
    "line",
    [
        "10-4=7 left 5 6 7",  # wrong arithmetic
        "10-4=6 left 5 6 7",  # wrong rest
        "10-3=7 left 5 6 7",  # a number that is not there
        "4*[5 6 10>7]",  # wrong target
        "4*[5 6 6>6]",  # wrong group
        "[4 6>24]*[5 10>2]",
    ],
)
def test_wrong_moves_are_read_and_found_unsound(line):
    (move,), malformed = TASK.moves("4 5 6 10 > 24", line)
    assert malformed == 0 and not TASK.sound(move)


def test_lines_as_a_chat_model_writes_them_are_read():
    moves, malformed = TASK.moves("4 5 6 10 > 24", "10 - 4 = 6 (left: 5 6 6)\nI think\n4 * [5 6 10 > 6]")
    assert [move.premises for move in moves] == [("5 6 6 > 24",), ("5 6 10 > 6",)]
    assert malformed == 1


def test_a_trace_becomes_the_expression_it_describes():
    proof = follow(TASK, "4 5 6 10 > 24", "10-4=6 left 5 6 6;5*6=30 left 6 30;30-6=24 left 24")
    assert proof is not None
    answer = TASK.assemble("4 5 6 10 > 24", proof)
    assert answer == "(5*(10-4))-6"
    assert TASK.judge(TASK.problem("", "4 5 6 10"), answer).right
    assert follow(TASK, "4 5 6 10 > 24", "10-4=6 left 5 6 6;5*6=30 left 6 30") is None


def test_hostile_lines_are_no_moves():
    started = time.perf_counter()
    for text in ("9" * 10_000, "[" * 3000, "1+1=2 left " + "1 " * 5000, "(1/0)+1=1 left 1", "[1 2>(1/0)]+3"):
        assert TASK.moves("4 5 6 10 > 24", text) == ([], 1)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("text", ["", "4", "a b c d", "1 2 3 4 5 6 7", "1/0 2 3 4"])
def test_a_puzzle_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="puzzle"):
        TASK.problem("", text)
