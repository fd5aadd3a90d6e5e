"""The search and the baselines around a scripted model: what they find, what they spend, and that timing is no input."""

from __future__ import annotations

import asyncio
import json
import math

import pytest

from effml.models.llm import BudgetSpent, Limits, Port, Scripted
from effml.models.thoughts.checker import ExactChecker, ModelChecker, NoChecker
from effml.models.thoughts.export import from_json, to_json
from effml.models.thoughts.graph import KNOWN, Graph
from effml.models.thoughts.sampling import Checked, Single, Vote
from effml.models.thoughts.search import Bounds, GraphOfThoughts
from effml.models.thoughts.task import Move
from effml.models.thoughts.tot import TreeOfThoughts
from tests.models.thoughts.oracle import TASK, Oracle, asker

PUZZLES = ["4 5 6 10", "3 3 8 8", "1 2 3 4", "2 2 6 11", "1 5 5 5", "6 10 10 13"]
METHODS = {
    "io": lambda: Single("answer"),
    "cot": lambda: Single("trace"),
    "cot-sc": lambda: Vote("trace", most=10),
    "cot-checked": lambda: Checked(ModelChecker()),
    "tot": lambda: TreeOfThoughts(depth=3, samples=8),
    "got-forward": lambda: GraphOfThoughts("forward", ModelChecker()),
    "got-backward": lambda: GraphOfThoughts("backward", ModelChecker()),
}


def solve(method, oracle, text="4 5 6 10", **options):
    ask = asker(oracle, text, **options)
    return asyncio.run(method.solve(ask)), ask


@pytest.mark.parametrize("name", METHODS)
def test_a_perfect_model_solves_every_puzzle(name):
    for text in PUZZLES:
        outcome, ask = solve(METHODS[name](), Oracle(), text)
        assert TASK.judge(ask.problem, outcome.answer).right, (name, text, outcome)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_an_unsolvable_puzzle_is_given_up(direction):
    outcome, _ = solve(GraphOfThoughts(direction, ExactChecker()), Oracle(), "1 1 1 1")
    assert outcome.answers == [] and "nothing is left" in outcome.note
    assert outcome.graph.faults() == []


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_with_the_exact_checker_an_answer_is_always_right(direction):
    solved = 0
    for text in PUZZLES:
        outcome, ask = solve(GraphOfThoughts(direction, ExactChecker()), Oracle(skill=0.3, slips=0.4, blind=0.3), text)
        assert outcome.graph.faults() == []
        if outcome.answers:
            solved += 1
            assert TASK.judge(ask.problem, outcome.answer).right
    assert solved >= 3


def test_a_checker_that_refuses_everything_leaves_the_givens():
    outcome, _ = solve(GraphOfThoughts("forward", NoChecker(False)), Oracle())
    assert outcome.answers == []
    assert list(outcome.graph.nodes) == ["4 5 6 10 > 24"] and outcome.graph.moves == []


def test_merging_meets_a_state_once_where_a_tree_meets_it_often():
    oracle = Oracle(skill=0.0)
    outcome, _ = solve(GraphOfThoughts("forward", ExactChecker(), Bounds(samples=30, rounds=1, nodes=200)), oracle)
    assert outcome.graph.counts["merged"] > 0
    valued = [prompt for prompt in oracle.asked if prompt.startswith("value")]
    assert len(valued) == 3 * len(set(valued))  # three votes for each state, however many ways lead there


def test_without_checker_and_merging_a_wave_proposes_what_a_tree_does():
    """One layer of ToT and one expansion of GoT that accepts everything hold the same moves, on the same transcript."""
    oracle = Oracle(skill=0.5, slips=0.3)
    port = Port(Scripted(oracle, max_n=1000))
    layers: list = []
    asyncio.run(TreeOfThoughts(1, samples=12).solve(asker(oracle, port=port), layers))
    bounds = Bounds(width=1, samples=12, rounds=1, depth=1)
    outcome = asyncio.run(GraphOfThoughts("forward", NoChecker(), bounds).solve(asker(oracle, port=port)))
    proposed = {move for text in layers[0].proposed for move in TASK.moves("4 5 6 10 > 24", text)[0]}
    assert proposed == set(outcome.graph.moves) and len(proposed) > 3


def test_tot_keeps_the_best_and_values_a_repeated_text_nothing():
    layers: list = []
    ask = asker(Oracle(skill=0.5))
    asyncio.run(TreeOfThoughts(3, beam=2, samples=10).solve(ask, layers))
    assert len(layers) == 3
    for layer in layers:
        assert len(layer.kept) == 2
        seen = set()
        for text, value in zip(layer.proposed, layer.values, strict=True):
            assert (value == 0) == (text in seen)
            seen.add(text)
        best = sorted(layer.values, reverse=True)[:2]
        assert [layer.values[layer.proposed.index(text)] for text in layer.kept] == best


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("tokens", [50, 400, 2000])
def test_no_method_passes_its_budget(name, tokens):
    outcome, ask = solve(METHODS[name](), Oracle(skill=0.2, slips=0.3), limits=Limits(tokens=tokens))
    assert ask.used.tokens <= tokens
    assert outcome.used == ask.used


@pytest.mark.parametrize("name", METHODS)
def test_the_result_is_independent_of_concurrency(name):
    def result(concurrency):
        oracle = Oracle(skill=0.3, slips=0.3, let_through=0.1, turned_away=0.1, blind=0.3)
        outcome, ask = solve(METHODS[name](), oracle, concurrency=concurrency, limits=Limits(tokens=3000))
        return outcome.answers, outcome.used, outcome.graph and to_json(outcome.graph), ask.used

    assert result(1) == result(3) == result(100)


def test_a_stopped_search_goes_on_from_its_graph():
    """Cut off by budgets of growing size, written to JSON and taken up again, it ends like the uninterrupted one."""
    oracle = Oracle(skill=0.15, slips=0.2, blind=0.4)
    method = GraphOfThoughts("forward", ExactChecker(), Bounds(width=2, samples=4, votes=1))
    whole = asyncio.run(method.solve(asker(oracle)))
    port = Port(Scripted(oracle, max_n=1000))
    graph, pieces, calls = None, 0, 8
    while True:
        ask = asker(oracle, port=port, limits=Limits(calls=calls))
        outcome = asyncio.run(method.solve(ask, graph))
        if outcome.answers or "nothing is left" in outcome.note:
            break
        graph, pieces, calls = from_json(to_json(outcome.graph)), pieces + 1, calls + 8
    assert pieces >= 2
    assert outcome.answers == whole.answers
    assert {n.name: n.status for n in outcome.graph.nodes.values() if n.status == KNOWN} == {
        n.name: n.status for n in whole.graph.nodes.values() if n.status == KNOWN
    }


@pytest.mark.parametrize("k", [1, 2, 3])
def test_k_checks_let_through_a_to_the_k_and_turn_away_1_minus_1_minus_r_to_the_k(k):
    a, r, trials = 0.4, 0.15, 600
    right = Move("4 5 6 10 > 24", "10-4=6", ("5 6 6 > 24",))
    wrong = Move("4 5 6 10 > 24", "10-4=6", ("5 6 7 > 24",))
    checker = ModelChecker(k)
    port = Port(Scripted(Oracle(let_through=a, turned_away=r), max_n=100))

    async def accepted(move):
        asks = [asker(None, port=port, scope=f"{move.premises} {trial}") for trial in range(trials)]
        return sum(await asyncio.gather(*(checker.accepts(ask, move) for ask in asks)))

    for move, probability in ((wrong, a**k), (right, (1 - r) ** k)):
        count = asyncio.run(accepted(move))
        deviation = math.sqrt(trials * probability * (1 - probability))
        # The draws are fixed by the scopes, so this either always passes or always fails: 4 deviations are room enough.
        assert abs(count - trials * probability) < 4 * deviation


def test_a_proof_is_checked_once_more_and_a_refused_move_taken_out():
    refused = []

    class Wavering(ModelChecker):
        async def confirms(self, ask, move):
            refused.append(move)
            return move != refused[0]

    outcome, ask = solve(GraphOfThoughts("forward", Wavering(), Bounds(samples=20)), Oracle(skill=0.7))
    assert outcome.graph.counts["retracted"] == 1
    assert refused[0] not in outcome.graph.moves and outcome.graph.faults() == []
    assert TASK.judge(ask.problem, outcome.answer).right


def test_the_vote_counts_equal_answers_as_one_and_abstains_on_noise():
    replies = ["(4*6)", "nonsense", "1+2+3+4", "4+3+2+1", "2+1+4+3", "4*3*2*1", "1*2*3*4", "!!"]
    port = Port(Scripted(lambda request, index: f"Answer: {replies[index]}", max_n=100))
    outcome = asyncio.run(Vote("answer", most=len(replies)).solve(asker(None, "1 2 3 4", port=port)))
    assert outcome.answer == "1+2+3+4"
    assert [answer for *_, answer in outcome.trail] == ["1+2+3+4"]


def test_checked_chains_stop_at_the_first_that_passes():
    outcome, ask = solve(Checked(ExactChecker(), chunk=5), Oracle(skill=0.3, slips=0.2))
    assert TASK.judge(ask.problem, outcome.answer).right
    assert ask.used.calls % 5 == 0 and ask.used.calls < 100


def test_a_graph_written_out_is_plain_json():
    outcome, _ = solve(GraphOfThoughts("backward", ModelChecker()), Oracle())
    data = json.loads(to_json(outcome.graph))
    assert Graph.from_dict(data).solved
    assert {"target", "nodes", "moves", "counts"} == set(data)


def test_failures_other_than_the_budget_are_not_swallowed():
    def broken(request, index):
        return RuntimeError("the model broke")

    for name, make in METHODS.items():
        with pytest.raises(RuntimeError, match="the model broke"):
            solve(make(), broken)
        assert name
    with pytest.raises(BudgetSpent):
        asyncio.run(asker(Oracle(), limits=Limits(calls=0)).ask("value", {"node": "4 > 4"}))
