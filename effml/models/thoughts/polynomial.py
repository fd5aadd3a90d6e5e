"""Roots of polynomials with rational coefficients, all of them with their multiplicities, complex ones included. Exact.

Node: `roots 1 -5 6`, the coefficients of x^2 - 5x + 6 from the highest power. Moves forward split off one rational root
(`root 2 left 1 -3`); backward they write the polynomial as a product (`[1 -3]*[1 -2]`, both factors are needed); at
degree 2 and below one step should do (`roots 2 3`). Answers: `1, 1, -1/2, 2+3i, 2-3i`, also with sqrt(...).

Irrational answers are judged in the field of their own square root: roots of a cubic that need cube roots cannot be
written here, and count as wrong.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from effml.errors import UserError
from effml.models.thoughts.expression import Tree, Unreadable, divide, fold, parse
from effml.models.thoughts.quadratic import Quadratic, evaluate, make, square_root
from effml.models.thoughts.task import Move, Problem, Verdict, last_line, read_moves

MAX_DEGREE = 8
COEFFICIENT = r"-?\d{1,30}(?:/\d{1,30})?"
FORWARD_LINE = re.compile(rf"root:? ?({COEFFICIENT}),? left:?((?: {COEFFICIENT})+)$")
PRODUCT_LINE = re.compile(rf"\[({COEFFICIENT}(?: {COEFFICIENT})*)\]\*?\[({COEFFICIENT}(?: {COEFFICIENT})*)\]$")
REACH_LINE = re.compile(r"roots?:? (.{1,200})$")

Coefficients = tuple[Fraction, ...]  # from the highest power; the first is not 0


class Polynomials:
    """See the module."""

    name = "polynomial"

    def problem(self, id: str, text: str) -> Problem:
        try:
            if "x" in text:
                coefficients = trimmed(_expanded(text.partition("=")[0]))
            else:
                words = text.replace(",", " ").removeprefix("roots").split()
                coefficients = trimmed([_fraction(word) for word in words])
        except (ValueError, ZeroDivisionError) as error:
            raise UserError(
                f"'{text}' is no polynomial: write 'x^2 - 5x + 6', or its coefficients '1 -5 6'."
            ) from error
        if not 1 <= len(coefficients) - 1 <= MAX_DEGREE:
            raise UserError(f"'{text}' has degree {len(coefficients) - 1}; degrees 1 to {MAX_DEGREE} are taken.")
        return Problem(id, node_of(coefficients))

    def known(self, node: str) -> bool:
        return len(read_node(node)) == 1

    def role(self, node: str, direction: str) -> str:
        return "reach" if len(read_node(node)) <= 3 else direction

    def words(self, node: str) -> dict[str, str]:
        coefficients = read_node(node)
        return {"node": node, "coefficients": " ".join(map(str, coefficients)), "polynomial": written(coefficients)}

    def moves(self, node: str, text: str) -> tuple[list[Move], int]:
        return read_moves(text.replace("−", "-"), lambda line: _read_line(node, line))

    def line(self, move: Move) -> str:
        if move.label.startswith("root "):
            return f"{move.label} left {move.premises[0].removeprefix('roots ')}"
        return move.label

    def sound(self, move: Move) -> bool:
        coefficients = read_node(move.node)
        if move.label.startswith("root "):
            quotient, rest = deflate(coefficients, _fraction(move.label[5:]))
            return rest == 0 and move.premises == (node_of(quotient),)
        if move.label.startswith("roots "):
            try:
                return not move.premises and solves(coefficients, read_roots(move.label[6:]) or [])
            except Unreadable:
                return False
        factors = [read_node(name) for name in _factors(move.label)]
        return len(move.premises) == 2 and times(*factors) == coefficients

    def true(self, node: str) -> bool:
        """Whether every root is a rational or a complex number with rational parts: what these moves can reach."""
        return exact_roots(read_node(node)) is not None

    def assemble(self, node: str, proof: Mapping[str, Move]) -> str:
        return ", ".join(_collected(node, proof))

    def judge(self, problem: Problem, answer: str) -> Verdict:
        found = read_roots(last_line(answer))
        if found is None:
            return Verdict(False, "", "it is no list of numbers")
        form = ", ".join(sorted(map(str, found)))
        try:
            right = solves(read_node(problem.node), found)
        except Unreadable as error:
            return Verdict(False, form, str(error))
        return Verdict(right, form, f"{len(found)} roots given")


def node_of(coefficients: Sequence[Fraction | int]) -> str:
    return "roots " + " ".join(str(Fraction(c)) for c in coefficients)


@lru_cache(maxsize=100_000)
def read_node(node: str) -> Coefficients:
    return tuple(Fraction(word) for word in node.split()[1:])


def trimmed(coefficients: Sequence[Fraction]) -> Coefficients:
    """Without leading zeros; ValueError for the zero polynomial."""
    for place, value in enumerate(coefficients):
        if value:
            return tuple(coefficients[place:])
    raise ValueError("no coefficient but 0")


def deflate(coefficients: Sequence[Fraction], root: Fraction) -> tuple[Coefficients, Fraction]:
    """Synthetic division by (x - root): quotient and remainder."""
    row: list[Fraction] = []
    for value in coefficients:
        row.append(value + (row[-1] * root if row else 0))
    return tuple(row[:-1]), row[-1]


def product(roots: Sequence[Fraction], leading: Fraction | int = 1) -> Coefficients:
    """leading * prod (x - root)."""
    made: list[Fraction] = [Fraction(leading)]
    for root in roots:
        made = [a - root * b for a, b in zip([*made, Fraction(0)], [Fraction(0), *made], strict=True)]
    return tuple(made)


def times(left: Sequence[Fraction], right: Sequence[Fraction]) -> Coefficients:
    made = [Fraction(0)] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            made[i + j] += a * b
    return tuple(made)


@lru_cache(maxsize=20_000)
def rational_roots(coefficients: Coefficients) -> tuple[Fraction, ...]:
    """The rational roots with multiplicity, in ascending order, by the rational root theorem."""
    scale = math.lcm(*(c.denominator for c in coefficients))
    whole = [int(c * scale) for c in coefficients]
    found: list[Fraction] = []
    while len(whole) > 1 and whole[-1] == 0:
        whole.pop()
        found.append(Fraction(0))
    rest: Coefficients = tuple(Fraction(c) for c in whole)
    candidates = {Fraction(s * p, q) for p in _divisors(whole[-1]) for q in _divisors(whole[0]) for s in (1, -1)}
    for root in sorted(candidates):
        while len(rest) > 1 and deflate(rest, root)[1] == 0:
            rest = deflate(rest, root)[0]
            found.append(root)
    return tuple(sorted(found))


@lru_cache(maxsize=20_000)
def exact_roots(coefficients: Coefficients) -> tuple[Quadratic, ...] | None:
    """All roots when the rational ones leave a quadratic with roots in Q(i), else None."""
    roots = rational_roots(coefficients)
    rest = coefficients
    for root in roots:
        rest = deflate(rest, root)[0]
    if len(rest) == 3:
        pair = quadratic_roots(rest)
        return (*map(make, roots), *pair) if all(each.d in (1, -1) for each in pair) else None
    return tuple(map(make, roots)) if len(rest) == 1 else None


def quadratic_roots(coefficients: Coefficients) -> list[Quadratic]:
    a, b, c = coefficients
    root = square_root((b * b - 4 * a * c) / (4 * a * a))
    centre = make(-b / (2 * a))
    return [centre - root, centre + root]


def solves(coefficients: Coefficients, roots: Sequence[Quadratic]) -> bool:
    """Whether these are all the roots with their multiplicities: as many as the degree, and each claim of multiplicity
    m has the polynomial and its first m - 1 derivatives vanish there."""
    if len(roots) != len(coefficients) - 1:
        return False
    for root, multiplicity in Counter(roots).items():
        derivative = list(coefficients)
        for _ in range(multiplicity):
            value = make(0)
            for coefficient in derivative:
                value = value * root + make(coefficient)
            if value != make(0):
                return False
            degree = len(derivative) - 1
            derivative = [c * (degree - k) for k, c in enumerate(derivative[:-1])]
    return True


def read_roots(text: str) -> list[Quadratic] | None:
    """The numbers of a list such as `1, -1/2, 2+3i` (also `x = 1` and `1 and 2`); None if unreadable."""
    text = re.sub(r"\bx_?\d?\s*=", "", text[:600]).replace(" and ", ",").strip(" .{}[]")
    parts = [part for part in re.split(r"[,;]", text) if part.strip()]
    if not 0 < len(parts) <= MAX_DEGREE:
        return None
    try:
        return [
            evaluate(parse(part, names=frozenset("iI"), functions=frozenset(("sqrt",)), implicit=True))
            for part in parts
        ]
    except Unreadable:
        return None


def written(coefficients: Coefficients) -> str:
    """x^2 - 5x + 6."""
    degree = len(coefficients) - 1
    terms = []
    for k, c in enumerate(coefficients):
        if c == 0:
            continue
        power = degree - k
        name = "" if power == 0 else "x" if power == 1 else f"x^{power}"
        size = "" if abs(c) == 1 and name else str(abs(c)) if c.denominator == 1 or not name else f"({abs(c)})"
        terms.append(("- " if c < 0 else "+ ") + size + name)
    text = " ".join(terms)
    return text[2:] if text.startswith("+") else "-" + text[2:]


def forward_moves(node: str) -> Iterator[Move]:
    """Every sound move that splits off a rational root."""
    coefficients = read_node(node)
    for root in dict.fromkeys(rational_roots(coefficients)):
        yield Move(node, f"root {root}", (node_of(deflate(coefficients, root)[0]),))


def reach_moves(node: str) -> Iterator[Move]:
    """The roots of a polynomial of degree 1 or 2."""
    coefficients = read_node(node)
    roots = [make(-coefficients[1] / coefficients[0])] if len(coefficients) == 2 else quadratic_roots(coefficients)
    yield Move(node, "roots " + " ".join(map(str, roots)).replace(" ", ", "))


def backward_move(node: str, left: Sequence[Fraction], right: Sequence[Fraction]) -> Move:
    """node = left * right."""
    names = (node_of(left), node_of(right))
    return Move(node, "*".join(f"[{name.removeprefix('roots ')}]" for name in names), names)


def _fraction(word: str) -> Fraction:
    if len(word) > 64 or not re.fullmatch(r"-?\d+(?:\.\d+|/\d+)?", word):
        raise ValueError("no number, or one of absurd length")  # Fraction itself would write out 1e999999999
    return Fraction(word)


def _expanded(text: str) -> Coefficients:
    """The coefficients of an expression in x, such as (x-1)(x^2+2); Unreadable, a ValueError, if it is none."""

    def leaf(tree: Tree) -> Coefficients:
        return (Fraction(1), Fraction(0)) if tree.op == "name" else (tree.value,)

    def combine(op: str, parts: tuple[Coefficients, ...]) -> Coefficients:
        if op == "neg":
            return tuple(-c for c in parts[0])
        left, right = parts
        if op in "+-":
            size = max(len(left), len(right))
            rows = [(Fraction(0),) * (size - len(side)) + side for side in (left, right)]
            return tuple(a + b if op == "+" else a - b for a, b in zip(*rows, strict=True))
        if op == "*":
            return times(left, right)
        if len(right) != 1:
            raise Unreadable("a division or power by x")
        if op == "/":
            return tuple(divide(c, right[0]) for c in left)
        if right[0].denominator != 1 or not 0 <= right[0] <= MAX_DEGREE:
            raise Unreadable(f"a power other than 0 to {MAX_DEGREE}")
        made: Coefficients = (Fraction(1),)
        for _ in range(int(right[0])):
            made = times(made, left)
        return made

    return fold(parse(text, names=frozenset("x"), implicit=True), leaf, combine)


def _divisors(number: int) -> list[int]:
    """Positive divisors of |number| up to a bound that generated problems never pass."""
    number = abs(number)
    small = [d for d in range(1, min(int(number**0.5) + 1, 20_000)) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def _factors(label: str) -> list[str]:
    match = PRODUCT_LINE.match(label)
    assert match is not None, label
    return [f"roots {match[1]}", f"roots {match[2]}"]


def _read_line(node: str, line: str) -> Move | None:
    if len(line) > 400:
        return None
    line = re.sub(r"\s*([\[\]*/])\s*", r"\1", line.replace(", left", " left"))
    try:
        if match := FORWARD_LINE.match(line):
            rest = trimmed([_fraction(word) for word in match[2].split()])
            return Move(node, f"root {_fraction(match[1])}", (node_of(rest),))
        if match := PRODUCT_LINE.match(line):
            left, right = (trimmed([_fraction(word) for word in match[k].split()]) for k in (1, 2))
            # A factor of degree 0 would make the task of itself.
            return backward_move(node, left, right) if len(left) > 1 and len(right) > 1 else None
        if match := REACH_LINE.match(line):
            roots = read_roots(match[1])
            return Move(node, "roots " + ", ".join(map(str, roots))) if roots else None
    except (ValueError, ZeroDivisionError):
        return None
    return None


def _collected(node: str, proof: Mapping[str, Move]) -> list[str]:
    move = proof.get(node)
    if move is None:
        return []
    if move.label.startswith("roots "):
        return move.label[6:].split(", ")
    own = [move.label[5:]] if move.label.startswith("root ") else []
    return own + [root for premise in move.premises for root in _collected(premise, proof)]
