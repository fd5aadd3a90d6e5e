"""Exact numbers a + b*sqrt(d): the rationals and one square root beside them, complex ones included (d < 0).

Enough for roots of quadratics and for closed forms of second-order recurrences, Fibonacci's among them. Two numbers
with different roots do not meet in one such field: that is refused (`Unreadable`), never rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from effml.models.thoughts.expression import Tree, Unreadable, bounded, fold, power

LARGEST_RADICAND = 10**8  # its square factors are found by trial division


@dataclass(frozen=True)
class Quadratic:
    """a + b*sqrt(d) with d a whole number without square factors, and d = 1 exactly when b = 0.

    Equal numbers are equal objects.
    """

    a: Fraction
    b: Fraction = Fraction(0)
    d: int = 1

    @property
    def is_rational(self) -> bool:
        return self.b == 0

    def conjugate(self) -> Quadratic:
        return Quadratic(self.a, -self.b, self.d)

    def _field(self, other: Quadratic) -> int:
        if self.d != other.d and 1 not in (self.d, other.d):
            raise Unreadable(f"square roots of {self.d} and {other.d} in one number")
        return other.d if self.d == 1 else self.d

    def __add__(self, other: Quadratic) -> Quadratic:
        return make(self.a + other.a, self.b + other.b, self._field(other))

    def __neg__(self) -> Quadratic:
        return Quadratic(-self.a, -self.b, self.d)

    def __sub__(self, other: Quadratic) -> Quadratic:
        return self + -other

    def __mul__(self, other: Quadratic) -> Quadratic:
        d = self._field(other)
        return make(self.a * other.a + self.b * other.b * d, self.a * other.b + self.b * other.a, d)

    def __truediv__(self, other: Quadratic) -> Quadratic:
        norm = other.a * other.a - other.b * other.b * other.d
        if norm == 0:
            raise Unreadable("a division by zero")
        return self * other.conjugate() * make(1 / norm)

    def __str__(self) -> str:
        """As the answers are written: 3, -1/2, 2+3i, 1/2-1/2*sqrt(5)."""
        if self.b == 0:
            return str(self.a)
        head = str(self.a) if self.a else ""
        sign = "-" if self.b < 0 else "+" if head else ""
        size = abs(self.b)
        if self.d == -1:
            tail = "i" if size == 1 else f"{size}i" if size.denominator == 1 else f"{size}*i"
        else:
            tail = f"sqrt({self.d})" if size == 1 else f"{size}*sqrt({self.d})"
        return f"{head}{sign}{tail}"


ZERO, ONE = Quadratic(Fraction(0)), Quadratic(Fraction(1))
I = Quadratic(Fraction(0), Fraction(1), -1)


def make(a: Fraction | int, b: Fraction | int = 0, d: int = 1) -> Quadratic:
    """The number in its one form; `d` must be free of squares already."""
    whole, rest = bounded(Fraction(a)), bounded(Fraction(b))
    if d == 1:
        return Quadratic(whole + rest)
    return Quadratic(whole) if rest == 0 else Quadratic(whole, rest, d)


def square_root(value: Fraction) -> Quadratic:
    """sqrt(p/q) = sqrt(p*q)/q with the square part taken out; Unreadable beyond LARGEST_RADICAND."""
    inside = value.numerator * value.denominator
    if abs(inside) > LARGEST_RADICAND:
        raise Unreadable("a square root of a very large number")
    outside, rest, factor = 1, abs(inside), 2
    while factor * factor <= rest:
        while rest % (factor * factor) == 0:
            rest //= factor * factor
            outside *= factor
        factor += 1
    scale = Fraction(outside, value.denominator)
    return make(0, scale, -rest if inside < 0 else rest) if inside else ZERO


def evaluate(tree: Tree) -> Quadratic:
    """The exact value of a tree whose names are `i` and whose functions are `sqrt`; Unreadable where there is none."""
    return fold(tree, leaf, combine)


def leaf(tree: Tree) -> Quadratic:
    if tree.op == "name":
        if tree.name.lower() == "i":
            return I
        raise Unreadable(f"{tree.name} has no value here")
    return make(tree.value)


def combine(op: str, parts: tuple[Quadratic, ...]) -> Quadratic:
    if op == "neg":
        return -parts[0]
    if op == "sqrt":
        if not parts[0].is_rational:
            raise Unreadable("a root of a root")
        return square_root(parts[0].a)
    left, right = parts
    if op == "^":
        if not right.is_rational:
            raise Unreadable("an exponent that is no whole number")
        return power(left, right.a, ONE, lambda one, result: one / result)
    if op == "/":
        return left / right
    return left + right if op == "+" else left - right if op == "-" else left * right
