"""Closed formulas of recursive sequences, by reduction to geometric and arithmetic ones. Exact; the first index is 1.

Nodes (the closed formula of ... is to be found):
  geo b r          first term b, ratio r                ari b d        first term b, difference d
  aff a p q        a(1) = a, a(n+1) = p a(n) + q        lin a p q s    a(n+1) = p a(n) + q n + s
  sec a b p q      a(1) = a, a(2) = b, a(n+2) = p a(n+1) + q a(n)
  fit F G : u v    the constants with A F(n) + B G(n) = u, v at n = 1, 2
Moves forward transform the sequence: `shift c left geo b p` (a(n) = c + b(n)), `shift c d left geo b p` (c n + d),
`split r s left geo u s, geo v r` (u(n) = a(n+1) - r a(n) and v(n) = a(n+1) - s a(n): both are needed), and
`ratio r left ari b d` (a(n) = r^(n-1) b(n), for a double root). Backward they guess the formula's shape:
`form 2^n 1 left fit 2^n 1 : 5 13`. One step should do for geo and ari (`formula 3*2^(n-1)`) and for fit
(`constants 4 -3`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from effml.errors import UserError
from effml.models.thoughts.closed_form import ClosedForm, agrees, read_formula
from effml.models.thoughts.expression import Unreadable
from effml.models.thoughts.quadratic import ONE, ZERO, Quadratic, make
from effml.models.thoughts.recurrence import (
    ARITY,
    ORDER,
    Values,
    characteristic_roots,
    in_words,
    node_of,
    number,
    read_fit,
    read_node,
    read_recurrence,
    solve_fit,
    square,
    terms,
)
from effml.models.thoughts.task import Move, Problem, Verdict, last_line, read_moves

LINE = re.compile(r"(shift|split|ratio|form|formula|constants) (.{1,200}?)(?: left (.{1,200}))?$")


class Sequences:
    """See the module."""

    name = "sequence"

    def problem(self, id: str, text: str) -> Problem:
        try:
            kind, values = read_node(text) if text.split()[:1] and text.split()[0] in ARITY else read_recurrence(text)
        except (Unreadable, ValueError, KeyError) as error:
            raise UserError(
                f"'{text}' is no recurrence that can be taken ({error}): write, for instance, "
                "'a(1)=1; a(n+1)=2a(n)+3' or 'a(1)=1; a(2)=5; a(n+2)=5a(n+1)-6a(n)'."
            ) from error
        return Problem(id, node_of(kind, values))

    def known(self, node: str) -> bool:
        return False

    def role(self, node: str, direction: str) -> str:
        return "reach" if node.split(" ", 1)[0] in ("geo", "ari", "fit") else direction

    def words(self, node: str) -> dict[str, str]:
        return {"node": node, "recurrence": in_words(node)}

    def moves(self, node: str, text: str) -> tuple[list[Move], int]:
        return read_moves(text.replace("−", "-"), lambda line: _read_line(node, line))

    def line(self, move: Move) -> str:
        return move.label + (f" left {', '.join(move.premises)}" if move.premises else "")

    def sound(self, move: Move) -> bool:
        try:
            return _sound(move)
        except (Unreadable, ValueError, KeyError):
            return False

    def true(self, node: str) -> bool:
        """Whether rational numbers do for every step to the formula."""
        if node.startswith("fit"):
            return solve_fit(node) is not None
        kind, values = read_node(node)
        if kind == "sec":
            *_, p, q = values
            return q != ZERO and (p * p + make(4) * q).is_rational and square(p * p + make(4) * q) is not None
        return kind in ("geo", "ari") or values[1] != ONE

    def assemble(self, node: str, proof: Mapping[str, Move]) -> str:
        return _formula(node, proof)

    def judge(self, problem: Problem, answer: str) -> Verdict:
        try:
            form = read_formula(last_line(answer))
            kind, values = read_node(problem.node)
            right = agrees(form, terms(kind, values, form.size + ORDER[kind]))
        except Unreadable as error:
            return Verdict(False, "", str(error))
        return Verdict(right, str(form), f"{form.size} terms")


@lru_cache(maxsize=20_000)
def shift_move(node: str) -> Move:
    """aff and lin with p != 1: subtract what stays, or grows linearly."""
    kind, values = read_node(node)
    a, p, *rest = values
    if kind == "aff":
        c = rest[0] / (ONE - p)
        return Move(node, f"shift {c}", (node_of("geo", (a - c, p)),))
    c = rest[0] / (ONE - p)
    d = (rest[1] - c) / (ONE - p)
    return Move(node, f"shift {c} {d}", (node_of("geo", (a - c - d, p)),))


def split_move(node: str, r: Quadratic, s: Quadratic) -> Move:
    """sec with characteristic roots r and s, different."""
    _, (a, b, _, _) = read_node(node)
    return Move(node, f"split {r} {s}", (node_of("geo", (b - r * a, s)), node_of("geo", (b - s * a, r))))


def ratio_move(node: str, r: Quadratic) -> Move:
    """sec with the double characteristic root r."""
    _, (a, b, _, _) = read_node(node)
    return Move(node, f"ratio {r}", (node_of("ari", (a, b / r - a)),))


def form_move(node: str, basis: Sequence[str]) -> Move:
    kind, values = read_node(node)
    told = terms(kind, values, len(basis))
    return Move(node, "form " + " ".join(basis), (f"fit {' '.join(basis)} : {' '.join(map(str, told))}",))


@lru_cache(maxsize=20_000)
def basis_of(node: str) -> tuple[str, ...] | None:
    """The shape of the formula, where the characteristic roots are rational."""
    kind, values = read_node(node)
    if kind == "sec":
        roots = characteristic_roots(values[2], values[3])
        if roots is None:
            return None
        r, s = roots
        return (_power_name(r), f"n*{_power_name(r)}") if r == s else (_power_name(r), _power_name(s))
    return (_power_name(values[1]), *(("n", "1") if kind == "lin" else ("1",)))


@lru_cache(maxsize=20_000)
def leaf_move(node: str) -> Move | None:
    """The one step for geo, ari and fit."""
    kind = node.split(" ", 1)[0]
    if kind == "fit":
        found = solve_fit(node)
        return Move(node, "constants " + " ".join(map(str, found))) if found is not None else None
    _, (b, step) = read_node(node)
    if kind == "geo":
        return Move(node, f"formula {b}*{_power_name(step, 'n-1')}")
    return Move(node, f"formula {b}+{_closed(step)}*(n-1)")


def _power_name(base: Quadratic, exponent: str = "n") -> str:
    exponent = exponent if exponent == "n" else f"({exponent})"
    return f"{_closed(base)}^{exponent}"


def _closed(value: Quadratic) -> str:
    """The number, in parentheses unless it is a bare natural number."""
    return str(value) if re.fullmatch(r"\d+", str(value)) else f"({value})"


def _read_line(node: str, line: str) -> Move | None:
    match = LINE.match(re.sub(r"\s+", " ", line)) if len(line) <= 400 else None
    if match is None:
        return None
    word, said, left = match[1], match[2].strip(), match[3]
    try:
        if word == "formula":
            read_formula(said)
            return None if left else Move(node, f"formula {said.replace(' ', '')}")
        if word == "form":
            names = said.replace(",", " ").split()
            if left is None or not left.startswith("fit "):
                return None
            read_fit(left)
            return Move(node, f"form {' '.join(names)}", (left,))
        values = [number(part) for part in said.replace(",", " ").split()]
        premises = []
        for part in (left or "").split(","):
            if part.strip():
                premises.append(node_of(*read_node(part.strip())))
    except (Unreadable, ValueError, KeyError):
        return None
    counts = {"shift": ((1, 2), (1,)), "split": ((2,), (2,)), "ratio": ((1,), (1,)), "constants": ((1, 2, 3), (0,))}
    if len(values) not in counts[word][0] or len(premises) not in counts[word][1]:
        return None
    return Move(node, f"{word} {' '.join(map(str, values))}", tuple(premises))


def _sound(move: Move) -> bool:
    word, *said = move.label.split(" ")
    if word == "constants":
        return move.node.startswith("fit") and solve_fit(move.node) == tuple(map(number, said))
    if move.node.startswith("fit"):
        return False
    kind, values = read_node(move.node)
    if word == "formula":
        form = read_formula(said[0])
        return agrees(form, terms(kind, values, form.size + ORDER[kind]))
    if word == "shift":
        return kind in ("aff", "lin") and values[1] != ONE and shift_move(move.node) == move
    if kind != "sec" and word in ("split", "ratio"):
        return False
    if word == "split":
        r, s = map(number, said)
        return r != s and r + s == values[2] and r * s == -values[3] and split_move(move.node, r, s) == move
    if word == "ratio":
        (r,) = map(number, said)
        double = r + r == values[2] and r * r == -values[3] and r != ZERO
        return double and ratio_move(move.node, r) == move
    if form_move(move.node, said) != move:
        return False
    constants = solve_fit(move.premises[0])
    if constants is None:
        return False
    form = _combination(said, constants)
    return agrees(form, terms(kind, values, form.size + ORDER[kind]))


def _combination(basis: Sequence[str], constants: Values) -> ClosedForm:
    return read_formula(_sum(basis, constants))


def _sum(basis: Sequence[str], constants: Values) -> str:
    return "+".join(f"({value})*{name}" for name, value in zip(basis, constants, strict=True))


def _formula(node: str, proof: Mapping[str, Move]) -> str:
    move = proof.get(node)
    if move is None:
        return "?"
    word, *said = move.label.split(" ")
    below = [_formula(premise, proof) for premise in move.premises]
    if word == "formula":
        return said[0]
    if word == "shift":
        return f"{below[0]}+({said[0]})" + (f"*n+({said[1]})" if len(said) == 2 else "")
    if word == "split":
        return f"(({below[0]})-({below[1]}))/(({said[1]})-({said[0]}))"
    if word == "ratio":
        return f"({said[0]})^(n-1)*({below[0]})"
    if word == "form":
        constants = proof[move.premises[0]].label.split(" ")[1:]
        return "+".join(f"({value})*{name}" for name, value in zip(said, constants, strict=False))
    return " ".join(said)
