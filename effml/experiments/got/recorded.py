"""What GPT-4 answered in 2023, judged again: the published IO, CoT and ToT columns, and how good its own opinions were.

The recorded Tree of Thoughts is run again, too: this product's ToT asks, the recording answers, and every selection
must come out as recorded.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from effml.experiments.data.puzzles.game24 import Recording as Log
from effml.experiments.data.puzzles.reasoning import hard_puzzles
from effml.experiments.got.curves import wilson
from effml.models.llm import Port, Recording
from effml.models.thoughts.asking import Asker
from effml.models.thoughts.game24 import Game24, read_node
from effml.models.thoughts.prompts import Dialect, Template
from effml.models.thoughts.task import Move, Problem, last_line, lines
from effml.models.thoughts.tot import Layer, TreeOfThoughts

if TYPE_CHECKING:
    from effml.experiments.core.run import Run

RECORDED = "recorded"
# Summed value of three opinions (sure 20, likely 1, impossible 0.001) from which a state counts as accepted.
ACCEPTED = {"one says likely": 1.0, "one says sure": 20.0}


def replay(run: Run) -> None:
    """Judge every recorded answer, and record the table."""
    logs: Mapping[str, Log] = run.load("game24-gpt4")
    io, cot, tot = (logs[name].puzzles for name in ("io", "cot", "tot"))
    disagreements = 0
    for method, log, verdicts in (
        ("IO", io, [[bool(r) for r in entry["accs"]] for entry in io]),
        ("CoT", cot, [[bool(info["r"]) for info in entry["infos"]] for entry in cot]),
        ("ToT", tot, [[bool(info["r"]) for info in entry["infos"]] for entry in tot]),
    ):
        judged = judge_log(run, method, log)
        differing = sum(
            mine.right != theirs
            for row, recorded in zip(judged, verdicts, strict=True)
            for mine, theirs in zip(row, recorded, strict=True)
        )
        disagreements += differing
        for rule, shares in _rules(method, log, judged).items():
            _record(run, method, rule, shares)
        answers = sum(map(len, judged))
        mean = "mean of 5" if method == "ToT" else "mean of 100"
        run.record("recorded", {"method": method, "rule": mean}, "answers", answers, evidence=RECORDED)
        run.record("recorded", {"method": method, "rule": mean}, "disagreements", differing, evidence=RECORDED)
    run.log(f"judge and record differ on {disagreements} of 20,500 answers")
    steps = proposed_steps(tot)
    _steps(run, steps)
    _opinions(run, steps)
    different, texts = asyncio.run(replay_tot(tot))
    run.log(f"Tree of Thoughts run again on its recording: {different} of {texts} kept texts differ")
    labels = {"what": "ToT selections", "states": "all layers"}
    run.record(
        "evaluator", labels, "share", different / texts, evidence=RECORDED, note="share of kept texts that differ"
    )
    run.record("evaluator", labels, "cases", texts, evidence=RECORDED)


def judge_log(run: Run, method: str, log: list[dict[str, Any]]) -> list[list[Any]]:
    """The verdict on every answer of every puzzle."""
    task, puzzles = Game24(), hard_puzzles()
    judged = []
    for entry in run.progress(log, f"judging {method}"):
        problem = task.problem(str(entry["idx"] + 1), puzzles[entry["idx"] + 1])
        judged.append([task.judge(problem, text) for text in entry["ys"]])
    return judged


def _rules(method: str, log: list[dict[str, Any]], judged: list[list[Any]]) -> dict[str, list[float]]:
    """Share solved of each puzzle, by each way of counting."""
    mean = [sum(verdict.right for verdict in row) / len(row) for row in judged]
    any_of = [float(any(verdict.right for verdict in row)) for row in judged]
    if method == "ToT":
        return {"first of 5": [float(row[0].right) for row in judged], "mean of 5": mean, "any of 5": any_of}
    by_text = [
        float(majority([last_line(text).split("=")[0].strip() for text in entry["ys"]], row))
        for entry, row in zip(log, judged, strict=True)
    ]
    by_form = [float(majority([verdict.form for verdict in row], row)) for row in judged]
    return {"mean of 100": mean, "best of 100": any_of, "majority by text": by_text, "majority by form": by_form}


def majority(said: list[str], verdicts: list[Any]) -> bool:
    """Whether what is said most often is right, the earlier of equals; what says nothing abstains."""
    votes = Counter(word for word in said if word)
    if not votes:
        return False
    return bool(verdicts[said.index(votes.most_common(1)[0][0])].right)


def _record(run: Run, method: str, rule: str, shares: list[float]) -> None:
    labels = {"method": method, "rule": rule}
    accuracy = sum(shares) / len(shares)
    run.record("recorded", labels, "accuracy", accuracy, samples=shares, evidence=RECORDED)
    if not rule.startswith("mean"):  # an interval over puzzles wants a verdict per puzzle
        low, high = wilson(int(sum(shares)), len(shares))
        run.record("recorded", labels, "low", low, evidence=RECORDED)
        run.record("recorded", labels, "high", high, evidence=RECORDED)


Step = tuple[int, str, list[Move], float]


def proposed_steps(log: list[dict[str, Any]]) -> list[Step]:
    """(numbers left before it, the line, what it says as a move, its value) of every step that GPT-4 proposed.

    A line is read from the state that the line before it claims; one that follows an unreadable line is left out.
    """
    task, found = Game24(), []
    for entry in log:
        for step in entry["steps"][:3]:
            for text, value in zip(step["new_ys"], step["values"], strict=True):
                *before, line = lines(text)
                node: str | None = task.problem("", step["x"]).node
                for earlier in before:
                    moves = task.moves(node, earlier)[0] if node else []
                    node = moves[0].premises[0] if moves else None
                if node is not None:
                    found.append((len(read_node(node)[0]), line, task.moves(node, line)[0], value))
    return found


def _steps(run: Run, steps: list[Step]) -> None:
    """How many of GPT-4's own steps a strict program would have turned away."""
    task = Game24()
    malformed = sum(not moves for _, _, moves, _ in steps)
    wrong = sum(bool(moves) and not task.sound(moves[0]) for _, _, moves, _ in steps)
    for what, count in (("steps malformed", malformed), ("steps wrong", wrong)):
        labels = {"what": what, "states": "all"}
        note = "rounded results and leftovers that do not follow count as wrong"
        run.record("evaluator", labels, "share", count / len(steps), evidence=RECORDED, note=note)
        run.record("evaluator", labels, "cases", len(steps), evidence=RECORDED)


def _opinions(run: Run, steps: list[Step]) -> None:
    """GPT-4's opinions on the states that its steps claim, against exact reachability."""
    task = Game24()
    for left in (3, 2):
        judged = [
            (value, task.true(moves[0].premises[0]))
            for before, _, moves, value in steps
            if before == left + 1 and moves and len(read_node(moves[0].premises[0])[0]) == left
        ]
        true_values = [value for value, true in judged if true]
        false_values = [value for value, true in judged if not true]
        for rule, least in ACCEPTED.items():
            accepted = [true for value, true in judged if value >= least]
            figures: Mapping[str, float] = {
                "precision": sum(accepted) / len(accepted),
                "recall": sum(accepted) / len(true_values),
                "value_true": sum(true_values) / len(true_values),
                "value_false": sum(false_values) / len(false_values),
                "share": len(true_values) / len(judged),
                "cases": len(judged),
            }
            labels = {"what": f"opinions: {rule}", "states": f"{left} numbers"}
            for metric, value in figures.items():
                run.record("evaluator", labels, metric, value, evidence=RECORDED)


# -- Tree of Thoughts on its own recording ---------------------------------------------------------------------------


@dataclass(frozen=True)
class AsWritten:
    """The game of 24 as the recording has it: a state is the text so far, and nothing in it is questioned."""

    name: str = "as-written"

    def known(self, node: str) -> bool:
        return node.rstrip().endswith("(left: 24)")

    def role(self, node: str, direction: str) -> str:
        return "forward"

    def words(self, node: str) -> dict[str, str]:
        return {"node": node}

    def moves(self, node: str, text: str) -> tuple[list[Move], int]:
        return [Move(node, text, (f"{node}{text}\n",))], 0

    def assemble(self, node: str, proof: Mapping[str, Move]) -> str:
        return ""


OPINIONS = {"sure": 20.0, "likely": 1.0, "impossible": 0.001}
DIALECT = Dialect(
    "recorded",
    {
        "forward": Template("propose|{node}", 1),
        "value": Template("value|{node}", 1),
        "finish": Template("propose|{node}{steps}", 1),
        "value-answer": Template("value|{node}|{answer}", 1),
    },
    OPINIONS,
    "",
)


async def replay_tot(log: list[dict[str, Any]]) -> tuple[int, int]:
    """(kept texts that differ from the recorded ones, kept texts) over all layers of all puzzles."""
    different = total = 0
    for entry in log:
        port = Port(Recording("recorded ToT", _texts(entry)))
        problem = Problem(str(entry["idx"] + 1), _start(entry))
        layers: list[Layer] = []
        asking = Asker(port, DIALECT, AsWritten(), problem, "tot")  # type: ignore[arg-type]
        await TreeOfThoughts(depth=3).solve(asking, layers, _last_values(entry))
        for step, layer in zip(entry["steps"], layers, strict=True):
            recorded = ["".join(f"{line}\n" for line in text.strip().split("\n")) for text in step["select_new_ys"]]
            total += len(recorded)
            different += sum(mine != theirs for mine, theirs in zip(layer.kept, recorded, strict=False))
            different += abs(len(layer.kept) - len(recorded))
    return different, total


def _start(entry: dict[str, Any]) -> str:
    return f"{entry['steps'][0]['x']}\n"


def _texts(entry: dict[str, Any]) -> dict[str, list[str]]:
    """What the recording answers to each question, from the new texts and values of its layers."""
    start = _start(entry)
    said: dict[str, list[str]] = {}
    for step in entry["steps"]:
        children = list(step["new_ys"])
        for kept in step["ys"]:  # each kept text was asked for itself, even when it was kept twice
            mine = list(takewhile(methodcaller("startswith", kept), children))
            del children[: len(mine)]
            lines_said = [child.removeprefix(kept).strip("\n") for child in mine]
            said.setdefault(f"propose|{start}{kept}", []).append("\n".join(lines_said))
        first: set[str] = set()
        for text, value in zip(step["new_ys"], step["values"], strict=True):
            if text not in first:  # a text met again in a layer has value 0 without being asked about
                first.add(text)
                parent, line = _parted(text)
                answer = "answer" in text.lower()
                said[f"value|{start}|{line}" if answer else f"value|{start}{parent}{line}\n"] = _spoken(value)
    return said


def _last_values(entry: dict[str, Any]) -> dict[str, float]:
    """The values that the last layer's states had from elsewhere (the original keeps them across puzzles)."""
    step, start = entry["steps"][-1], _start(entry)
    found: dict[str, float] = {}
    for text, value in zip(step["new_ys"], step["values"], strict=True):
        parent, line = _parted(text)
        found.setdefault(f"{start}{parent}{line}\n", value)
    return found


def _parted(text: str) -> tuple[str, str]:
    """The text before the last line, and that line."""
    head, _, line = text.rstrip("\n").rpartition("\n")
    return (f"{head}\n" if head else ""), line


def _spoken(value: float) -> list[str]:
    """Three opinions that sum to `value`; unreadable ones count 0."""
    rest = Fraction(str(value))
    said = []
    for word in ("sure", "likely", "impossible"):
        weight = Fraction(str(OPINIONS[word]))
        said += [word] * int(rest // weight)
        rest -= (rest // weight) * weight
    return [*said, *["no word"] * (3 - len(said))]
