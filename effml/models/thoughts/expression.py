"""Arithmetic written by a model, read without evaluating any of it: a small grammar with hard limits.

expression = sums, products, powers, signs, parentheses, numerals, and the names and functions that the caller allows.
Nothing here calls Python's own parser, so that no text can run code, nest until the interpreter gives up, or ask for
numbers that take a second to write down. It knows no number type: `fold` evaluates a tree in the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

T = TypeVar("T")

MAX_CHARACTERS = 2000
MAX_TOKENS = 300
MAX_DEPTH = 60  # parentheses, signs and powers inside each other
MAX_DIGITS = 30

SPELLINGS = str.maketrans({"×": "*", "·": "*", "∙": "*", "÷": "/", "−": "-", "–": "-", "√": "sqrt "})
TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|(\*\*|[-+*/^()])|([A-Za-z]+))")


class Unreadable(ValueError):
    """The text is no expression of this grammar, or passes a limit; the message says where."""


@dataclass(frozen=True)
class Tree:
    """`op` is "number" (with `value`), "name" (with `name`), "neg", "call" (with `name`), or one of + - * / ^."""

    op: str
    parts: tuple[Tree, ...] = ()
    value: Fraction = Fraction(0)
    name: str = ""


def parse(
    text: str,
    *,
    names: frozenset[str] = frozenset(),
    functions: frozenset[str] = frozenset(),
    decimals: bool = True,
    implicit: bool = False,
) -> Tree:
    """The tree of `text`.

    names, functions: the words allowed. decimals: whether 0.5 is a numeral (read as 1/2). implicit: whether 2n and
    3(n+1) are products. Raises Unreadable.
    """
    return _Parser(_tokens(text, decimals), names, functions, implicit).whole()


def fold(tree: Tree, leaf: Callable[[Tree], T], combine: Callable[[str, tuple[T, ...]], T]) -> T:
    """`leaf` of numbers and names, `combine(op or function name, parts)` of the rest, from the bottom up."""
    if tree.op in ("number", "name"):
        return leaf(tree)
    parts = tuple(fold(part, leaf, combine) for part in tree.parts)
    return combine(tree.name if tree.op == "call" else tree.op, parts)


def numbers(tree: Tree) -> list[Fraction]:
    """Every numeral in the tree, left to right."""
    if tree.op == "number":
        return [tree.value]
    return [value for part in tree.parts for value in numbers(part)]


def rational(tree: Tree) -> Fraction:
    """The exact value of a tree without names or functions; Unreadable for a division by zero or a power too large."""

    def combine(op: str, parts: tuple[Fraction, ...]) -> Fraction:
        if op == "neg":
            return -parts[0]
        left, right = parts
        if op == "^":
            return power(left, right, Fraction(1), divide)
        if op == "/":
            return divide(left, right)
        return bounded(left + right if op == "+" else left - right if op == "-" else left * right)

    def leaf(tree: Tree) -> Fraction:
        if tree.op == "name":
            raise Unreadable(f"{tree.name} has no value here")
        return tree.value

    return fold(tree, leaf, combine)


def divide(left: Fraction, right: Fraction) -> Fraction:
    if right == 0:
        raise Unreadable("a division by zero")
    return left / right


def power(base: Any, exponent: Fraction, one: Any, divided: Callable[[Any, Any], Any], limit: int = 64) -> Any:
    """base ** exponent for whole exponents of at most `limit`, by repeated multiplication in the caller's numbers."""
    if exponent.denominator != 1 or abs(exponent) > limit:
        raise Unreadable(f"the exponent {exponent} is not a whole number of at most {limit}")
    result = one
    for _ in range(abs(int(exponent))):
        result = bounded(result * base)
    return divided(one, result) if exponent < 0 else result


def bounded(value: Any, bits: int = 4096) -> Any:
    """`value`, unless it is a fraction of more than `bits` bits: Unreadable."""
    if isinstance(value, Fraction) and value.numerator.bit_length() + value.denominator.bit_length() > bits:
        raise Unreadable("a number of thousands of digits")
    return value


def _tokens(text: str, decimals: bool) -> list[str]:
    if len(text) > MAX_CHARACTERS:
        raise Unreadable(f"{len(text)} characters, more than {MAX_CHARACTERS}")
    text = text.translate(SPELLINGS).strip()
    found: list[str] = []
    place = 0
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise Unreadable(f"{text[place : place + 10]!r} at character {place}")
        numeral = match[1]
        if numeral and len(numeral) > MAX_DIGITS:
            raise Unreadable(f"a numeral of {len(numeral)} characters")
        if numeral and "." in numeral and not decimals:
            raise Unreadable(f"the decimal {numeral}")
        found.append(match[0].strip().replace("**", "^"))
        place = match.end()
    if len(found) > MAX_TOKENS:
        raise Unreadable(f"{len(found)} words, more than {MAX_TOKENS}")
    return found


class _Parser:
    """Precedence climbing: sums, products, signs, powers (from the right), atoms."""

    def __init__(self, tokens: list[str], names: frozenset[str], functions: frozenset[str], implicit: bool) -> None:
        self.tokens, self.names, self.functions, self.implicit = tokens, names, functions, implicit
        self.place = 0
        self.depth = 0

    def whole(self) -> Tree:
        tree = self.sum()
        if self.place < len(self.tokens):
            raise Unreadable(f"{self.tokens[self.place]!r} after the end of the expression")
        return tree

    def peek(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.place += 1
        return token

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}")

    def sum(self) -> Tree:
        self.deeper()
        tree = self.product()
        while self.peek() in ("+", "-"):
            op = self.take()
            tree = Tree(op, (tree, self.product()))
        self.depth -= 1
        return tree

    def product(self) -> Tree:
        tree = self.signed()
        while True:
            if self.peek() in ("*", "/"):
                op = self.take()
                tree = Tree(op, (tree, self.signed()))
            elif self.implicit and (self.peek() == "(" or self.peek().isalpha()):
                tree = Tree("*", (tree, self.raised()))
            else:
                return tree

    def signed(self) -> Tree:
        signs = 0
        while self.peek() in ("+", "-"):
            if self.take() == "-":
                signs += 1
        tree = self.raised()
        return Tree("neg", (tree,)) if signs % 2 else tree

    def raised(self) -> Tree:
        tree = self.atom()
        if self.peek() != "^":
            return tree
        self.take()
        self.deeper()
        tree = Tree("^", (tree, self.signed()))
        self.depth -= 1
        return tree

    def atom(self) -> Tree:
        token = self.take()
        if token == "(":
            tree = self.sum()
            if self.take() != ")":
                raise Unreadable("a parenthesis without its partner")
            return tree
        if token[:1].isdigit():
            return Tree("number", value=Fraction(token))
        if token in self.functions:
            self.deeper()
            tree = Tree("call", (self.atom(),), name=token)
            self.depth -= 1
            return tree
        if token in self.names:
            return Tree("name", name=token)
        raise Unreadable(f"{token!r} where a number should be" if token else "an end where a number should be")
