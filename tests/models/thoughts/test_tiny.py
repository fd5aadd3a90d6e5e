"""The tiny model: what it is taught is right, what it writes depends on prompt and seed alone, and it learns."""

from __future__ import annotations

import asyncio
import copy
from itertools import combinations_with_replacement
from pathlib import Path
from random import Random

import pytest
import torch
import yaml

from effml.models.llm import CallFailed, Port, user
from effml.models.thoughts import game24
from effml.models.thoughts.expression import parse, rational
from effml.models.thoughts.problems import problems
from effml.models.thoughts.prompts import read_dialect
from effml.models.thoughts.task import Problem, follow
from effml.models.thoughts.tiny.backend import TinyModel
from effml.models.thoughts.tiny.generate import Row, generate
from effml.models.thoughts.tiny.gpt import GPT, Shape
from effml.models.thoughts.tiny.teachers import PolynomialTeacher, SequenceTeacher, Teacher24
from effml.models.thoughts.tiny.tokens import END, Vocabulary
from effml.models.thoughts.tiny.traces import LESSONS
from effml.models.thoughts.tiny.train import WORDS, Recipe, as_tensors, encode, load, train

PROMPTS = Path(__file__).parents[3] / "conf/experiment/got/prompts/tiny.yaml"
HELD_OUT = [game24.node_of(numbers, 24) for numbers in combinations_with_replacement(range(1, 8), 4)]
VOCABULARY = Vocabulary(WORDS)


def dialect(task):
    return read_dialect(yaml.safe_load(PROMPTS.read_text()), task)


def teacher(name):
    if name == "game24":
        return Teacher24(HELD_OUT)
    return PolynomialTeacher() if name == "polynomial" else SequenceTeacher()


@pytest.mark.parametrize("role", LESSONS)
@pytest.mark.parametrize("name", ["game24", "polynomial", "sequence"])
def test_every_lesson_is_true(name, role, seed):
    taught = teacher(name)
    task, rng = taught.task, Random(seed)
    for _ in range(30):
        example = taught.example(role, rng)
        node, text = example.words.get("node", ""), example.completion
        if role == "sum":
            assert rational(parse(example.words["sum"])) == int(text)
        elif role == "answer":
            assert task.judge(Problem("", node), text).right
        elif role == "trace":
            proof = follow(task, node, text)
            assert proof is not None and all(task.sound(move) for move in proof.values())
            assert task.judge(Problem("", node), task.assemble(node, proof)).right
        elif role == "value":
            assert (text == "y") == task.true(node)
        elif role == "check":
            (shown,), _ = task.moves(node, example.words["move"])
            (move,), _ = task.moves(node, text)
            assert task.sound(move) and (shown == move) == task.sound(shown)
        elif text == "no":
            assert not task.true(node)
        else:
            (move,), _ = task.moves(node, text)
            assert task.sound(move) and all(task.true(premise) for premise in move.premises)
        tokens, prompt = encode(example, dialect(task.name), VOCABULARY)
        assert VOCABULARY.decode(tokens[prompt:]) == text + END
        assert VOCABULARY.ids["\ufffd"] not in tokens


def test_no_lesson_shows_a_problem_kept_out(seed):
    rng = Random(seed)
    taught = teacher("game24")
    kept_out = {node.split(" > ")[0] for node in HELD_OUT}
    for role in LESSONS[:-1]:
        for _ in range(60):
            assert taught.example(role, rng).words["numbers"] not in kept_out
    easy = problems("sequence", 60, 3, "easy")
    sequences = SequenceTeacher(easy)
    shown = {sequences.example("answer", rng).words["node"] for _ in range(300)}
    assert len(shown) > 20 and not shown & set(easy)


def test_a_problem_kept_out_is_not_met_on_the_way_either(seed):
    """The quotient of a large polynomial may be a small one that is tested."""
    rng = Random(seed)
    easy = problems("polynomial", 400, 3, "easy")
    free, kept = PolynomialTeacher(), PolynomialTeacher(easy)

    def met(taught):
        return {taught.example(role, rng).words["node"] for role in LESSONS[:-1] for _ in range(150)}

    assert met(free) & set(easy)
    assert not met(kept) & set(easy)


def model(seed=0, context=64):
    made = GPT(Shape(len(VOCABULARY), layers=2, heads=2, width=32, context=context))
    made.initialise(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        made.embed.weight.mul_(8)  # confident enough that texts differ
    return made.eval()


def rows(count, most=16):
    rng = Random(5)
    return [
        Row(tuple(rng.randrange(2, 90) for _ in range(rng.randint(1, 12))), rng.randint(1, most), 0.9, seed)
        for seed in range(count)
    ]


def slow(made, row):
    """One row in float64, the whole text read again for every token."""
    import numpy as np

    draws = np.random.Generator(np.random.Philox(key=row.seed)).random(row.max_tokens)
    text = []
    for draw in draws:
        logits = made(torch.tensor([[*row.prompt, *text]]))[0, -1]
        cumulated = torch.softmax(logits / row.temperature, -1).cumsum(-1)
        text.append(int((cumulated < draw * cumulated[-1]).sum()))
        if text[-1] == 0:
            break
    return text


def test_cached_batches_write_what_one_slow_row_in_float64_writes():
    made = model()
    exact = copy.deepcopy(made).double()
    asked = rows(40)
    together = generate(made, exact, asked, 0)
    with torch.no_grad():
        assert together == [slow(exact, row) for row in asked]
    assert len({tuple(text) for text in together}) > 20


def test_a_text_does_not_depend_on_the_rows_beside_it():
    made = model()
    exact = copy.deepcopy(made).double()
    asked = rows(120)
    together = generate(made, exact, asked, 0)
    backwards = generate(made, exact, asked[::-1], 0)[::-1]
    alone = [generate(made, exact, [row], 0)[0] for row in asked[:30]]
    assert together == backwards and together[:30] == alone


def test_prompts_and_padding_are_no_targets():
    inputs, targets = as_tensors([([5, 6, 7, 8, 0], 3), ([5, 9, 0], 1)])
    assert inputs.tolist() == [[5, 6, 7, 8], [5, 9, 0, 0]]
    assert targets.tolist() == [[-100, -100, 8, 0], [9, 0, -100, -100]]


def test_training_learns_and_is_repeatable():
    recipe = Recipe(tokens=100_000, pool=0.1, layers=1, heads=2, width=32, weights={"game24": 1.0})
    taught, words = {"game24": teacher("game24")}, {"game24": dialect("game24")}
    losses = []
    first = train(recipe, taught, words, watch=lambda step, loss: losses.append(loss))
    second = train(recipe, {"game24": teacher("game24")}, words)
    assert losses[-1] < 0.75 * losses[0]
    for name, value in first["state"].items():
        assert torch.equal(value, second["state"][name]), name
    load(first)


def test_the_digest_names_recipe_prompts_and_problems_kept_out():
    words = {"game24": dialect("game24")}
    recipe = Recipe(weights={"game24": 1.0})
    base = recipe.digest({"game24": teacher("game24")}, words)
    assert base == recipe.digest({"game24": teacher("game24")}, words)
    others = [
        Recipe(weights={"game24": 1.0}, seed=1).digest({"game24": teacher("game24")}, words),
        recipe.digest({"game24": Teacher24(HELD_OUT[:2])}, words),
        recipe.digest({"game24": teacher("game24")}, {"game24": dialect("polynomial")}),
    ]
    assert len({base, *others}) == 4


def test_through_the_port_samples_are_independent_of_what_else_is_asked():
    async def ask(texts, concurrency):
        port = Port(TinyModel(model(), VOCABULARY, "test"), concurrency=concurrency)
        replies = await asyncio.gather(
            *(port.sample([user(text)], n=3, max_tokens=12, temperature=1.0, scope=text) for text in texts)
        )
        return [(reply.texts, reply.usage) for reply in replies]

    texts = [f"F{k} 2 3 4>24:" for k in range(30)]
    together = asyncio.run(ask(texts, 1000))
    assert together == asyncio.run(ask(texts, 2))
    assert together[7] == asyncio.run(ask(texts[7:8], 1))[0]
    usage = together[0][1]
    assert usage.tokens_in == len(VOCABULARY.encode(texts[0])) and usage.calls == 3 and usage.cost == 0.0


def test_a_problem_too_long_for_the_model_is_refused_in_words():
    port = Port(TinyModel(model(), VOCABULARY, "test"))
    with pytest.raises(CallFailed, match="trained on smaller problems"):
        asyncio.run(port.sample([user("1 " * 60)], max_tokens=12))
