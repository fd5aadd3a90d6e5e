"""What a task tells the search: propositions, the moves between them, and exact judges. It knows no model and no prompt.

A node is a proposition, named by its canonical text: "from 4 5 6 10 one can make 24" is `4 5 6 10 > 24`. A move says
that a node follows from other nodes (its premises) by one operation; all premises of a move are needed (AND), and
several moves into one node are alternatives (OR). A move is what a model wrote, claims included: whether it is right
is a question of its own (`sound`), which a checker asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

FORWARD, BACKWARD = "forward", "backward"


@dataclass(frozen=True)
class Problem:
    """`node` is the proposition to be shown, and the problem's canonical text; `facts` are what else a judge needs."""

    id: str
    node: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Move:
    """`node` follows from `premises` by the operation `label`; without premises it follows from what is given."""

    node: str
    label: str
    premises: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and the one form of what it says: equal answers have equal forms, "" is no answer."""

    right: bool
    form: str
    why: str = ""


class Task(Protocol):
    """One kind of problem. None of these functions evaluates a model's text, and each takes well below a second."""

    name: str

    def problem(self, id: str, text: str) -> Problem:
        """The problem that a user or a data set wrote down; UserError says what is wrong with it."""
        ...

    def known(self, node: str) -> bool:
        """Whether the proposition is plainly true, so that nothing is left to be shown."""
        ...

    def role(self, node: str, direction: str) -> str:
        """The question that takes `node` apart: "forward", "backward", or "reach" where one step should do."""
        ...

    def words(self, node: str) -> dict[str, str]:
        """What a prompt may say about a node, by the names that its template uses."""
        ...

    def moves(self, node: str, text: str) -> tuple[list[Move], int]:
        """The moves into `node` that `text` proposes, one a line, and the number of lines that are none."""
        ...

    def line(self, move: Move) -> str:
        """The move as a line of text, which `moves` reads back."""
        ...

    def sound(self, move: Move) -> bool:
        """Whether the node really follows from the premises: exact."""
        ...

    def true(self, node: str) -> bool:
        """Whether the proposition holds: exact, for judging evaluators, never for searching."""
        ...

    def assemble(self, node: str, proof: Mapping[str, Move]) -> str:
        """The answer that a proof of `node` (a move for each node in it) amounts to."""
        ...

    def judge(self, problem: Problem, answer: str) -> Verdict:
        """Whether the answer's last line solves the problem: exact."""
        ...


def follow(task: Task, node: str, text: str) -> dict[str, Move] | None:
    """The proof that a trace writes down: its lines, in order, each take apart the first node that is still open.

    None when a line is no move of that node or nodes are left open at the end. Claims are taken as they stand.
    """
    proof: dict[str, Move] = {}
    unclosed = [node]
    for line in lines(text):
        while unclosed and (task.known(unclosed[0]) or unclosed[0] in proof):
            unclosed.pop(0)
        if not unclosed:
            break
        moves, _ = task.moves(unclosed[0], line)
        if not moves:
            continue  # a word between the steps
        move = moves[0]
        proof[unclosed.pop(0)] = move
        unclosed = [*move.premises, *unclosed]
    left = [each for each in unclosed if not task.known(each) and each not in proof]
    return None if left or not _founded(task, node, proof) else proof


def _founded(task: Task, node: str, proof: Mapping[str, Move]) -> bool:
    """Whether the proof ends: claims of a model may lean on each other in a circle."""
    state: dict[str, bool] = {}

    def visit(name: str) -> bool:
        if name not in state:
            state[name] = False  # under way: meeting it again is a circle
            state[name] = task.known(name) or (name in proof and all(visit(each) for each in proof[name].premises))
        return state[name]

    return visit(node)


def lines(text: str) -> list[str]:
    """The steps of a trace: separated by line breaks or semicolons."""
    return [line.strip() for line in text.replace(";", "\n").splitlines() if line.strip()]


def read_moves(text: str, read: Callable[[str], Move | None]) -> tuple[list[Move], int]:
    """The different moves of a trace in its order, each line by `read`, and how many lines it could make nothing of."""
    found: list[Move] = []
    malformed = 0
    for line in lines(text):
        move = read(line)
        if move is None:
            malformed += 1
        elif move not in found:
            found.append(move)
    return found, malformed


def last_line(text: str) -> str:
    """The answer's text: the last line that says anything, without `Answer:` before it."""
    found = [line.strip() for line in text[-4000:].splitlines() if line.strip()]
    if not found:
        return ""
    head, colon, tail = found[-1].partition(":")
    return tail.strip() if colon and "answer" in head.lower() else found[-1]
