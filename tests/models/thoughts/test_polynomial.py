"""Roots of polynomials against sympy and numpy."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import numpy as np
import pytest
import sympy

from effml.errors import UserError
from effml.models.thoughts import polynomial, problems
from effml.models.thoughts.polynomial import Polynomials

TASK = Polynomials()
X = sympy.Symbol("x")


def sympy_roots(coefficients) -> dict:
    return sympy.roots(sympy.Poly([sympy.Rational(c.numerator, c.denominator) for c in coefficients], X))


def test_generated_problems_have_the_roots_that_sympy_finds(seed):
    rng = Random(seed)
    for rung in ("easy", "full") * 10:
        node = problems.draw("polynomial", rng, rung)
        roots = polynomial.exact_roots(polynomial.read_node(node))
        expected = sympy_roots(polynomial.read_node(node))
        found = sympy.sympify(
            [
                str(root).replace("i", "*I") if str(root)[-2:-1].isdigit() else str(root).replace("i", "I")
                for root in roots
            ]
        )
        assert sorted(map(str, found)) == sorted(str(root) for root, times in expected.items() for _ in range(times))
        answer = "Answer: " + ", ".join(map(str, roots))
        assert TASK.judge(TASK.problem("", node), answer).right
        assert not TASK.judge(TASK.problem("", node), answer + ", 1").right


def test_simple_roots_agree_with_numpy(seed):
    rng = Random(seed)
    for _ in range(20):
        roots = rng.sample(range(-6, 7), 4)
        coefficients = polynomial.product([Fraction(root) for root in roots], rng.choice((1, 2, -3)))
        numeric = np.sort_complex(np.roots([float(c) for c in coefficients]))
        assert np.allclose(numeric, sorted(roots), atol=1e-6)
        assert list(polynomial.rational_roots(coefficients)) == sorted(roots)


@pytest.mark.parametrize(
    ("coefficients", "answer", "right"),
    [
        ("1 -6 12 -8", "2, 2, 2", True),  # multiplicity 3: out of reach of a numeric comparison
        ("1 -6 12 -8", "2, 2, 3", False),
        ("1 -6 12 -8", "2", False),
        ("1 -2 2 0", "x = 0, x = 1+i, x = 1-i", True),
        ("1 -2 2 0", "0, 1+i, 1+i", False),
        ("2 -1", "1/2", True),
        ("2 -1", "0.5", True),
        ("1 0 -2", "sqrt(2), -√2", True),
        ("1 0 -2", "1.414213562373095048801688724, -1.414213562373095048801688724", False),
        ("1 -1 -1", "(1+sqrt(5))/2 and (1-sqrt(5))/2", True),
        ("1 0 1", "i, -i", True),
        ("1 0 0 -2", "2^(1/3), 1, 2", False),
        ("1 -1", "import os", False),
    ],
)
def test_the_judge_is_exact(coefficients, answer, right):
    assert TASK.judge(TASK.problem("", coefficients), answer).right is right


def test_moves_split_roots_off_and_multiply_back():
    node = "roots 1 -6 11 -6"
    forward = list(polynomial.forward_moves(node))
    assert [move.label for move in forward] == ["root 1", "root 2", "root 3"]
    backward = polynomial.backward_move(node, (Fraction(1), Fraction(-3)), (Fraction(1), Fraction(-3), Fraction(2)))
    for move in [*forward, backward]:
        assert TASK.sound(move)
        assert TASK.moves(node, TASK.line(move)) == ([move], 0)
    for line in ("root 4 left 1 -2 3", "root 1 left 1 -5 7", "[1 -3]*[1 -3 3]"):
        (move,), _ = TASK.moves(node, line)
        assert not TASK.sound(move)


def test_the_proof_of_a_product_needs_both_factors():
    node = "roots 1 -6 11 -6"
    moves, _ = TASK.moves(node, "[1 -3]*[1 -3 2]")
    proof = {node: moves[0]}
    for premise, line in zip(moves[0].premises, ("roots 3", "roots 1, 2"), strict=True):
        proof[premise] = TASK.moves(premise, line)[0][0]
    assert TASK.assemble(node, proof) == "3, 1, 2"


@pytest.mark.parametrize("text", ["", "0 0", "7", "a", " ".join("1" * 12), "x^x", "x^99", "(x^8)^8", "y-1"])
def test_what_is_no_polynomial_is_refused(text):
    with pytest.raises(UserError):
        TASK.problem("", text)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("x^3 - 6x^2 + 11x - 6 = 0", "roots 1 -6 11 -6"),
        ("(x-1)(x^2+2)", "roots 1 -1 2 -2"),
        ("1 -5 6", "roots 1 -5 6"),
        ("x/2 - 1", "roots 1/2 -1"),
    ],
)
def test_polynomials_are_read_as_people_write_them(text, node):
    assert TASK.problem("", text).node == node


def test_problems_are_frozen_by_their_seed():
    assert problems.problems("polynomial", 3, 0) == problems.problems("polynomial", 3, 0)
    assert problems.problems("polynomial", 100, 0)[:3] == problems.problems("polynomial", 3, 0)
