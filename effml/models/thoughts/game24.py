"""The game of 24: combine each of the numbers exactly once by + - * / so that they make the target. Exact rationals.

Node: `4 5 6 10 > 24`, numbers in ascending order. Moves forward combine two numbers (`10-4=6 left 5 6 6`); backward
they take one number, or a group of numbers, out of the target (`4*[5 6 10>6]`, `[4 6>24]+[5 10>0]`); with two numbers
left one step should do (`4*6`). Fractions are written in parentheses: `8/(3-(8/3))` has the state `(1/3) 8`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import lru_cache

from effml.errors import UserError
from effml.models.thoughts.expression import MAX_DIGITS, Tree, Unreadable, numbers, parse, rational
from effml.models.thoughts.task import BACKWARD, Move, Problem, Verdict, last_line, read_moves

OPERATIONS = "+-*/"
NUMBER = r"(?:-?\d{1,30}(?:\.\d{1,30})?|\(-?\d{1,30}(?:/\d{1,30})?\))"
LISTED = rf"(?:-?\d{{1,30}}/\d{{1,30}}|{NUMBER})"  # between blanks a fraction needs no parentheses
FORWARD_LINE = re.compile(rf"({NUMBER})([-+*/])({NUMBER})=({NUMBER})left((?: {LISTED})+)(?: ?\).*)?$")
REACH_LINE = re.compile(rf"({NUMBER})([-+*/])({NUMBER})(?:=({NUMBER}))?$")
GROUP = rf"\[({NUMBER}(?: {NUMBER})*)>({NUMBER})\]"
BACKWARD_LINE = re.compile(rf"(?:{GROUP}|({NUMBER}))([-+*/])(?:{GROUP}|({NUMBER}))$")
NUMERAL = re.compile(r"-?\d+(?:\.\d+|/\d+)?")  # Fraction itself would go on and write out 1e999999999
SPELLINGS = str.maketrans({"×": "*", "÷": "/", "−": "-", "–": "-"})

Numbers = tuple[Fraction, ...]


class Game24:
    """See the module. `target` is what a puzzle given as bare numbers should make."""

    name = "game24"

    def __init__(self, target: int = 24) -> None:
        self.target = target

    def problem(self, id: str, text: str) -> Problem:
        head, _, tail = text.replace(",", " ").partition(">")
        try:
            numbers = [_number(word) for word in head.split()]
            target = _number(tail.strip()) if tail.strip() else Fraction(self.target)
        except (ValueError, ZeroDivisionError) as error:
            raise UserError(f"'{text}' is no puzzle: write numbers, such as '3 3 8 8'.") from error
        if not 2 <= len(numbers) <= 6:
            raise UserError(f"'{text}' holds {len(numbers)} numbers: a puzzle has 2 to 6.")
        return Problem(id, node_of(numbers, target))

    def known(self, node: str) -> bool:
        numbers, target = read_node(node)
        return len(numbers) == 1 and numbers[0] == target

    def role(self, node: str, direction: str) -> str:
        return "reach" if direction == BACKWARD and len(read_node(node)[0]) <= 2 else direction

    def words(self, node: str) -> dict[str, str]:
        numbers, target = node.split(" > ")
        return {"node": node, "numbers": numbers, "target": target}

    def moves(self, node: str, text: str) -> tuple[list[Move], int]:
        return read_moves(text.translate(SPELLINGS), lambda line: _read_line(node, line))

    def line(self, move: Move) -> str:
        if "=" in move.label:
            return f"{move.label} left {move.premises[0].split(' > ')[0]}"
        return move.label

    def sound(self, move: Move) -> bool:
        numbers, target = read_node(move.node)
        if match := re.fullmatch(rf"({NUMBER})([-+*/])({NUMBER})=({NUMBER})", move.label):
            a, b, c = (_number(match[k]) for k in (1, 3, 4))
            rest = _without(numbers, (a, b))
            if rest is None or apply(match[2], a, b) != c or len(move.premises) != 1:
                return False
            return move.premises[0] == node_of([*rest, c], target)
        match = BACKWARD_LINE.match(move.label)
        if match is None:
            return False
        (left, u), op, (right, v) = _sides(match)
        return apply(op, u, v) == target and sorted([*left, *right]) == sorted(numbers)

    def true(self, node: str) -> bool:
        numbers, target = read_node(node)
        return reachable(numbers, target)

    def assemble(self, node: str, proof: Mapping[str, Move]) -> str:
        return _written(_tree(node, proof))

    def judge(self, problem: Problem, answer: str) -> Verdict:
        numbers_given, target = read_node(problem.node)
        try:
            tree = parse(last_line(answer).split("=")[0], decimals=False)
            value = rational(tree)
        except Unreadable as error:
            return Verdict(False, "", str(error))
        form = canonical(tree)
        if sorted(numbers(tree)) != sorted(numbers_given):
            return Verdict(False, form, "it does not use each number exactly once")
        return Verdict(value == target, form, f"it makes {value}")


def node_of(numbers: Iterable[Fraction | int], target: Fraction | int) -> str:
    return " ".join(show(Fraction(x)) for x in sorted(numbers)) + f" > {show(Fraction(target))}"


@lru_cache(maxsize=200_000)
def read_node(node: str) -> tuple[Numbers, Fraction]:
    head, tail = node.split(" > ")
    return tuple(_number(word) for word in head.split()), _number(tail)


def show(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"({value})"


def apply(op: str, a: Fraction, b: Fraction) -> Fraction | None:
    """a op b, None for a division by zero."""
    if op == "/":
        return a / b if b else None
    return a + b if op == "+" else a - b if op == "-" else a * b


def forward_moves(node: str) -> Iterator[Move]:
    """Every sound move that combines two numbers of the node."""
    numbers, target = read_node(node)
    seen = set()
    for i, a in enumerate(numbers):
        for j, b in enumerate(numbers):
            if i == j:
                continue
            rest = [x for k, x in enumerate(numbers) if k not in (i, j)]
            for op in OPERATIONS:
                c = apply(op, a, b)
                if c is None or (op in "+*" and i > j):
                    continue
                move = Move(node, f"{show(a)}{op}{show(b)}={show(c)}", (node_of([*rest, c], target),))
                if move not in seen:
                    seen.add(move)
                    yield move


def backward_moves(node: str) -> Iterator[Move]:
    """Every sound move that takes one number out of the target: t = a op t' or t = t' op a."""
    numbers, target = read_node(node)
    for a in dict.fromkeys(numbers):
        rest = _without(numbers, (a,)) or []
        wanted = {
            f"{show(a)}+G": target - a,
            f"{show(a)}-G": a - target,
            f"G-{show(a)}": target + a,
            f"{show(a)}*G": target / a if a else None,
            f"{show(a)}/G": a / target if target and a else None,
            f"G/{show(a)}": target * a if a else None,
        }
        for form, goal in wanted.items():
            if goal is not None:
                group = f"[{' '.join(map(show, rest))}>{show(goal)}]"
                yield Move(node, form.replace("G", group), (node_of(rest, goal),))


def split_moves(node: str) -> Iterator[Move]:
    """Every sound move of four numbers in two pairs, each pair with a value it can make."""
    numbers, target = read_node(node)
    if len(numbers) != 4:
        return
    seen = set()
    for i, j in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        left = (numbers[i], numbers[j])
        right = tuple(x for k, x in enumerate(numbers) if k not in (i, j))
        for u in pair_values(left):
            for v in pair_values(right):
                for op in OPERATIONS:
                    if apply(op, u, v) != target or (op in "+*" and (left, u) > (right, v)):
                        continue
                    groups = [f"[{' '.join(map(show, side))}>{show(w)}]" for side, w in ((left, u), (right, v))]
                    move = Move(node, f"{groups[0]}{op}{groups[1]}", (node_of(left, u), node_of(right, v)))
                    if move not in seen:
                        seen.add(move)
                        yield move


def reach_moves(node: str) -> Iterator[Move]:
    """Every way to make the target from two numbers by one operation."""
    numbers, target = read_node(node)
    if len(numbers) != 2:
        return
    seen = set()
    for a, b in (numbers, numbers[::-1]):
        for op in OPERATIONS:
            label = f"{show(a)}{op}{show(b)}"
            if apply(op, a, b) == target and label not in seen and (op not in "+*" or a <= b):
                seen.add(label)
                yield Move(node, label)


def pair_values(pair: Numbers) -> list[Fraction]:
    a, b = pair
    values = {apply(op, x, y) for op in OPERATIONS for x, y in ((a, b), (b, a))}
    return sorted(value for value in values if value is not None)


@lru_cache(maxsize=500_000)
def reachable(numbers: Numbers, target: Fraction) -> bool:
    """Whether the numbers can make the target: exhaustive and exact."""
    if len(numbers) == 1:
        return numbers[0] == target
    return any(reachable(*read_node(move.premises[0])) for move in forward_moves(node_of(numbers, target)))


def canonical(tree: Tree) -> str:
    """One form for expressions that differ by order, parentheses or spelling alone: sums and products are flattened and
    sorted, differences and quotients become signs and inverses. (2*3)*4 = 4*3*2, but (1+1)*x stays apart from x+x."""
    if tree.op == "number":
        return str(tree.value)
    if tree.op in "+-" or tree.op == "neg":
        return "(" + " ".join(sorted(_terms(tree, "+-", "+"))) + ")"
    if tree.op in "*/":
        return "(" + " ".join(sorted(_terms(tree, "*/", "*"))) + ")"
    return f"({tree.op} {' '.join(map(canonical, tree.parts))})"


def _terms(tree: Tree, family: str, sign: str) -> list[str]:
    plus, minus = family[0], family[1]
    flipped = minus if sign == plus else plus
    if tree.op == "neg" and plus == "+":
        return _terms(tree.parts[0], family, flipped)
    if len(tree.op) == 1 and tree.op in family:
        left, right = tree.parts
        return _terms(left, family, sign) + _terms(right, family, flipped if tree.op == minus else sign)
    return [sign + canonical(tree)]


def _number(word: str) -> Fraction:
    word = word.strip().strip("()")
    if len(word) > 2 * MAX_DIGITS + 2 or not NUMERAL.fullmatch(word):
        raise ValueError("no numeral, or one of absurd length")
    return Fraction(word)


def _without(numbers: Iterable[Fraction], taken: Iterable[Fraction]) -> list[Fraction] | None:
    """The multiset difference in ascending order, None when something taken is not there."""
    left = Counter(numbers)
    for value in taken:
        if left[value] == 0:
            return None
        left[value] -= 1
    return sorted(left.elements())


def _read_line(node: str, line: str) -> Move | None:
    if len(line) > 400:
        return None
    line = _squeezed(line)
    _, target = read_node(node)
    try:
        if match := FORWARD_LINE.match(line):
            a, b, c = (_number(match[k]) for k in (1, 3, 4))
            rest = [_number(word) for word in match[5].split()]
            return Move(node, f"{show(a)}{match[2]}{show(b)}={show(c)}", (node_of(rest, target),))
        if match := REACH_LINE.match(line):
            a, b = _number(match[1]), _number(match[3])
            claimed = _number(match[4]) if match[4] else target
            return Move(node, f"{show(a)}{match[2]}{show(b)}") if claimed == target else None
        if match := BACKWARD_LINE.match(line):
            sides = _sides(match)
            groups = [(numbers, value) for numbers, value in (sides[0], sides[2]) if len(numbers) > 1]
            shown = [
                f"[{' '.join(map(show, sorted(numbers)))}>{show(value)}]" if len(numbers) > 1 else show(value)
                for numbers, value in (sides[0], sides[2])
            ]
            return Move(node, shown[0] + sides[1] + shown[1], tuple(node_of(*group) for group in groups))
    except (ValueError, ZeroDivisionError):
        return None
    return None


def _squeezed(line: str) -> str:
    """Without the blanks that mean nothing: they matter between the numbers of a list, after `left` and in brackets."""

    def group(match: re.Match[str]) -> str:
        return "[" + re.sub(r" *> *", ">", " ".join(match[1].split())) + "]"

    head, left, tail = line.partition("left")
    outside = re.split(r"(\[[^\]]*\])", head.rstrip(" (") if left else head)
    head = "".join(
        re.sub(r"\[([^\]]*)\]", group, part) if part[:1] == "[" else "".join(part.split()) for part in outside
    )
    return f"{head}left {' '.join(tail.lstrip(':').split())}" if left else head


def _sides(match: re.Match[str]) -> tuple[tuple[Numbers, Fraction], str, tuple[Numbers, Fraction]]:
    """(numbers, value) on the left, the operation, (numbers, value) on the right; a bare number is its own value."""

    def side(group: str | None, value: str | None, bare: str | None) -> tuple[Numbers, Fraction]:
        if bare is not None:
            return (_number(bare),), _number(bare)
        assert group is not None and value is not None
        return tuple(_number(word) for word in group.split()), _number(value)

    return side(match[1], match[2], match[3]), match[4], side(match[5], match[6], match[7])


def _tree(node: str, proof: Mapping[str, Move]) -> Tree:
    move = proof.get(node)
    if move is None:
        return Tree("number", value=read_node(node)[1])
    if match := re.fullmatch(rf"({NUMBER})([-+*/])({NUMBER})=({NUMBER})", move.label):
        a, b, c = (_number(match[k]) for k in (1, 3, 4))
        made = Tree(match[2], (Tree("number", value=a), Tree("number", value=b)))
        tree, _ = _replaced(_tree(move.premises[0], proof), c, made)
        return tree
    match = BACKWARD_LINE.match(move.label)
    assert match is not None, move.label
    (left, u), op, (right, v) = _sides(match)
    parts = [
        _tree(node_of(numbers, value), proof) if len(numbers) > 1 else Tree("number", value=value)
        for numbers, value in ((left, u), (right, v))
    ]
    return Tree(op, (parts[0], parts[1]))


def _replaced(tree: Tree, value: Fraction, by: Tree) -> tuple[Tree, bool]:
    """`tree` with its first numeral equal to `value` replaced."""
    if tree.op == "number":
        return (by, True) if tree.value == value else (tree, False)
    parts, done = [], False
    for part in tree.parts:
        if not done:
            part, done = _replaced(part, value, by)
        parts.append(part)
    return Tree(tree.op, tuple(parts)), done


def _written(tree: Tree) -> str:
    if tree.op == "number":
        return show(tree.value) if tree.value >= 0 else f"({tree.value})"
    left, right = (f"({_written(part)})" if part.op != "number" else _written(part) for part in tree.parts)
    return f"{left}{tree.op}{right}"
