"""Linear recurrences of first and second order in exact numbers: read, written as nodes, unrolled, fitted.

A node is a kind and its numbers in words (`geo 3 2`); which kinds there are is told in `sequence`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from effml.models.thoughts.closed_form import read_formula
from effml.models.thoughts.expression import Tree, Unreadable, fold, parse
from effml.models.thoughts.quadratic import ONE, ZERO, Quadratic, evaluate, make, square_root

ARITY = {"geo": 2, "ari": 2, "aff": 3, "lin": 4, "sec": 4}
ORDER = {"geo": 1, "ari": 2, "aff": 2, "lin": 3, "sec": 2}  # of the homogeneous recurrence that the terms meet

Values = tuple[Quadratic, ...]


def node_of(kind: str, values: Sequence[Quadratic]) -> str:
    return " ".join([kind, *map(str, values)])


@lru_cache(maxsize=100_000)
def read_node(node: str) -> tuple[str, Values]:
    kind, *words = node.split()
    if len(words) != ARITY[kind]:
        raise ValueError(f"{kind} takes {ARITY[kind]} numbers")
    return kind, tuple(number(word) for word in words)


@lru_cache(maxsize=20_000)
def number(word: str) -> Quadratic:
    return evaluate(parse(word, names=frozenset("i"), functions=frozenset(("sqrt",)), implicit=True))


def terms(kind: str, values: Values, count: int) -> list[Quadratic]:
    """The first `count` terms, by the recurrence itself."""
    if kind == "sec":
        found = [values[0], values[1]]
        while len(found) < count:
            found.append(values[2] * found[-1] + values[3] * found[-2])
        return found[:count]
    found = [values[0]]
    for n in range(1, count):
        last = found[-1]
        if kind == "geo":
            found.append(last * values[1])
        elif kind == "ari":
            found.append(last + values[1])
        elif kind == "aff":
            found.append(values[1] * last + values[2])
        else:
            found.append(values[1] * last + values[2] * make(n) + values[3])
    return found


@lru_cache(maxsize=20_000)
def in_words(node: str) -> str:
    """The node as a sentence's part, for prompts."""
    if node.startswith("fit"):
        basis, values = read_fit(node)
        shape = " + ".join(f"{letter}*{name}" for letter, name in zip("ABC", basis, strict=False))
        at = ", ".join(f"{value} at n={n}" for n, value in enumerate(values, 1))
        return f"{shape} = {at}"
    kind, v = read_node(node)
    return {
        "geo": "a(1) = {0} and a(n+1) = ({1})*a(n)",
        "ari": "a(1) = {0} and a(n+1) = a(n) + ({1})",
        "aff": "a(1) = {0} and a(n+1) = ({1})*a(n) + ({2})",
        "lin": "a(1) = {0} and a(n+1) = ({1})*a(n) + ({2})*n + ({3})",
        "sec": "a(1) = {0}, a(2) = {1} and a(n+2) = ({2})*a(n+1) + ({3})*a(n)",
    }[kind].format(*v)


def characteristic_roots(p: Quadratic, q: Quadratic) -> tuple[Quadratic, Quadratic] | None:
    """The roots of x^2 = p x + q if they are rational."""
    root = square(p * p + make(4) * q)
    half = make(Fraction(1, 2))
    return None if root is None else ((p - root) * half, (p + root) * half)


def square(value: Quadratic) -> Quadratic | None:
    """The rational square root, if there is one."""
    if not value.is_rational or value.a < 0:
        return None
    root = square_root(value.a)
    return root if root.is_rational else None


def read_fit(node: str) -> tuple[list[str], Values]:
    basis, _, values = node.removeprefix("fit ").partition(" : ")
    names = basis.split()
    numbers_given = tuple(number(word) for word in values.split())
    if not 1 <= len(names) <= 3 or len(numbers_given) != len(names):
        raise ValueError("a fit has as many values as functions, 3 at most")
    return names, numbers_given


@lru_cache(maxsize=20_000)
def solve_fit(node: str) -> Values | None:
    """The constants, by elimination; None when the functions do not tell the values apart."""
    basis, values = read_fit(node)
    forms = [read_formula(name) for name in basis]
    rows = [[form.at(n) for form in forms] + [value] for n, value in enumerate(values, 1)]
    for k in range(len(rows)):
        pivot = next((j for j in range(k, len(rows)) if rows[j][k] != ZERO), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [entry / rows[k][k] for entry in rows[k]]
        for j in range(len(rows)):
            if j != k:
                rows[j] = [entry - rows[j][k] * lead for entry, lead in zip(rows[j], rows[k], strict=True)]
    return tuple(row[-1] for row in rows)


def read_recurrence(text: str) -> tuple[str, Values]:
    """`a(1)=1; a(n+1)=2a(n)+3` as kind and numbers; Unreadable or ValueError for what is not linear and of order <= 2."""
    first: dict[int, Quadratic] = {}
    rule: str | None = None
    order = 0
    for part in re.split(r"[;,]| and ", text[:400]):
        left, equals, right = part.replace(" ", "").replace("{", "").replace("}", "").partition("=")
        if match := re.fullmatch(r"a[_(]?(\d)\)?", left):
            first[int(match[1])] = number(right)
        elif match := re.fullmatch(r"a[_(]?n\+([12])\)?", left):
            order, rule = int(match[1]), right
        elif equals or left:
            raise Unreadable(f"{part.strip()!r}")
    if rule is None or set(first) != set(range(1, order + 1)):
        raise Unreadable("the rule for a(n+1) or a(n+2), and as many first terms from a(1) on, are needed")
    rule = re.sub(r"a[_(]?n\+1\)?", "v", rule)
    rule = re.sub(r"a[_(]?n\)?", "u", rule)
    u, v, n, one = _linear(parse(rule, names=frozenset("uvn"), implicit=True))
    if order == 2:
        if n != ZERO or one != ZERO:
            raise Unreadable("a second-order rule has only a(n+1) and a(n) on its right")
        return "sec", (first[1], first[2], v, u)
    if v != ZERO:
        raise Unreadable("a(n+1) on both sides")
    if n != ZERO:
        return "lin", (first[1], u, n, one)
    if u == ONE:
        return "ari", (first[1], one)
    return ("aff", (first[1], u, one)) if one != ZERO else ("geo", (first[1], u))


def _linear(tree: Tree) -> Values:
    """The coefficients of u, v, n and 1 in an expression that is linear in them."""

    def leaf(tree: Tree) -> Values:
        if tree.op == "number":
            return (ZERO, ZERO, ZERO, make(tree.value))
        return (*(ONE if name == tree.name else ZERO for name in "uvn"), ZERO)

    def combine(op: str, parts: tuple[Values, ...]) -> Values:
        if op == "neg":
            return tuple(-x for x in parts[0])
        left, right = parts
        if op in "+-":
            return tuple(x + y if op == "+" else x - y for x, y in zip(left, right, strict=True))
        if op == "*" and not any(x != ZERO for x in left[:3]):
            left, right = right, left
        if any(x != ZERO for x in right[:3]) or op == "^":
            raise Unreadable("a rule that is not linear")
        return tuple(x * right[3] if op == "*" else x / right[3] for x in left)

    return fold(tree, leaf, combine)
