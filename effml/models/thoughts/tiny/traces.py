"""What the tiny model is trained on: right answers to every question of every task, made by exact programs.

An example is (role, words, completion): the words fill the dialect's template, the completion is what a perfect model
might reply. Wrong moves for the checker's question come from right ones by small slips; the reply to it is the move as
it should be. One lesson more belongs to no question of a method: the sums that all their steps are made of. Knows no
model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

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


def examples(teacher: Teacher, role: str, rng: Random) -> Iterator[Example]:
    while True:
        yield teacher.example(role, rng)


def slipped(task: Task, move: Move, rng: Random) -> Move | None:
    """One number of the line changed a little, or its sign."""
    pieces = pieces_of(task.line(move))
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


def pieces_of(text: str) -> list[str]:
    """Runs of digits and single other characters."""
    pieces: list[str] = []
    for letter in text:
        if pieces and letter.isdigit() and pieces[-1].isdigit():
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces
