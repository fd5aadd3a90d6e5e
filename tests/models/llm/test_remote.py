"""litellm against a local OpenAI-compatible server: faults, keys, prices, and a kill in the middle of a run."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time

import pytest

from effml.errors import MissingRequirement, UserError
from effml.models.llm import BudgetSpent, CallFailed, Limits, Retry, connect, user
from effml.models.llm.remote import without_secrets
from tests.models.llm.openai_server import OpenAIServer

pytest.importorskip("litellm")
KEY = "sk-test-0123456789abcdef"


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def run(server, *, calls=1, n=1, model="openai/stand-in", **options):
    async def work():
        async with connect(model, api_base=server.url, **options) as port:
            replies = await asyncio.gather(
                *(port.sample([user(f"q{i}")], n=n, max_tokens=10) for i in range(calls)), return_exceptions=True
            )
            return replies, port

    replies, port = asyncio.run(work())
    for reply in replies:
        if isinstance(reply, Exception) and not isinstance(reply, BudgetSpent):
            raise reply
    return replies, port


def test_samples_come_in_one_request_with_the_parameters_sent(key):
    with OpenAIServer() as server:
        (reply,), port = run(server, n=3)
    assert reply.texts == ["echo q0 #0", "echo q0 #1", "echo q0 #2"]
    (body,) = server.seen
    assert (body["n"], body["max_tokens"], body["temperature"]) == (3, 10, 0.7)
    usage = port.ledger.spent
    assert (usage.calls, usage.requests, usage.tokens_in, usage.tokens_out) == (3, 1, 20, 15)
    assert usage.cost is None  # no list knows the price of "stand-in"


@pytest.mark.parametrize("fault", ["429", "500", "hang", "malformed", "html", "drip"])
def test_faults_are_retried_once_each(key, fault):
    with OpenAIServer(lambda k, _body: fault if k == 0 else None) as server:
        (reply,), port = run(server, timeout=1.0, retry=Retry(base=0.05))
    assert reply.text == "echo q0 #0"
    assert len(server.seen) == 2  # neither litellm nor the OpenAI client retried on its own
    assert port.retries == 1


def test_a_server_that_never_recovers_ends_the_call(key):
    with OpenAIServer(lambda _k, _body: "500") as server, pytest.raises(CallFailed, match=r"3 times.*injected 500"):
        run(server, retry=Retry(attempts=3, base=0.01))
    assert len(server.seen) == 3


def test_a_budget_in_dollars_stops_before_it_is_passed(key):
    # 20 tokens in and at most 10 out, at $100 and $1,000 a million: at most $0.012 a call, in fact 0.007.
    with OpenAIServer() as server:
        replies, port = run(server, calls=20, limits=Limits(cost=0.05), prices=(100.0, 1000.0), concurrency=4)
    answered = [reply for reply in replies if not isinstance(reply, Exception)]
    assert len(answered) == sum(server.answered.values()) == 6
    assert port.ledger.spent.cost == pytest.approx(6 * 0.007)


def test_concurrency_reaches_the_server_and_is_kept(key):
    with OpenAIServer() as server:
        run(server, calls=30, concurrency=3)
    assert 2 <= server.most_busy <= 3


def test_keys_are_sent_but_never_stored(key, tmp_path):
    path = tmp_path / "calls.jsonl"
    with OpenAIServer() as server:
        run(server, transcript=path)
    assert KEY in server.headers[0]["authorization"]
    assert KEY not in path.read_text() and "authorization" not in path.read_text().lower()


def test_secrets_are_blotted_out_of_messages(key):
    said = without_secrets(f"Incorrect API key provided: {KEY}; header Bearer abc.def; sk-proj-zzzzzzzzzzzz")
    assert KEY not in said and "abc.def" not in said and "zzzz" not in said


def test_listed_prices_are_used_and_others_are_unknown(key):
    from effml.models.llm.remote import LiteLLM

    assert LiteLLM("gpt-4o-mini").price(1_000_000, 0) == pytest.approx(0.15)
    assert LiteLLM("openai/never-heard-of").price(1, 1) is None
    assert LiteLLM("openai/never-heard-of", prices=(2.0, 4.0)).price(1_000_000, 500_000) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("model", "variable"), [("gpt-4o", "OPENAI_API_KEY"), ("anthropic/claude-3-haiku-20240307", "ANTHROPIC_API_KEY")]
)
def test_a_missing_key_is_named_with_the_local_ways(monkeypatch, model, variable):
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(MissingRequirement, match=variable) as caught:
        connect(model)
    assert "ollama pull" in str(caught.value) and "api_base" in str(caught.value)


def test_a_local_server_that_is_not_there_is_named_at_once():
    started = time.perf_counter()
    with pytest.raises(MissingRequirement, match=r"Nothing answers at http://127\.0\.0\.1:9"):
        connect("openai/x", api_base="http://user:secret@127.0.0.1:9/v1")
    assert time.perf_counter() - started < 5


def test_a_name_without_provider_is_refused():
    with pytest.raises(UserError, match="provider/model"):
        connect("no-such-thing")


WORK = """
import asyncio, json, sys
from effml.models.llm import connect, user

async def main(url, path, table):
    async with connect("openai/stand-in", api_base=url, transcript=path, concurrency=4) as port:
        replies = await asyncio.gather(*(port.sample([user(f"q{i}")], max_tokens=10) for i in range(200)))
        spent = port.ledger.spent
        with open(table, "w") as out:
            json.dump([[reply.texts for reply in replies], spent.calls, spent.tokens], out)

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
"""


def test_killed_at_call_57_of_200_it_asks_for_the_rest_only(key, tmp_path):
    work: dict = {}
    exec(WORK, work)
    transcript, resumed, whole = tmp_path / "calls.jsonl", tmp_path / "resumed.json", tmp_path / "whole.json"
    with OpenAIServer(lambda k, _body: "500" if k == 20 else None) as server:
        first = subprocess.Popen([sys.executable, "-c", WORK, server.url, str(transcript), str(resumed)])
        while sum(server.answered.values()) < 57:
            assert first.poll() is None
            time.sleep(0.005)
        first.send_signal(signal.SIGKILL)
        first.wait()
        before = sum(server.answered.values())
        assert 57 <= before < 200 and not resumed.exists()
        asyncio.run(work["main"](server.url, transcript, resumed))
    assert len(server.answered) == 200
    assert 200 <= sum(server.answered.values()) <= 204  # those under way, at most as many as the concurrency
    with OpenAIServer() as server:
        transcript.unlink()
        asyncio.run(work["main"](server.url, transcript, whole))
    assert resumed.read_bytes() == whole.read_bytes()
    assert json.loads(whole.read_bytes())[1] == 200
