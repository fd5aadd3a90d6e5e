"""A scripted model that knows the tasks, with errors at will: what stands in for a language model in these tests."""

from __future__ import annotations

from random import Random

from effml.models.llm import Ledger, Limits, Port, Scripted
from effml.models.thoughts import game24
from effml.models.thoughts.asking import Asker
from effml.models.thoughts.game24 import Game24
from effml.models.thoughts.prompts import ROLES, read_dialect

TASK = Game24()
DIALECT = read_dialect(
    {
        "name": "oracle",
        "opinions": {"sure": 20.0, "likely": 1.0, "impossible": 0.001},
        "defaults": {"max_tokens": 40, "temperature": 1.0},
        "game24": {role: {"user": f"{role}|{{node}}|" + ("{move}" if role == "check" else "")} for role in ROLES},
    },
    "game24",
)
MAKERS = {"forward": game24.forward_moves, "backward": game24.backward_moves, "reach": game24.reach_moves}


class Oracle:
    """Answers the questions of DIALECT about the game of 24.

    skill: how often a proposed move leads to a solution (where there is one). slips: how often a move is wrong.
    let_through, turned_away: error rates of the checker's answers. blind: how often an opinion is a coin toss.
    """

    def __init__(self, *, skill=1.0, slips=0.0, let_through=0.0, turned_away=0.0, blind=0.0):
        self.skill, self.slips, self.blind = skill, slips, blind
        self.let_through, self.turned_away = let_through, turned_away
        self.asked: list[str] = []

    def __call__(self, request, index):
        prompt = request.messages[-1]["content"]
        self.asked.append(prompt)
        rng = Random(f"{request.scope} {prompt} {index}")
        role, node, line = prompt.split("|")
        if role == "check":
            (move,), _ = TASK.moves(node, line)
            right = TASK.sound(move)
            wrong = rng.random() < (self.turned_away if right else self.let_through)
            return "yes" if right != wrong else "no"
        if role == "value":
            true = rng.random() < 0.5 if rng.random() < self.blind else TASK.true(node)
            return "sure" if true else "impossible"
        if role in ("answer", "trace"):
            return self.chain(node, rng)
        return self.step(role, node, rng)

    def step(self, role, node, rng):
        moves = list(MAKERS[role](node))
        if role == "backward":
            moves += list(game24.split_moves(node))
        winning = [move for move in moves if all(TASK.true(premise) for premise in move.premises)]
        if not moves:
            return "no"
        move = rng.choice(winning if winning and rng.random() < self.skill else moves)
        line = TASK.line(move)
        if rng.random() < self.slips:
            head, tail = line.rsplit(" ", 1) if " " in line else ("", line)
            line = f"{head} {rng.randint(1, 30)}" if head and tail.isdigit() else line
        return line

    def chain(self, node, rng):
        lines = []
        while not TASK.known(node):
            line = self.step("forward", node, rng)
            moves, _ = TASK.moves(node, line)
            if not moves:
                break
            lines.append(line)
            node = moves[0].premises[0]
        return ";".join(lines)


def asker(oracle, text="4 5 6 10", *, scope="test", concurrency=8, limits=None, port=None):
    port = port or Port(Scripted(oracle, max_n=1000), concurrency=concurrency)
    return Asker(port, DIALECT, TASK, TASK.problem("p", text), scope, Ledger(limits or Limits()))
