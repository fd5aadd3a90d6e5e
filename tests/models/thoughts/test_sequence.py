"""Closed formulas against the recurrences themselves, and against sympy's solver."""

from __future__ import annotations

from random import Random

import pytest
import sympy

from effml.errors import UserError
from effml.models.thoughts import problems, recurrence, sequence
from effml.models.thoughts.quadratic import make
from effml.models.thoughts.sequence import Sequences

TASK = Sequences()


def teacher_moves(node):
    kind, values = recurrence.read_node(node)
    if kind != "sec":
        yield sequence.shift_move(node)
    elif (roots := recurrence.characteristic_roots(values[2], values[3])) is not None:
        r, s = roots
        yield sequence.ratio_move(node, r) if r == s else sequence.split_move(node, r, s)
    if (basis := sequence.basis_of(node)) is not None:
        yield sequence.form_move(node, basis)


def test_every_way_to_a_formula_gives_the_sequence(seed):
    rng = Random(seed)
    solved = 0
    for rung in ("easy", "full", "full") * 12:
        node = problems.draw("sequence", rng, rung)
        problem = TASK.problem("", node)
        for move in teacher_moves(node):
            assert TASK.sound(move) and TASK.moves(node, TASK.line(move)) == ([move], 0)
            proof = {node: move}
            for premise in move.premises:
                proof[premise] = sequence.leaf_move(premise)
                assert TASK.sound(proof[premise]), premise
                assert TASK.moves(premise, TASK.line(proof[premise])) == ([proof[premise]], 0)
            answer = TASK.assemble(node, proof)
            assert TASK.judge(problem, f"Answer: a(n) = {answer}").right
            assert not TASK.judge(problem, f"Answer: a(n) = {answer} + 1").right
            kind, values = recurrence.read_node(node)
            expression = sympy.sympify(answer.replace("^", "**"), rational=True)
            for n, term in enumerate(recurrence.terms(kind, values, 8), 1):
                assert expression.subs("n", n) == sympy.Rational(term.a.numerator, term.a.denominator)
            solved += 1
    assert solved > 20


@pytest.mark.parametrize(
    ("problem", "answer", "right"),
    [
        ("a(1)=1; a(2)=1; a(n+2)=a(n+1)+a(n)", "(((1+sqrt(5))/2)^n - ((1-sqrt(5))/2)^n)/sqrt(5)", True),
        ("a(1)=1; a(2)=1; a(n+2)=a(n+1)+a(n)", "(((1+sqrt(5))/2)^(n-1) - ((1-sqrt(5))/2)^(n-1))/sqrt(5)", False),
        ("a(1)=1; a(n+1)=2a(n)+3", "2^(n+1) - 3", True),
        ("a(1)=1; a(n+1)=2a(n)+3", "4*2^n - 3", False),  # the index starts at 1
        ("a(1)=1; a(n+1)=2a(n)+3", "1", False),
        ("a(1)=2; a(n+1)=-a(n)", "-2*(-1)^n", True),
        ("a(1)=0; a(2)=2; a(n+2)=0a(n+1)-a(n)", "i^(n-1)*(-i) + (-i)^(n-1)*i", True),
        ("a(1)=5; a(n+1)=a(n)+2", "2n+3", True),
        # 1, 2, 4, 8, 15: agrees with 2^(n-1) in four terms only.
        ("a(1)=1; a(2)=2; a(n+2)=2a(n+1)", "n^3/6 - n^2/2 + 4n/3", False),
    ],
)
def test_the_judge_proves_or_refutes(problem, answer, right):
    assert TASK.judge(TASK.problem("", problem), answer).right is right


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("a(1)=1; a(n+1)=2a(n)+3", "aff 1 2 3"),
        ("a_1 = 1, a_2 = 5, a_{n+2} = 5*a_{n+1} - 6*a_n", "sec 1 5 5 -6"),
        ("a1=1 and a(n+1) = (a(n) - 3)*2 + n/2", "lin 1 2 1/2 -6"),
        ("a(1)=7; a(n+1)=a(n)/3", "geo 7 1/3"),
        ("aff 1 2 3", "aff 1 2 3"),
    ],
)
def test_recurrences_are_read_as_people_write_them(text, node):
    assert TASK.problem("", text).node == node


@pytest.mark.parametrize(
    "text", ["", "a(1)=1", "a(n+1)=2a(n)", "a(1)=1; a(n+1)=a(n)^2", "a(1)=1; a(n+1)=a(n)*a(n)", "aff 1"]
)
def test_other_recurrences_are_refused(text):
    with pytest.raises(UserError, match="recurrence"):
        TASK.problem("", text)


@pytest.mark.parametrize(
    ("node", "line"),
    [
        ("aff 1 2 3", "shift -3 left geo 4 3"),
        ("aff 1 2 3", "shift 3 left geo -2 2"),
        ("sec 1 5 5 -6", "split 2 3 left geo 3 2, geo 2 3"),
        ("sec 1 5 5 -6", "split 1 6 left geo 4 6, geo -1 1"),
        ("sec 1 5 5 -6", "ratio 2 left ari 1 1"),
        ("aff 1 2 3", "form 3^n 1 left fit 3^n 1 : 1 5"),
        ("fit 2^n 1 : 1 5", "constants 2 -4"),
        ("geo 4 2", "formula 4*2^n"),
    ],
)
def test_wrong_moves_are_read_and_found_unsound(node, line):
    (move,), malformed = TASK.moves(node, line)
    assert malformed == 0 and not TASK.sound(move)


def test_constants_are_solved_exactly():
    assert recurrence.solve_fit("fit 2^n n 1 : 1 9 28") == tuple(map(make, (sympy_fraction("11/2"), -3, -7)))
    assert recurrence.solve_fit("fit 2^n 2^n : 1 2") is None


def sympy_fraction(text):
    from fractions import Fraction

    return Fraction(text)
