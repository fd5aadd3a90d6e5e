"""The three tasks' teachers: which problems are drawn, which step is right from where, and how a step goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations_with_replacement
from random import Random

from effml.models.thoughts import game24, polynomial, problems, recurrence, sequence
from effml.models.thoughts.game24 import Game24
from effml.models.thoughts.polynomial import Polynomials
from effml.models.thoughts.sequence import Sequences
from effml.models.thoughts.task import Move
from effml.models.thoughts.tiny.traces import Example, Teacher, pieces_of, slipped


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
        return name if _whole(name) and len(numbers) > 1 and not game24.reachable(numbers, target) else None

    def slip(self, move: Move, rng: Random) -> Move | None:
        pieces = pieces_of(self.task.line(move))
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
        return slipped(self.task, move, rng)


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
        kind, values = recurrence.read_node(node)
        if kind != "sec":
            return sequence.shift_move(node)
        roots = recurrence.characteristic_roots(values[2], values[3])
        if roots is None:
            return None
        return sequence.ratio_move(node, roots[0]) if roots[0] == roots[1] else sequence.split_move(node, *roots)

    def false(self, rng: Random) -> str | None:
        """Second order without rational characteristic roots: the steps known here do not lead on."""
        node = problems.draw("sequence", rng)
        return None if self.task.true(node) or node in self.excluded else node

    def slip(self, move: Move, rng: Random) -> Move | None:
        return slipped(self.task, move, rng)


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
