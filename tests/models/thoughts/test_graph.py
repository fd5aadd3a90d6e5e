"""The graph's invariants under random moves, aggregation, and what is exported."""

from __future__ import annotations

import json

import networkx
from hypothesis import given
from hypothesis import strategies as st

from effml.models.thoughts import export
from effml.models.thoughts.graph import KNOWN, OPEN, Graph
from effml.models.thoughts.task import Move

names = st.integers(0, 7).map(lambda k: f"n{k}")
moves = st.lists(
    st.tuples(names, st.lists(names, max_size=3), st.integers(0, 2)).map(
        lambda t: Move(t[0], f"op{t[2]}", tuple(t[1]))
    ),
    max_size=30,
)
CONDITIONS = ("n6", "n7")


def grown(listed):
    graph = Graph("n0")
    for move in listed:
        if move.node in graph.nodes and graph.nodes[move.node].kind != "condition":
            graph.add(move, CONDITIONS)
    return graph


def known_by_closure(graph):
    """What follows, by going over all moves until nothing changes."""
    known = {node.name for node in graph.nodes.values() if node.kind == "condition"}
    while True:
        more = {move.node for move in graph.moves if set(move.premises) <= known} - known
        if not more:
            return known
        known |= more


@given(moves)
def test_aggregation_finds_exactly_what_follows(listed):
    graph = grown(listed)
    assert graph.faults() == []
    assert {node.name for node in graph.nodes.values() if node.status == KNOWN} == known_by_closure(graph)


@given(moves, st.randoms())
def test_the_order_in_which_moves_come_does_not_matter(listed, rng):
    first = grown(listed)
    shuffled = list(first.moves)
    second = Graph("n0")
    for _ in range(len(shuffled)):  # a move waits until its conclusion has been met
        rng.shuffle(shuffled)
        for move in shuffled:
            if move.node in second.nodes:
                second.add(move, CONDITIONS)
    assert set(second.moves) == set(first.moves)
    assert {n.name: n.status for n in second.nodes.values()} == {n.name: n.status for n in first.nodes.values()}


@given(moves)
def test_a_proof_holds_a_known_path_for_everything_in_it(listed):
    graph = grown(listed)
    proof = graph.proof()
    assert bool(proof) == (graph.solved and graph.nodes["n0"].kind != "condition")
    for move in proof.values():
        assert all(premise in proof or graph.nodes[premise].kind == "condition" for premise in move.premises)


@given(moves, st.integers(0, 100))
def test_taking_a_move_out_leaves_what_follows_from_the_rest(listed, which):
    graph = grown(listed)
    if not graph.moves:
        return
    gone = graph.moves[which % len(graph.moves)]
    graph.retract(gone)
    assert gone not in graph.moves and graph.faults() == []
    assert {node.name for node in graph.nodes.values() if node.status == KNOWN} == known_by_closure(graph)


@given(moves)
def test_a_graph_survives_json(listed):
    graph = grown(listed)
    again = export.from_json(export.to_json(graph))
    assert again.as_dict() == graph.as_dict()
    extra = Move("n0", "late", ())
    graph.add(extra)
    again.add(extra)
    assert again.as_dict() == graph.as_dict()


def example():
    graph = Graph("4 5 6 10 > 24")
    graph.add(Move("4 5 6 10 > 24", '"10-4"=6', ("5 6 6 > 24",)))
    graph.add(Move("5 6 6 > 24", "5*6=30", ("6 30 > 24",)))
    graph.add(Move("4 5 6 10 > 24", "6-4=2", ("2 5 10 > 24",)))
    graph.add(Move("6 30 > 24", "30-6=24", ("24 > 24",)), ["24 > 24"])
    return graph


def test_a_shared_node_is_one_node():
    graph = example()
    graph.add(Move("4 5 6 10 > 24", "another way", ("5 6 6 > 24",)))
    assert len(graph.nodes) == 5 and graph.counts == {"merged": 1}
    assert graph.solved and graph.nodes["2 5 10 > 24"].status == OPEN


def test_exports_hold_every_node_and_move():
    graph = example()
    made = export.to_networkx(graph)
    assert networkx.is_directed_acyclic_graph(made)
    assert made.number_of_nodes() == len(graph.nodes) + len(graph.moves)
    assert set(networkx.ancestors(made, graph.target)) == set(made) - {graph.target}
    assert json.loads(export.to_json(graph))["target"] == graph.target
    dot, mermaid, text = (export.as_text(graph, form) for form in ("dot", "mermaid", "text"))
    for name in graph.nodes:
        assert name in dot and name in mermaid and name in text
    assert dot.count("penwidth=2") == 6 and mermaid.count("==>") == 6  # three moves, each with its one premise
    assert '\\"10-4\\"=6' in dot and "#quot;10-4#quot;=6" in mermaid
    assert text.splitlines()[0] == "✓ 4 5 6 10 > 24" and '* "10-4"=6' in text
