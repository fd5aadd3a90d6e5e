"""Hostile model text through every door at which a model's words come in: no crash, no pass, well under a second."""

from __future__ import annotations

import time

import pytest

from effml.models.thoughts.game24 import Game24
from effml.models.thoughts.polynomial import Polynomials
from effml.models.thoughts.prompts import Dialect, agrees
from effml.models.thoughts.sequence import Sequences
from effml.models.thoughts.task import Problem, follow

PROBLEMS = {
    "game24": (Game24(), "3 3 8 8"),
    "polynomial": (Polynomials(), "roots 1 -6 11 -6"),
    "sequence": (Sequences(), "sec 1 5 5 -6"),
}

HUGE = "9" * 200_000
DEEP = "(" * 50_000 + "1" + ")" * 50_000
TEXTS = {
    "huge": HUGE,
    "huge power": "9**9**9**9**9**9",
    "tower": "((((((((2^64)^64)^64)^64)^64)^64)^64)^64)",
    "factorials": "3!" * 1000,
    "deep": DEEP,
    "deep list": "[" * 50_000 + "1" + "]" * 50_000,
    "signs": "-" * 100_000 + "1",
    "long sum": "1" + "+1" * 100_000,
    "exponent": "1e999999999",
    "code": "__import__('os').system('touch /tmp/effml-was-here')",
    "a lambda": "(lambda f: f(f))(lambda f: f(f))",
    "nothing": "",
    "surrogates": "\x00\ud800\udfff",
    "many lines": "3+3=6 left 6 8 8\n" * 20_000,
    "move with a huge number": f"3+3={HUGE} left {HUGE} 8 8",
    "move to an absurd state": "3+3=6 left" + " 6" * 50_000,
    "group that is too long": "[" + "3 " * 50_000 + "> 24] * 1",
    "division by zero": "8/0=24 left 24",
    "fraction over zero": "3*[3 8 8>1/0]",
    "root that is huge": f"root {HUGE} left 1 -5 6",
    "many roots": "roots " + ", ".join(["1"] * 50_000),
    "root of a large prime": "roots sqrt(99999999999999999999999999999989), 1, 1",
    "roots of roots": "roots " + "sqrt(" * 300 + "2" + ")" * 300,
    "formula that is huge": f"a(n) = {HUGE}^n",
    "formula that explodes": "a(n) = " + "(n+1)^8*" * 30 + "1",
    "formula of formulas": "formula " + "2^(" * 300 + "n" + ")" * 300,
    "fit that is huge": f"form {HUGE}^n 1 left fit {HUGE}^n 1 : 1 5",
    "characters a regular expression may choke on": "1 " * 30_000 + "!",
    "blanks before an equals sign": "Answer:" + " " * 100_000 + "=",
}


@pytest.fixture
def clock():
    started = time.process_time()
    yield
    assert time.process_time() - started < 1


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_hostile_text_neither_crashes_nor_passes_nor_takes_long(clock, name, text):
    task, given = PROBLEMS[name]
    problem = task.problem("1", given)
    for answer in (text, f"Answer: {text}", f"step\nAnswer: {text}"):
        assert not task.judge(problem, answer).right
    proof = follow(task, problem.node, text)  # claims are taken as they stand, and do not pass for that
    if proof is not None:
        assert not all(task.sound(move) for move in proof.values())
        assert not task.judge(problem, task.assemble(problem.node, proof)).right
    moves, malformed = task.moves(problem.node, text)
    assert malformed or moves or not text.strip()
    for move in moves:
        task.sound(move)
        assert task.moves(move.node, task.line(move))[0] == [move]
        for premise in move.premises:
            assert len(premise) < 1000
            task.known(premise)
            task.role(premise, "backward")
            task.words(premise)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_hostile_opinions_count_for_nothing(clock, text):
    dialect = Dialect("d", {}, {"sure": 20.0, "likely": 1.0, "impossible": 0.001}, "")
    assert not agrees(text) and dialect.opinion(text) == 0


def test_code_in_an_answer_is_never_run(tmp_path):
    path = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(path)!r}).touch() or 24"
    for task, given in PROBLEMS.values():
        problem = task.problem("1", given)
        for text in (code, f"eval({code!r})", f"{code} # 3 3 8 8", f"8/(3-8/3) if {code} else 24"):
            assert not task.judge(problem, text).right
            task.moves(problem.node, text)
    assert not path.exists()


@pytest.mark.parametrize("given", ["9" * 5000, DEEP, "1e999999999 1", "3 3 8 8 > 1/0", "x^999999999", "a(1)=" + HUGE])
def test_problems_of_ones_own_are_read_as_carefully(clock, given):
    from effml.errors import UserError

    for task, _ in PROBLEMS.values():
        with pytest.raises(UserError):
            task.problem("1", given)


def test_a_right_answer_among_hostile_lines_is_still_found():
    task, given = PROBLEMS["game24"]
    problem: Problem = task.problem("1", given)
    assert task.judge(problem, f"{DEEP}\n{HUGE}\nAnswer: 8/(3-8/3)").right
