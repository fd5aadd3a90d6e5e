"""Closed formulas in n as exact objects: sums of (polynomial in n) * base^n over the numbers a + b*sqrt(d).

Such functions are zero only when every coefficient is, so two formulas are equal exactly when these objects are; and one
that meets a linear recurrence of order k in enough consecutive terms (its own number of coefficients + k) meets it
everywhere. No formula is ever executed: its tree is folded into this ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from effml.models.thoughts.expression import Tree, Unreadable, fold, parse, power
from effml.models.thoughts.quadratic import ONE, ZERO, Quadratic, make, square_root

MAX_COEFFICIENTS = 24


@dataclass(frozen=True)
class ClosedForm:
    """`terms[base]` are the coefficients of 1, n, n^2, ... before base^n, the last one not 0."""

    terms: tuple[tuple[Quadratic, tuple[Quadratic, ...]], ...]

    @property
    def size(self) -> int:
        return sum(len(coefficients) for _, coefficients in self.terms)

    def __str__(self) -> str:
        """The same text for equal formulas."""
        shown = (f"[{', '.join(map(str, coefficients))}]*({base})^n" for base, coefficients in self.terms)
        return " + ".join(shown) or "0"

    def at(self, n: int) -> Quadratic:
        total = ZERO
        for base, coefficients in self.terms:
            value = ZERO
            for coefficient in reversed(coefficients):
                value = value * make(n) + coefficient
            total = total + value * power(base, Fraction(n), ONE, lambda one, result: one / result, limit=200)
        return total

    def constant(self) -> Quadratic | None:
        """Its value if it does not depend on n."""
        if not self.terms:
            return ZERO
        ((base, coefficients), *others) = self.terms
        return coefficients[0] if not others and base == ONE and len(coefficients) == 1 else None

    def __add__(self, other: ClosedForm) -> ClosedForm:
        made = {base: list(coefficients) for base, coefficients in self.terms}
        for base, coefficients in other.terms:
            mine = made.setdefault(base, [])
            mine.extend([ZERO] * (len(coefficients) - len(mine)))
            for k, coefficient in enumerate(coefficients):
                mine[k] = mine[k] + coefficient
        return _form(made)

    def __mul__(self, other: ClosedForm) -> ClosedForm:
        made: dict[Quadratic, list[Quadratic]] = {}
        for base, left in self.terms:
            for other_base, right in other.terms:
                mine = made.setdefault(base * other_base, [])
                mine.extend([ZERO] * (len(left) + len(right) - 1 - len(mine)))
                for i, a in enumerate(left):
                    for j, b in enumerate(right):
                        mine[i + j] = mine[i + j] + a * b
        return _form(made)


def constant(value: Quadratic) -> ClosedForm:
    return _form({ONE: [value]})


def exponential(base: Quadratic, scale: Quadratic = ONE) -> ClosedForm:
    """scale * base^n."""
    return _form({base: [scale]})


N = ClosedForm(((ONE, (ZERO, ONE)),))


def read_formula(text: str) -> ClosedForm:
    """The formula after the last `=` of `text`, in n, with sqrt and i; Unreadable if it is none of this kind."""
    tree = parse(
        text.rsplit("=", 1)[-1].strip(" .$"), names=frozenset("niI"), functions=frozenset(("sqrt",)), implicit=True
    )
    return fold(tree, _leaf, _combine)


def _leaf(tree: Tree) -> ClosedForm:
    if tree.op == "number":
        return constant(make(tree.value))
    return N if tree.name == "n" else constant(make(0, 1, -1))


def _combine(op: str, parts: tuple[ClosedForm, ...]) -> ClosedForm:
    if op == "neg":
        return parts[0] * constant(make(-1))
    if op == "sqrt":
        inside = _constant(parts[0], "a root of something that depends on n")
        if not inside.is_rational:
            raise Unreadable("a root of a root")
        return constant(square_root(inside.a))
    left, right = parts
    if op == "+":
        return left + right
    if op == "-":
        return left + right * constant(make(-1))
    if op == "*":
        return left * right
    if op == "/":
        if len(right.terms) == 1 and len(right.terms[0][1]) == 1:  # one exponential, such as 2^n
            base, (scale,) = right.terms[0]
            return left * exponential(ONE / base, ONE / scale)
        raise Unreadable("a division by zero or by a sum that depends on n")
    return _power(left, right)


def _power(base: ClosedForm, exponent: ClosedForm) -> ClosedForm:
    fixed = exponent.constant()
    if fixed is not None:
        if not fixed.is_rational:
            raise Unreadable("an exponent that is no whole number")
        if (known := base.constant()) is not None:
            return constant(power(known, fixed.a, ONE, lambda one, result: one / result))
        return power(base, fixed.a, constant(ONE), lambda one, result: _combine("/", (one, result)), limit=8)
    value = _constant(base, "a base and an exponent that both depend on n")
    if len(exponent.terms) != 1 or exponent.terms[0][0] != ONE or len(exponent.terms[0][1]) != 2:
        raise Unreadable("an exponent that is not linear in n")
    shift, slope = exponent.terms[0][1]
    if not (shift.is_rational and slope.is_rational) or value == ZERO:
        raise Unreadable("an exponent that is not a*n + b with whole numbers")

    def raised(number: Fraction) -> Quadratic:
        return power(value, number, ONE, lambda one, result: one / result)

    return exponential(raised(slope.a), raised(shift.a))


def _constant(form: ClosedForm, complaint: str) -> Quadratic:
    value = form.constant()
    if value is None:
        raise Unreadable(complaint)
    return value


def _form(terms: dict[Quadratic, list[Quadratic]]) -> ClosedForm:
    """Without zeros, in one order."""
    kept: list[tuple[Quadratic, tuple[Quadratic, ...]]] = []
    for base, coefficients in terms.items():
        while coefficients and coefficients[-1] == ZERO:
            coefficients.pop()
        if coefficients:
            kept.append((base, tuple(coefficients)))
    made = ClosedForm(tuple(sorted(kept, key=lambda item: str(item[0]))))
    if made.size > MAX_COEFFICIENTS:
        raise Unreadable(f"a formula of more than {MAX_COEFFICIENTS} terms")
    return made


def agrees(form: ClosedForm, terms: Sequence[Quadratic], first: int = 1) -> bool:
    """Whether form(first), form(first + 1), ... are `terms`."""
    return all(form.at(first + k) == term for k, term in enumerate(terms))
