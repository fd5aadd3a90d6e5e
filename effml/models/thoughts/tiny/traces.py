"""What the tiny model is trained on: right answers to every question of every task, made by exact programs.

An example is (role, words, completion): the words fill the dialect's template, the completion is what a perfect model
might reply. Wrong moves for the checker's question come from right ones by small slips; the reply to it is the move as
it should be. One lesson more belongs to no question of a method: the sums that all their steps are made of. Knows no
model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations_with_replacement
from random import Random

from effml.models.thoughts import game24, polynomial, problems, sequence
from effml.models.thoughts.game24 import Game24
from effml.models.thoughts.polynomial import Polynomials
from effml.models.thoughts.sequence import Sequences
from effml.models.thoughts.task import Move, Task

LESSONS = ("answer", "trace", "forward", "backward", "reach", "value", "check", "sum")


@dataclass(frozen=True)
class Example:
    role: str
    words: Mapping[str, str]
    completion: str


class Teacher(ABC):
    """Draws examples of one task. `excluded`: problems (nodes) that must never be shown, whatever is asked of them."""

    task: Task

    def __init__(self, excluded: Sequence[str] = ()) -> None:
        self.excluded = frozenset(excluded)
        self._recent: list[str] = []

    def example(self, role: str, rng: Random) -> Example:
        """One example of a role. Problems are drawn until a question of this role can be put and answered."""
        while True:
            made = getattr(self, role)(rng)
            if made is not None:
                return made

    # -- what differs by task -----------------------------------------------------------------------------------------

    @abstractmethod
    def drawn(self, rng: Random) -> str:
        """A fresh problem, which may be an excluded one."""

    def root(self, rng: Random) -> str:
        """A problem that is not excluded: one in eight times a fresh one, else one of the last few hundred, whose
        solutions are at hand."""
        if len(self._recent) < 300 or rng.random() < 0.125:
            while (node := self.drawn(rng)) in self.excluded:
                pass
            self._recent = [*self._recent[-299:], node]
        return rng.choice(self._recent)

    @abstractmethod
    def step(self, node: str, direction: str, rng: Random) -> Move | None:
        """A move that leads to a solution, for forward, backward and, where one step should do, reach."""

    def inner(self, rng: Random, direction: str) -> str | None:
        """A node as a search in this direction meets it."""
        proof = self.proof(self.root(rng), direction, rng)
        return rng.choice(list(proof)) if proof else None

    @abstractmethod
    def false(self, rng: Random) -> str | None:
        """A node that does not hold, and is not kept out."""

    @abstractmethod
    def slip(self, move: Move, rng: Random) -> Move | None:
        """The move with a mistake in it, as far as one can be made."""

    # -- the roles ----------------------------------------------------------------------------------------------------

    def proof(self, node: str, direction: str, rng: Random) -> dict[str, Move] | None:
        """A whole solution, drawn step by step, in the order in which a trace writes it down; None when there is none, or
        when it passes through a problem that is kept out, such as the quotient of a larger polynomial."""
        proof: dict[str, Move] = {}
        unclosed = [node]
        while unclosed:
            name = unclosed.pop(0)
            if name in proof or self.task.known(name):
                continue
            move = None if name in self.excluded else self.step(name, self.task.role(name, direction), rng)
            if move is None:
                return None
            proof[name] = move
            unclosed = [*move.premises, *unclosed]
        return proof

    def answer(self, rng: Random) -> Example | None:
        node = self.root(rng)
        proof = self.proof(node, "forward", rng)
        return Example("answer", self.task.words(node), self.task.assemble(node, proof)) if proof else None

    def trace(self, rng: Random) -> Example | None:
        node = self.root(rng)
        proof = self.proof(node, "forward", rng)
        if not proof:
            return None
        return Example("trace", self.task.words(node), ";".join(map(self.task.line, proof.values())))

    def forward(self, rng: Random) -> Example | None:
        return self._one_step("forward", rng)

    def backward(self, rng: Random) -> Example | None:
        return self._one_step("backward", rng)

    def reach(self, rng: Random) -> Example | None:
        return self._one_step("reach", rng)

    def _one_step(self, role: str, rng: Random) -> Example | None:
        direction = role if role != "reach" else rng.choice(("forward", "backward"))
        node = self.inner(rng, direction)
        if node is None or self.task.role(node, direction) != role:
            return None
        move = self.step(node, role, rng)
        return Example(role, self.task.words(node), self.task.line(move)) if move else None

    def value(self, rng: Random) -> Example | None:
        if rng.random() < 0.5:
            node = self.false(rng)
            return Example("value", self.task.words(node), "n") if node else None
        node = self.inner(rng, rng.choice(("forward", "backward")))
        return Example("value", self.task.words(node), "y") if node else None

    def check(self, rng: Random) -> Example | None:
        direction = rng.choice(("forward", "backward"))
        node = self.inner(rng, direction)
        right = self.step(node, self.task.role(node, direction), rng) if node else None
        if right is None:
            return None
        shown = right
        if rng.random() < 0.5:
            slipped = self.slip(right, rng)
            if slipped is None or self.task.sound(slipped):
                return None
            shown = slipped
        words = {**self.task.words(right.node), "move": self.task.line(shown)}
        return Example("check", words, self.task.line(right))

    def sum(self, rng: Random) -> Example:
        """A step of a synthetic division or of a recurrence: a*b+c."""
        large = rng.choice((12, 60, 300))
        a, b, c = rng.randint(-large, large), rng.choice([x for x in range(-6, 7) if x]), rng.randint(-large, large)
        return Example("sum", {"sum": f"{a}*{b}{c:+d}"}, str(a * b + c))


class Teacher24(Teacher):
    """Solutions by whole, non-negative numbers, of all fours of numbers from 1 to 13 that have one. The numbers of an
    excluded puzzle are never shown together, whatever the target."""

    def __init__(self, excluded: Sequence[str] = ()) -> None:
        super().__init__([node.split(" > ")[0] for node in excluded])
        self.task = Game24()
        nodes = (game24.node_of(fours, 24) for fours in combinations_with_replacement(range(1, 14), 4))
        self.puzzles = [node for node in nodes if node.split(" > ")[0] not in self.excluded]

    def drawn(self, rng: Random) -> str:
        while not _winning(node := rng.choice(self.puzzles), "forward"):
            pass
        return node

    def root(self, rng: Random) -> str:
        return self.drawn(rng)  # the solutions of all of them are kept

    def step(self, node: str, direction: str, rng: Random) -> Move | None:
        moves = _winning(node, direction)
        return rng.choice(moves) if moves else None

    def sum(self, rng: Random) -> Example:
        a, b = rng.randint(1, 13), rng.randint(1, rng.choice((13, 13, 40)))
        op = rng.choice("+-*/")
        if op == "-":
            a, b = max(a, b), min(a, b)
        elif op == "/":
            a, b = a * b, rng.choice((a, b))
        value = game24.apply(op, Fraction(a), Fraction(b))
        return Example("sum", {"sum": f"{a}{op}{b}"}, str(value))

    def reach(self, rng: Random) -> Example | None:
        if rng.random() < 0.7:
            return super().reach(rng)
        node = self.false(rng)
        return Example("reach", self.task.words(node), "no") if node and len(game24.read_node(node)[0]) == 2 else None

    def false(self, rng: Random) -> str | None:
        """A state one wrong step away from a solution, forward or backward."""
        node = self.inner(rng, "forward")
        if node is None or rng.random() < 0.5:
            node = self.inner(rng, "backward")
        if node is None or len(game24.read_node(node)[0]) < 3:
            return None
        moves = _moves(node, rng.choice(("forward", "backward")))
        name = rng.choice(rng.choice(moves).premises) if moves else node
        numbers, target = game24.read_node(name)
        whole = all(x.denominator == 1 and x >= 0 for x in (*numbers, target))
        return name if whole and len(numbers) > 1 and not game24.reachable(numbers, target) else None

    def slip(self, move: Move, rng: Random) -> Move | None:
        pieces = _pieces(self.task.line(move))
        places = [i for i, piece in enumerate(pieces) if piece.isdigit()]
        place = rng.choice(places)
        if rng.random() < 0.3 and len(places) > 1:
            other = rng.choice(places)
            pieces[place], pieces[other] = pieces[other], pieces[place]
        else:
            pieces[place] = str(abs(int(pieces[place]) + rng.choice((-10, -4, -3, -2, -1, 1, 2, 3, 4, 10))))
        moves, _ = self.task.moves(move.node, "".join(pieces))
        return moves[0] if moves else None


class PolynomialTeacher(Teacher):
    def __init__(self, excluded: Sequence[str] = ()) -> None:
        super().__init__(excluded)
        self.task = Polynomials()

    def drawn(self, rng: Random) -> str:
        return problems.draw("polynomial", rng, rng.choice(("easy", "full")))

    def step(self, node: str, direction: str, rng: Random) -> Move | None:
        coefficients = polynomial.read_node(node)
        if len(coefficients) <= 3:
            return next(polynomial.reach_moves(node))
        roots = polynomial.rational_roots(coefficients)
        if not roots:
            return None
        if direction == "forward":
            root = rng.choice(roots)
            return Move(node, f"root {root}", (polynomial.node_of(polynomial.deflate(coefficients, root)[0]),))
        chosen = rng.sample(roots, min(len(roots), rng.randint(1, max(1, (len(coefficients) - 1) // 2))))
        rest = coefficients
        for root in chosen:
            rest = polynomial.deflate(rest, root)[0]
        return polynomial.backward_move(node, rest, polynomial.product(chosen)) if len(rest) > 1 else None

    def false(self, rng: Random) -> str | None:
        node = self.inner(rng, rng.choice(("forward", "backward")))
        coefficients = list(polynomial.read_node(node)) if node else []
        if len(coefficients) < 3:
            return None
        place = rng.randrange(1, len(coefficients))
        coefficients[place] += rng.choice((-6, -3, -2, -1, 1, 2, 3, 6))
        return None if polynomial.exact_roots(tuple(coefficients)) else polynomial.node_of(coefficients)

    def slip(self, move: Move, rng: Random) -> Move | None:
        return _slipped(self.task, move, rng)


class SequenceTeacher(Teacher):
    def __init__(self, excluded: Sequence[str] = ()) -> None:
        super().__init__(excluded)
        self.task = Sequences()

    def drawn(self, rng: Random) -> str:
        while not self.task.true(node := problems.draw("sequence", rng, rng.choice(("easy", "full")))):
            pass
        return node

    def step(self, node: str, direction: str, rng: Random) -> Move | None:
        if direction == "reach":
            return sequence.leaf_move(node)
        if direction == "backward":
            basis = sequence.basis_of(node)
            return sequence.form_move(node, basis) if basis else None
        kind, values = sequence.read_node(node)
        if kind != "sec":
            return sequence.shift_move(node)
        roots = sequence.characteristic_roots(values[2], values[3])
        if roots is None:
            return None
        return sequence.ratio_move(node, roots[0]) if roots[0] == roots[1] else sequence.split_move(node, *roots)

    def false(self, rng: Random) -> str | None:
        """Second order without rational characteristic roots: the steps known here do not lead on."""
        node = problems.draw("sequence", rng)
        return None if self.task.true(node) or node in self.excluded else node

    def slip(self, move: Move, rng: Random) -> Move | None:
        return _slipped(self.task, move, rng)


def examples(teacher: Teacher, role: str, rng: Random) -> Iterator[Example]:
    while True:
        yield teacher.example(role, rng)


def _slipped(task: Task, move: Move, rng: Random) -> Move | None:
    """One number of the line changed a little, or its sign."""
    pieces = _pieces(task.line(move))
    places = [i for i, piece in enumerate(pieces) if piece.isdigit()]
    if not places:
        return None
    place = rng.choice(places)
    if rng.random() < 0.25 and place > 0:
        if pieces[place - 1] == "-":
            pieces[place - 1] = ""
        else:
            pieces[place] = f"-{pieces[place]}"
    else:
        pieces[place] = str(max(0, int(pieces[place]) + rng.choice((-6, -2, -1, 1, 2, 6))))
    moves, _ = task.moves(move.node, "".join(pieces))
    return moves[0] if moves else None


def _pieces(text: str) -> list[str]:
    """Runs of digits and single other characters."""
    pieces: list[str] = []
    for letter in text:
        if pieces and letter.isdigit() and pieces[-1].isdigit():
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


@lru_cache(maxsize=300_000)
def _moves(node: str, direction: str) -> tuple[Move, ...]:
    """Moves whose numbers stay whole and not negative."""
    makers: dict[str, tuple[Callable[[str], Iterator[Move]], ...]] = {
        "forward": (game24.forward_moves,),
        "backward": (game24.backward_moves, game24.split_moves),
        "reach": (game24.reach_moves,),
    }
    found = (move for maker in makers[direction] for move in maker(node))
    return tuple(move for move in found if all(_whole(premise) for premise in move.premises))


def _whole(node: str) -> bool:
    numbers, target = game24.read_node(node)
    return all(x.denominator == 1 and x >= 0 for x in (*numbers, target))


@lru_cache(maxsize=300_000)
def _winning(node: str, direction: str) -> tuple[Move, ...]:
    """Moves all of whose premises can be shown by whole numbers; backward ones by moves backward."""
    return tuple(m for m in _moves(node, direction) if all(_wins(premise, direction) for premise in m.premises))


@lru_cache(maxsize=300_000)
def _wins(node: str, direction: str) -> bool:
    numbers, target = game24.read_node(node)
    if len(numbers) == 1:
        return numbers[0] == target
    if direction == "backward" and len(numbers) == 2:
        return bool(_moves(node, "reach"))
    return any(all(_wins(p, direction) for p in move.premises) for move in _moves(node, direction))
