"""The port around a scripted back end: cache, budgets, concurrency, retries, and what the transcript keeps."""

from __future__ import annotations

import asyncio
import json

import pytest

from effml.errors import UserError
from effml.models.llm import (
    BudgetSpent,
    CallFailed,
    Ledger,
    Limits,
    Port,
    Retry,
    Scripted,
    Transcript,
    TranscriptReplay,
    TransientFailure,
    Usage,
    user,
)


def echo(request, index):
    return f"{request.messages[-1]['content']}/{index}"


async def no_sleep(_seconds):
    return None


def ask(port, text="hello", **options):
    return port.sample([user(text)], max_tokens=10, **options)


def test_more_samples_buy_only_the_missing_ones(tmp_path):
    backend = Scripted(echo)
    path = tmp_path / "calls.jsonl"

    async def work(n):
        async with Port(backend, transcript=Transcript(path)) as port:
            return (await ask(port, n=n)).texts

    assert asyncio.run(work(5)) == [f"hello/{i}" for i in range(5)]
    assert asyncio.run(work(20)) == [f"hello/{i}" for i in range(20)]
    assert [(first, n) for _, first, n in backend.requests] == [(0, 5), (5, 15)]


@pytest.mark.parametrize("change", [{"scope": "b"}, {"temperature": 0.1}, {"seed": 3}, {"stop": ("\n",)}])
def test_whatever_decides_the_answer_is_in_the_key(change):
    backend = Scripted(echo)
    port = Port(backend)

    async def work():
        await ask(port)
        await ask(port, **change)

    asyncio.run(work())
    assert len(backend.requests) == 2


def test_the_same_question_twice_at_once_is_bought_once():
    backend = Scripted(echo)
    port = Port(backend)

    async def work():
        return await asyncio.gather(*(ask(port, n=3) for _ in range(4)))

    replies = asyncio.run(work())
    assert {tuple(reply.texts) for reply in replies} == {("hello/0", "hello/1", "hello/2")}
    assert len(backend.requests) == 1
    assert port.ledger.spent.calls == 3


def test_torn_line_costs_only_itself(tmp_path):
    path = tmp_path / "calls.jsonl"
    backend = Scripted(echo)

    async def work():
        async with Port(backend, transcript=Transcript(path)) as port:
            return [(await ask(port, text)).text for text in "abc"], port.transcript.torn

    asyncio.run(work())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 20])  # the third line lost its end
    backend.requests.clear()
    texts, torn = asyncio.run(work())
    assert (texts, torn, len(backend.requests)) == (["a/0", "b/0", "c/0"], 1, 1)
    backend.requests.clear()
    assert asyncio.run(work())[0] == texts and not backend.requests


def test_text_of_any_kind_survives_the_file(tmp_path):
    hostile = 'line\nbreak "quote" \\ \u2028 \x00 \ud800 x÷y ' + "9" * 5000
    path = tmp_path / "calls.jsonl"

    async def work(backend):
        async with Port(backend, transcript=Transcript(path)) as port:
            return (await ask(port)).text

    first = asyncio.run(work(Scripted(lambda _r, _i: hostile)))
    again = asyncio.run(work(Scripted(lambda _r, _i: "another")))
    assert first == again == hostile
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("limits", "fits"),
    [(Limits(calls=7), 7), (Limits(tokens=7 * 12), 7), (Limits(cost=7 * 12 * 0.01), 7), (Limits(calls=0), 0)],
)
def test_budgets_stop_before_they_are_passed(limits, fits):
    # 2 tokens in ("hello" is 5 letters), 10 reserved for the answer: 12 a call at most.
    backend = Scripted(lambda _r, _i: "x" * 40, dollars_per_token=0.01)
    port = Port(backend, limits=limits, concurrency=3)

    async def work():
        results = await asyncio.gather(*(ask(port, "hello", scope=str(i)) for i in range(12)), return_exceptions=True)
        return [result for result in results if not isinstance(result, BudgetSpent)]

    done = asyncio.run(work())
    assert len(done) == fits == len(backend.requests) == port.ledger.spent.calls
    assert port.ledger.held == Usage()
    if limits.cost is not None:
        assert port.ledger.spent.cost <= limits.cost + 1e-9


def test_room_that_a_call_gives_back_is_used_again():
    # Each call holds 12 tokens and uses 3: within 40 tokens there is room for 10 calls one after another, however many
    # are asked for at once.
    backend = Scripted(lambda _r, _i: "x")
    port = Port(backend, limits=Limits(tokens=40), concurrency=8)

    async def work():
        return await asyncio.gather(*(ask(port, scope=str(i)) for i in range(20)), return_exceptions=True)

    done = [result for result in asyncio.run(work()) if not isinstance(result, Exception)]
    assert len(done) == 10
    assert port.ledger.spent.tokens == 30


def test_a_resumed_run_stops_where_an_uninterrupted_one_does(tmp_path):
    path = tmp_path / "calls.jsonl"

    async def work(texts, limits):
        async with Port(Scripted(echo), transcript=Transcript(path), limits=limits, concurrency=1) as port:
            done = []
            for text in texts:
                try:
                    done.append((await ask(port, text)).text)
                except BudgetSpent:
                    break
            return done, port.ledger.spent, port.sent

    asyncio.run(work("abc", Limits()))
    done, spent, sent = asyncio.run(work("abcdefgh", Limits(calls=5)))
    assert done == ["a/0", "b/0", "c/0", "d/0", "e/0"]
    assert (spent.calls, sent.calls) == (5, 2)


@pytest.mark.parametrize("concurrency", [1, 3, 50])
def test_what_fits_into_a_meter_is_independent_of_concurrency(concurrency):
    port = Port(Scripted(echo), concurrency=concurrency)

    async def work():
        meter = Ledger(Limits(tokens=50))
        results = await asyncio.gather(*(ask(port, text, meter=meter) for text in "abcdefgh"), return_exceptions=True)
        return [getattr(result, "text", None) for result in results], meter.spent

    texts, spent = asyncio.run(work())
    assert texts == ["a/0", "b/0", "c/0", "d/0", None, None, None, None]  # 11 tokens held by each
    assert spent.tokens == 8


def test_concurrency_is_kept():
    now = most = 0

    class Slow(Scripted):
        async def complete(self, request, first, n):
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.002)
            now -= 1
            return await super().complete(request, first, n)

    port = Port(Slow(echo, max_n=1), concurrency=4)
    texts = asyncio.run(ask(port, n=20)).texts
    assert texts == [f"hello/{i}" for i in range(20)]
    assert most == 4


def test_retries_wait_longer_each_time_or_as_the_server_wishes():
    failures = [TransientFailure("busy"), TransientFailure("busy", wait=7.5), TransientFailure("busy")]
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    port = Port(Scripted(lambda _r, _i: failures.pop(0) if failures else "ok"), sleep=sleep, retry=Retry(base=1.0))
    assert asyncio.run(ask(port)).text == "ok"
    assert waits == [1.0, 7.5, 4.0]
    assert port.ledger.spent.calls == 1


def test_spent_attempts_end_the_call_and_give_its_room_back():
    port = Port(
        Scripted(lambda _r, _i: TransientFailure("busy")),
        retry=Retry(attempts=3),
        sleep=no_sleep,
        limits=Limits(calls=5),
    )
    with pytest.raises(CallFailed, match=r"3 times.*busy"):
        asyncio.run(ask(port))
    assert port.ledger.spent == Usage() == port.ledger.held


def test_attempts_that_may_have_been_billed_count_against_the_budget():
    backend = Scripted(lambda _r, _i: TransientFailure("cut off", billed=True), dollars_per_token=0.01)
    port = Port(backend, limits=Limits(cost=0.12 * 2), sleep=no_sleep)
    with pytest.raises(BudgetSpent, match="may have been billed"):
        asyncio.run(ask(port))
    # The first attempt and a second one fit; the room of a third would pass the limit.
    assert len(backend.requests) == 2
    assert port.ledger.spent.cost == pytest.approx(0.24)


def test_unknown_price_stays_unknown_and_refuses_a_budget_in_dollars():
    backend = Scripted(echo, dollars_per_token=None)
    port = Port(backend)
    assert asyncio.run(ask(port, n=2)).usage.cost is None
    assert (Usage(cost=None) + Usage(cost=1.0)).cost is None
    with pytest.raises(UserError, match="price of scripted is unknown"):
        Port(backend, limits=Limits(cost=1.0))


def test_a_prompt_counted_higher_by_the_provider_is_reserved_higher_from_then_on():
    class Surprising(Scripted):
        async def complete(self, request, first, n):
            completion = await super().complete(request, first, n)
            return type(completion)(completion.texts, completion.finishes, 200, completion.tokens_out)

    port = Port(Surprising(echo), limits=Limits(tokens=410), concurrency=1)

    async def work():
        for i in range(5):
            await ask(port, scope=str(i))

    with pytest.raises(BudgetSpent):
        asyncio.run(work())
    assert port.ledger.spent.tokens == 202  # the second would have brought 404 + at most 8 more


def test_replay_repeats_the_transcript_and_refuses_what_it_does_not_hold(tmp_path):
    path = tmp_path / "calls.jsonl"

    async def record():
        async with Port(Scripted(echo, dollars_per_token=0.5), transcript=Transcript(path)) as port:
            return await ask(port, n=3)

    recorded = asyncio.run(record())
    port = Port(TranscriptReplay([path]))
    replayed = asyncio.run(ask(port, n=2))
    assert replayed.texts == recorded.texts[:2]
    with pytest.raises(CallFailed, match=r"no sample 3 of this request"):
        asyncio.run(ask(port, n=4))


def test_the_transcript_tells_who_asked_what_and_what_came(tmp_path):
    path = tmp_path / "calls.jsonl"

    async def work():
        async with Port(Scripted(echo), transcript=Transcript(path)) as port:
            await ask(port, n=2, note={"puzzle": 917}, scope="s")

    asyncio.run(work())
    (record,) = map(json.loads, path.read_text().splitlines())
    assert record["request"]["messages"] == [{"role": "user", "content": "hello"}]
    assert record["note"] == {"puzzle": 917} and record["attempts"] == 1
    assert [choice["text"] for choice in record["choices"]] == ["hello/0", "hello/1"]
    assert [choice["tokens_in"] for choice in record["choices"]] == [2, 0]
