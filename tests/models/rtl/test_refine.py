"""The loop: transitions, corrections counted, the best design kept, rewrites guarded, budgets and resume."""

import asyncio
import json

import pytest

from effml.experiments.data import registry
from effml.models.llm import Limits, Port, Retry, Scripted, Transcript, connect
from effml.models.rtl.history import plain, restore
from effml.models.rtl.proposers import ModelProposer, MutationProposer, recorded
from effml.models.rtl.refine import Effort, Goal, Proposal, State, Task, refine
from effml.models.rtl.stand_in import StandIn, script
from effml.models.rtl.tools import have
from effml.models.rtl.workbench import Workbench
from tests.models.rtl.small import ADDER, PROBLEM

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(not have("iverilog", "vvp", "yosys"), reason="needs iverilog, yosys"),
]

BROKEN = ADDER.replace("a + b;", "a + ;")
WRONG = ADDER.replace("a + b", "a - b")


class Line:
    """Proposes these texts in turn, and keeps the tasks."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.tasks = list(texts), []

    async def propose(self, task: Task) -> Proposal:
        self.tasks.append(task)
        return Proposal(self.texts[min(len(self.tasks), len(self.texts)) - 1])


@pytest.fixture(scope="module")
def bench():
    bench = Workbench(hidden=True)
    yield bench
    bench.close()


def run(*arguments, **options):
    return asyncio.run(refine(*arguments, **options))


def small(name):
    return next(problem for problem in registry.load("small-designs").value if problem.name == name)


def test_syntax_then_function_then_pass(bench):
    line = Line(BROKEN, WRONG, ADDER)
    found = run(PROBLEM, line, bench, Effort(repairs=4))
    assert [task.kind for task in line.tasks] == [State.GENERATE, State.REPAIR_SYNTAX, State.REPAIR_FUNCTION]
    assert "design.v:2" in line.tasks[1].said and "2: assign s = a + ;" in line.tasks[1].said
    assert "expected" in line.tasks[2].said and line.tasks[2].design == WRONG
    assert [found.compiled_by(k) for k in range(3)] == [False, True, True]
    assert [found.passed_by(k) for k in range(3)] == [False, False, True]
    assert found.best == 2 and found.candidates[2].verdict.hidden is True
    assert restore(json.loads(json.dumps(plain(found)))) == found
    assert [step["state"] for step in plain(found)["steps"]] == [
        *("generate", "compile", "repair syntax", "compile", "simulate", "repair function"),
        *("compile", "simulate", "synthesise"),
    ]


def test_corrections_end(bench):
    line = Line(WRONG)
    found = run(PROBLEM, line, bench, Effort(repairs=2))
    assert len(line.tasks) == 3 and found.best is None and "after 2 corrections" in found.ended


def test_rewrites_start_from_the_best_and_never_lose_it(bench):
    problem = small("add_select")
    failing = problem.reference.replace("a + b", "a - b")
    different = problem.reference.replace("c + d", "c + d + (a == 16'h7a31 && c == 16'h0b0b)")  # past the testbench
    line = Line(
        problem.reference,
        failing,
        failing,
        problem.rewrites["shared"],
        different,
        problem.rewrites["exchanged"],
        BROKEN,
    )
    found = run(problem, line, bench, Effort(rewrites=5, repairs_of_rewrite=1), Goal("area"))
    assert found.original == 0 and found.best == 3
    assert found.candidates[4].equivalence.verdict == "DIFFERENT" and found.candidates[4].verdict.passes
    # After the gain, rewrites start from the shared design; the failed rewrites before it started from the original.
    starts = [task.design for task in line.tasks if task.kind is State.REWRITE]
    assert starts == [problem.reference] * 2 + [problem.rewrites["shared"]] * 3
    why = [step.why for step in found.steps]
    assert any(w.startswith("area ") and "->" in w for w in why) and any(w.startswith("no gain") for w in why)
    figures = found.candidates[3].figures["generic"]
    assert figures.area < found.candidates[0].figures["generic"].area


def test_a_met_goal_ends_the_rewrites(bench):
    line = Line(ADDER)
    found = run(PROBLEM, line, bench, Effort(rewrites=5), Goal("area", limit=1e6))
    assert len(line.tasks) == 1 and "goal is met" in found.ended


def test_pipelining_is_marked_and_not_taken(bench):
    """Its testbench does not notice when only it is late: the equivalence check does."""
    problem = small("multiply_add")
    found = run(
        problem, Line(problem.reference, problem.rewrites["pipelined"]), bench, Effort(rewrites=1), Goal("area")
    )
    assert found.best == 0 and not found.candidates[-1].verdict.passes


def test_recorded_first_answers_come_by_trial():
    start = recorded({"add4": ["zero", "one"]})
    texts = [
        asyncio.run(MutationProposer(start=start).propose(Task(State.GENERATE, PROBLEM, scope=f"add4/{k}")))
        for k in (0, 1, 2)
    ]
    assert [t.design for t in texts[:2]] == ["zero", "one"]
    assert "module add4" in texts[2].design  # none recorded: the damaged reference


def test_mutations_are_drawn_by_seed_and_scope():
    def text(seed, scope):
        return MutationProposer(seed, damage=3).text(Task(State.GENERATE, PROBLEM, scope=scope))

    assert text(1, "add4/0") == text(1, "add4/0")
    assert len({text(seed, f"add4/{k}") for seed in range(3) for k in range(3)}) > 4


def test_a_spent_budget_ends_a_trial_with_what_it_has(bench):
    backend = Scripted(lambda request, index: f"```verilog\n{WRONG}\n```")
    port = Port(backend)
    found = run(PROBLEM, ModelProposer(port, limits=Limits(calls=2)), bench, Effort(repairs=4))
    assert len(found.candidates) == 2 and found.ended.startswith("budget: ") and found.usage.calls == 2


def test_a_failed_call_ends_a_trial_with_what_it_has(bench):
    backend = Scripted(lambda request, index: OSError("gone") if len(request.messages) > 2 else f"```\n{ADDER}\n```")
    port = Port(backend, retry=Retry(attempts=1))
    with pytest.raises(OSError, match="gone"):  # what is no failure of a call is a bug, and traces
        run(PROBLEM, ModelProposer(port), bench, Effort(rewrites=1), Goal("area"))


def test_the_whole_loop_over_http_and_again_from_its_transcript(bench, tmp_path):
    problems = [small("add_select"), small("two_products")]
    store = tmp_path / "calls.jsonl"

    async def trials(url):
        async with connect(
            "openai/stand-in", api_base=url, transcript=store, prices=(1.0, 2.0), limits=Limits(cost=1.0)
        ) as port:
            port.backend.identity = "stand-in"
            proposer = ModelProposer(port, seed=0, shots=4)
            effort = Effort(repairs=4, rewrites=1)
            found = await asyncio.gather(
                *(
                    refine(p, proposer, bench, effort, Goal("area"), f"{p.name}/{k}")
                    for p in problems
                    for k in range(1, 3)
                )
            )
            return found, port.sent

    with StandIn(script(problems), failing=1) as server:
        first, sent = asyncio.run(trials(server.url))
        asked = server.requests
        second, again = asyncio.run(trials(server.url))
        assert server.requests == asked == sent.calls + 1 and again.calls == 0
    assert [plain(o)["steps"] for o in first] == [plain(o)["steps"] for o in second]
    assert all(o.best is not None for o in first) and any(len(o.candidates) > 2 for o in first)
    assert all(o.usage.cost > 0 for o in first) and sent.cost == pytest.approx(sum(o.usage.cost for o in first))
    assert {step.state for o in first for step in o.steps} >= {State.REWRITE, State.EQUIVALENCE, State.SYNTHESISE}
    assert len(Transcript(store)) == sent.calls
