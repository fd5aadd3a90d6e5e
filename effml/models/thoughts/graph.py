"""The graph of thoughts: propositions, the moves between them, and what is known (Lei et al., arXiv 2308.08614).

An AND/OR hypergraph with shared nodes, not a tree: a proposition reached on several paths is one node, whose name is
its canonical text. It knows no task and no model: moves come in accepted, and `known` spreads from premises to
conclusions (aggregation) until the target is known.

Kinds of node: condition (plainly true, or given), target, intermediate. Status: open, known, exhausted (expanded as
often as allowed), refuted (an evaluator said it cannot be; kept, so that nobody asks again).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from effml.models.thoughts.task import Move

OPEN, KNOWN, EXHAUSTED, REFUTED = "open", "known", "exhausted", "refuted"
CONDITION, TARGET, INTERMEDIATE = "condition", "target", "intermediate"


@dataclass
class Node:
    """A proposition. `depth`: moves from the target when it was first met. `value`: the evaluator's opinion in 0..1, None
    before it was asked. `rounds`: how often it was expanded. `order`: when it joined, the tie-breaker of the search."""

    name: str
    kind: str
    depth: int
    order: int
    status: str = OPEN
    value: float | None = None
    rounds: int = 0
    proof: int | None = None  # index of the move by which it became known; None for a condition


@dataclass
class Graph:
    """Nodes by name, accepted moves in the order of their coming, and counts of what was turned away."""

    target: str
    nodes: dict[str, Node] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    _into: dict[str, list[int]] = field(default_factory=dict)
    _out_of: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.target not in self.nodes:
            self.nodes[self.target] = Node(self.target, TARGET, 0, 0)

    @property
    def solved(self) -> bool:
        return self.nodes[self.target].status == KNOWN

    def count(self, what: str, by: int = 1) -> None:
        """Add to a count of events, such as `malformed` or `merged`."""
        if by:
            self.counts[what] = self.counts.get(what, 0) + by

    def has(self, move: Move) -> bool:
        return any(self.moves[index] == move for index in self._into.get(move.node, ()))

    def add(self, move: Move, conditions: Iterable[str] = ()) -> list[Node]:
        """Take in an accepted move into an existing node; the premises met for the first time are returned.

        conditions: the premises that are plainly true. A premise that exists already is shared, and counted as merged.
        """
        if self.has(move):
            return []
        index = len(self.moves)
        self.moves.append(move)
        self._into.setdefault(move.node, []).append(index)
        plain = set(conditions)
        new = []
        for name in dict.fromkeys(move.premises):
            self._out_of.setdefault(name, []).append(index)
            if name in self.nodes:
                self.count("merged")
                continue
            kind = CONDITION if name in plain else INTERMEDIATE
            node = Node(name, kind, self.nodes[move.node].depth + 1, len(self.nodes))
            node.status = KNOWN if kind == CONDITION else OPEN
            self.nodes[name] = node
            new.append(node)
        self._aggregate(index)
        return new

    def _aggregate(self, index: int) -> None:
        """Promote conclusions whose premises are all known, and pass the news on."""
        waiting = [index]
        while waiting:
            index = waiting.pop()
            move = self.moves[index]
            conclusion = self.nodes[move.node]
            if conclusion.status == KNOWN or any(self.nodes[name].status != KNOWN for name in move.premises):
                continue
            conclusion.status, conclusion.proof = KNOWN, index
            waiting.extend(self._out_of.get(move.node, ()))

    def proof(self) -> dict[str, Move]:
        """The proof of the target: for each node needed, the move by which it became known. Empty while unsolved."""
        found: dict[str, Move] = {}
        waiting = [self.target] if self.solved else []
        while waiting:
            node = self.nodes[waiting.pop()]
            if node.name not in found and node.proof is not None:
                found[node.name] = self.moves[node.proof]
                waiting.extend(self.moves[node.proof].premises)
        return found

    def retract(self, move: Move) -> None:
        """Take a move out again (a later check refused it): what was known by it alone is open once more."""
        kept = [each for each in self.moves if each != move]
        nodes = self.nodes
        self.moves, self._into, self._out_of = [], {}, {}
        for node in nodes.values():
            if node.status == KNOWN and node.kind != CONDITION:
                node.status, node.proof = EXHAUSTED if node.rounds else OPEN, None
        counts = dict(self.counts)
        for each in kept:
            self.add(each)
        self.counts = counts
        self.count("retracted")

    def open_nodes(self) -> Iterator[Node]:
        return (node for node in self.nodes.values() if node.status == OPEN)

    def faults(self) -> list[str]:
        """Sentences on whatever breaks the graph's invariants; none in a sound graph."""
        found = []
        for name, node in self.nodes.items():
            if name != node.name:
                found.append(f"node {node.name} is kept under {name}")
            if node.status == KNOWN and node.kind != CONDITION:
                if node.proof is None or self.moves[node.proof].node != name:
                    found.append(f"{name} is known without a move into it")
                elif any(self.nodes[each].status != KNOWN for each in self.moves[node.proof].premises):
                    found.append(f"{name} is known from premises that are not")
        for move in self.moves:
            if any(name not in self.nodes for name in (move.node, *move.premises)):
                found.append(f"move {move.label} leads from or to nowhere")
        if len(set(self.moves)) != len(self.moves):
            found.append("a move is held twice")
        if self._circular():
            found.append("the proofs lean on each other in a circle")
        return found

    def _circular(self) -> bool:
        done: set[str] = set()
        for start in self.nodes:
            path: list[tuple[str, bool]] = [(start, False)]
            under_way: set[str] = set()
            while path:
                name, leaving = path.pop()
                if leaving:
                    under_way.discard(name)
                    done.add(name)
                    continue
                if name in under_way:
                    return True
                proof = self.nodes[name].proof
                if name in done or proof is None:
                    continue
                under_way.add(name)
                path.append((name, True))
                path.extend((premise, False) for premise in self.moves[proof].premises)
        return False

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain data; `from_dict` gives it back, so that a search can go on elsewhere."""
        return {
            "target": self.target,
            "nodes": [
                {
                    "name": node.name,
                    "kind": node.kind,
                    "status": node.status,
                    "depth": node.depth,
                    "value": node.value,
                    "rounds": node.rounds,
                    "proof": node.proof,
                }
                for node in self.nodes.values()
            ],
            "moves": [{"node": move.node, "label": move.label, "premises": list(move.premises)} for move in self.moves],
            "counts": dict(sorted(self.counts.items())),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Graph:
        nodes = {
            item["name"]: Node(
                item["name"],
                item["kind"],
                item["depth"],
                order,
                item["status"],
                item["value"],
                item["rounds"],
                item["proof"],
            )
            for order, item in enumerate(data["nodes"])
        }
        graph = cls(data["target"], nodes, counts=dict(data["counts"]))
        for item in data["moves"]:
            move = Move(item["node"], item["label"], tuple(item["premises"]))
            index = len(graph.moves)
            graph.moves.append(move)
            graph._into.setdefault(move.node, []).append(index)
            for name in dict.fromkeys(move.premises):
                graph._out_of.setdefault(name, []).append(index)
        return graph
