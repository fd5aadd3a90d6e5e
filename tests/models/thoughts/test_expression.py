"""Reading arithmetic: exact, bounded, and deaf to everything that is not arithmetic."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from effml.models.thoughts.closed_form import read_formula
from effml.models.thoughts.expression import Unreadable, parse, rational
from effml.models.thoughts.quadratic import evaluate, make, square_root

texts = st.recursive(
    st.integers(0, 20).map(str),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
        inner.map(lambda t: f"-{t}"),
    ),
    max_leaves=8,
)


@given(texts)
def test_values_agree_with_sympy(text):
    expected = sympy.sympify(text, rational=True)
    try:
        value = rational(parse(text))
    except Unreadable:
        assert expected.is_finite is not True
        return
    assert sympy.Rational(value.numerator, value.denominator) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [("2+3*4", 14), ("8/(3-8/3)", 24), ("2^3^2", 512), ("-2^2", -4), ("(1-3)^-2", Fraction(1, 4)), ("6 × 8 ÷ 2", 24)],
)
def test_precedence_and_spellings(text, value):
    assert rational(parse(text)) == value


HOSTILE = [
    "9" * 100_000,
    "9**9**9**9",
    "9^9^9^9^9",
    "(" * 5000 + "1" + ")" * 5000,
    "-" * 5000 + "1",
    "((((((((2^64)^64)^64)^64)^64)^64)^64)^64)",
    "1/0",
    "1/(1-1)",
    "__import__('os').system('true')",
    "lambda: 1",
    "1e999999999",
    "1" + "+1" * 10_000,
    "sqrt " * 290 + "2",
    "+".join(["sqrt(99999989)"] * 60),
    "\x00\ud800",
    "",
    "n!" * 50,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_refused_quickly(text):
    started = time.perf_counter()
    for read in (lambda t: rational(parse(t)), lambda t: evaluate(parse(t)), read_formula):
        try:
            read(text)
        except Unreadable:
            continue
        # What is read at all is harmless: a small number or formula.
        assert text.startswith(("-", "+", "sqrt(99999989)", "1+"))
    assert time.perf_counter() - started < 1


@given(st.fractions(max_denominator=60), st.fractions(max_denominator=60), st.sampled_from([-3, -1, 2, 5]))
def test_quadratic_numbers_form_a_field(a, b, d):
    x, y = make(a, b, d), make(b, a + 1, d)
    assert x * y == y * x and (x + y) * x == x * x + y * x
    if y != make(0):
        assert x / y * y == x


@given(st.integers(-3000, 3000), st.integers(1, 50))
def test_square_roots_square_back(p, q):
    value = Fraction(p, q)
    root = square_root(value)
    assert root * root == make(value)


def test_different_roots_do_not_mix():
    with pytest.raises(Unreadable, match="square roots of 2 and 3"):
        evaluate(parse("sqrt(2)+sqrt(3)", functions=frozenset(("sqrt",))))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2^(n+1)", "2*2^n"),
        ("(n+1)^2", "n^2+2n+1"),
        ("((1+sqrt(5))/2)^n*((1-sqrt5)/2)^n", "(-1)^n"),
        ("6^n/2^n", "3^n"),
        ("n*2^(n-1)", "0.5n*2^n"),
    ],
)
def test_equal_formulas_are_equal_objects(one, other):
    assert read_formula(one) == read_formula(f"a(n) = {other}")
    assert str(read_formula(one)) == str(read_formula(other))


@given(st.integers(-4, 4), st.integers(1, 4), st.integers(-5, 5), st.integers(1, 12))
def test_formulas_evaluate_as_sympy_does(a, base, shift, n):
    text = f"{a}*({base})^(n+{abs(shift)}) - n^2/3 + {shift}"
    expected = sympy.sympify(text.replace("^", "**"), rational=True).subs("n", n)
    assert read_formula(text).at(n) == make(Fraction(int(expected.p), int(expected.q)))
