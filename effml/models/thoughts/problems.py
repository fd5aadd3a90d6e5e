"""Generated problems: polynomials and recurrences with exact answers, from a seed. The game of 24 brings its own.

`random.Random` is used because its streams are the same on every platform and version; what a seed gives is frozen.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random

from effml.models.thoughts import polynomial as poly
from effml.models.thoughts import recurrence
from effml.models.thoughts.quadratic import make


def polynomial(rng: Random, low: int = 3, high: int = 6, largest: int = 6) -> str:
    """A node: degree `low`..`high`, roots among whole numbers up to `largest`. Three in ten hold a pair of complex roots
    with whole parts; beyond degree 3 one in four has a repeated root and one in five a root with denominator 2."""
    degree = rng.randint(low, high)
    factors: list[tuple[Fraction, ...]] = []
    left = degree
    if left >= 2 and rng.random() < 0.3:
        a, b = rng.randint(-3, 3), rng.randint(1, 3)
        factors.append((Fraction(1), Fraction(-2 * a), Fraction(a * a + b * b)))
        left -= 2
    if left >= 1 and high > 3 and rng.random() < 0.2:
        factors.append((Fraction(2), Fraction(rng.choice((-5, -3, -1, 1, 3, 5)))))
        left -= 1
    roots = [rng.randint(-largest, largest) for _ in range(left)]
    if left >= 2 and high > 3 and rng.random() < 0.25:
        roots[1] = roots[0]
    factors.extend((Fraction(1), Fraction(-root)) for root in roots)
    made: tuple[Fraction, ...] = (Fraction(1),)
    for factor in factors:
        made = poly.times(made, factor)
    return poly.node_of(made)


def sequence(rng: Random, order: int = 2) -> str:
    """A node. Order 1: a(n+1) = p a(n) + q with a whole fixed point. Order 2: half of second order (characteristic roots
    whole and different, double, or, one in ten each, complex or irrational), the rest with a linear term in n."""
    if order == 1:
        p = rng.choice((-3, -2, 2, 3, 4, 5))
        fixed = rng.choice([c for c in range(-6, 7) if c])
        first = rng.choice([a for a in range(-6, 10) if a != fixed])
        return _node("aff", first, p, fixed * (1 - p))
    first = rng.randint(-5, 9)
    if rng.random() < 0.5:
        p = rng.choice((-2, 2, 3, 4))
        slope, shift = rng.choice([c for c in range(-4, 5) if c]), rng.randint(-5, 5)
        # a(n) = slope n + shift solves it when q = slope (1 - p) and s = slope + shift (1 - p).
        return _node("lin", first, p, slope * (1 - p), slope + shift * (1 - p))
    kind = rng.random()
    if kind < 0.5:
        r, s = rng.sample([-3, -2, -1, 1, 2, 3, 4], 2)
    elif kind < 0.8:
        r = s = rng.choice((-3, -2, 2, 3))
        return _node("sec", first, r * rng.randint(-4, 6), r + s, -r * s)
    else:
        # x^2 = p x + q without rational roots: complex for a negative discriminant, else irrational.
        choices = [(p, q) for p in range(-3, 4) for q in range(-3, 4) if q and _irrational(p, q, kind < 0.9)]
        p, q = rng.choice(choices)
        return _node("sec", first, rng.randint(-5, 9), p, q)
    return _node("sec", first, rng.randint(-5, 9), r + s, -r * s)


def _node(kind: str, *values: int) -> str:
    return recurrence.node_of(kind, [make(value) for value in values])


def _irrational(p: int, q: int, negative: bool) -> bool:
    discriminant = p * p + 4 * q
    if discriminant < 0:
        return negative
    return not negative and int(discriminant**0.5 + 0.5) ** 2 != discriminant


def problems(kind: str, count: int, seed: int, rung: str = "full") -> list[str]:
    """`count` different nodes of `kind` ("polynomial", "sequence"); rung "easy" is degree 2-3, order 1."""
    rng = Random(f"{kind} {rung} {seed}")
    found: dict[str, None] = {}
    while len(found) < count:
        found[draw(kind, rng, rung)] = None
    return list(found)


def draw(kind: str, rng: Random, rung: str = "full") -> str:
    if kind == "polynomial":
        return polynomial(rng, 2, 3, 5) if rung == "easy" else polynomial(rng)
    return sequence(rng, 1 if rung == "easy" else 2)
