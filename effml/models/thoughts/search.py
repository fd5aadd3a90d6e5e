"""The search of Graph of Thoughts: a bounded worklist over the graph, in waves (Lei et al., arXiv 2308.08614).

What is published of the algorithm: conditions, target and intermediate nodes; the target is reduced to what would
imply it; every proposed node passes repeated checks, or is dropped; what becomes known is aggregated until the target
is. What is ours is stated as an option: the order of the worklist (the evaluator's opinion, then depth) and its bounds.

All state is in the graph, so that a search stopped by its budget goes on from `Graph.from_dict`. Within a wave
questions are asked at once and their answers used in the order of the nodes: the result does not depend on timing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from effml.models.llm import BudgetSpent
from effml.models.thoughts.asking import Asker, Outcome
from effml.models.thoughts.checker import Checker
from effml.models.thoughts.graph import EXHAUSTED, OPEN, REFUTED, Graph, Node
from effml.models.thoughts.task import Move


@dataclass(frozen=True)
class Bounds:
    """What the search may do.

    width: nodes expanded in one wave. samples: moves asked for in one expansion. rounds: expansions of one node at
    most. votes: opinions asked of each new node, 0 for none. nodes, depth: of the graph, at most.
    """

    width: int = 5
    samples: int = 12
    rounds: int = 3
    votes: int = 3
    nodes: int = 500
    depth: int = 8


class GraphOfThoughts:
    """GoT in one direction: "forward" moves from the givens, "backward" from the target. See the module."""

    def __init__(self, direction: str, checker: Checker, bounds: Bounds | None = None) -> None:
        self.direction, self.checker, self.bounds = direction, checker, bounds or Bounds()
        self.name = f"got-{direction}"

    async def solve(self, ask: Asker, graph: Graph | None = None) -> Outcome:
        """The answer read off a proof of the target, or none within bounds and budget. `graph`: one to go on with."""
        graph = graph if graph is not None else Graph(ask.problem.node)
        note = ""
        try:
            while True:
                if graph.solved and await self._confirmed(ask, graph):
                    break
                if not await self._wave(ask, graph):
                    note = "nothing is left to expand within the bounds"
                    break
        except BudgetSpent as spent:
            note = str(spent)
        answers = [ask.task.assemble(graph.target, graph.proof())] if graph.solved else []
        return Outcome(answers, ask.used, graph, note=note)

    async def _wave(self, ask: Asker, graph: Graph) -> bool:
        """Expand the most promising nodes; False when there is none."""
        chosen = self._frontier(graph)
        if not chosen:
            return False
        results = await asyncio.gather(*(self._expand(ask, graph, node) for node in chosen), return_exceptions=True)
        met: list[Node] = []
        for node, result in zip(chosen, results, strict=True):
            if isinstance(result, BaseException):
                continue
            node.rounds += 1
            if node.rounds >= self.bounds.rounds and node.status in (OPEN, REFUTED):
                node.status = EXHAUSTED
            for move in result:
                if len(graph.nodes) < self.bounds.nodes:
                    met.extend(graph.add(move, [name for name in move.premises if ask.task.known(name)]))
        failed = [result for result in results if isinstance(result, BaseException)]
        if not graph.solved and not failed:
            failed = await self._evaluate(ask, met)
        if failed and not graph.solved:
            raise failed[0]
        return True

    def _frontier(self, graph: Graph) -> list[Node]:
        """Open nodes by opinion (halved with each round), then depth, then age; refuted ones only when none is open."""
        bounds = self.bounds

        def rank(node: Node) -> tuple[float, int, int]:
            value = 1.0 if node.value is None else node.value
            return (-value / 2**node.rounds, -node.depth, node.order)

        for status in (OPEN, REFUTED):
            nodes = [n for n in graph.nodes.values() if n.status == status]
            nodes = [n for n in nodes if n.depth < bounds.depth and n.rounds < bounds.rounds]
            if nodes:
                return sorted(nodes, key=rank)[: bounds.width]
        return []

    async def _expand(self, ask: Asker, graph: Graph, node: Node) -> list[Move]:
        """Moves into `node` that are new, read from fresh samples, and accepted by the checker."""
        role = ask.task.role(node.name, self.direction)
        samples = self.bounds.samples
        texts = await ask.about(role, node.name, samples * (node.rounds + 1))
        proposed: dict[Move, None] = {}
        for text in texts[samples * node.rounds :]:
            moves, malformed = ask.task.moves(node.name, text)
            graph.count("malformed", malformed)
            graph.count("proposed", len(moves))
            proposed.update(dict.fromkeys(moves))
        fresh = [move for move in proposed if not graph.has(move)]
        results = await asyncio.gather(*(self.checker.accepts(ask, move) for move in fresh), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        accepted = [move for move, verdict in zip(fresh, results, strict=True) if verdict]
        graph.count("checked", len(fresh))
        graph.count("refused", len(fresh) - len(accepted))
        return accepted

    async def _evaluate(self, ask: Asker, nodes: Sequence[Node]) -> list[BaseException]:
        """Ask for opinions on new nodes, once each however many paths lead there; what could not be asked is returned."""
        asked = [node for node in nodes if node.status == OPEN]
        if not self.bounds.votes:
            return []
        results = await asyncio.gather(
            *(ask.about("value", node.name, self.bounds.votes) for node in asked), return_exceptions=True
        )
        for node, result in zip(asked, results, strict=True):
            if not isinstance(result, BaseException):
                node.value = ask.dialect.share(result)
                if all(ask.dialect.opinion(text) == min(ask.dialect.opinions.values()) for text in result):
                    node.status = REFUTED
        return [result for result in results if isinstance(result, BaseException)]

    async def _confirmed(self, ask: Asker, graph: Graph) -> bool:
        """The proof checked once more; a move refused now is taken out, and the search goes on."""
        moves = list(graph.proof().values())
        verdicts = await asyncio.gather(*(self.checker.confirms(ask, move) for move in moves), return_exceptions=True)
        for move, verdict in zip(moves, verdicts, strict=True):
            if isinstance(verdict, BaseException):
                if isinstance(verdict, BudgetSpent):
                    return True  # no budget for a second look: the first one stands
                raise verdict
            if not verdict:
                graph.retract(move)
        return graph.solved
