"""One asynchronous port to language models, whoever serves them. It knows no task.

    from effml.models.llm import Ledger, Limits, connect, system, user

    async with connect("ollama/llama3.2", transcript="calls.jsonl", limits=Limits(cost=1.0), concurrency=8) as port:
        reply = await port.sample(
            [system("You write Verilog."), user("An 8-bit adder.")],
            n=5, temperature=0.7, max_tokens=2048, stop=(), seed=0,
            scope="adder_8bit/trial 1",      # samples are shared within a scope, never across
            meter=Ledger(Limits(tokens=20_000)),  # optional: this item's own budget
            note={"design": "adder_8bit", "round": 2},  # optional: for whoever reads the transcript
        )
    reply.texts, reply.text, reply.usage (calls, requests, tokens_in, tokens_out, cost or None), reply.choices[i].finish

Back ends (`Backend`): `LiteLLM` (every provider, Ollama, OpenAI-compatible servers), `TranscriptReplay` (our own
transcripts), `Recording` (a third party's), `Scripted` (a function, for tests), and any object with the same five
members, such as a model trained here; `Port(backend, transcript=Transcript(path), ...)` wraps one.

The transcript is cache, resume and audit: started again after a kill, the same work asks for nothing it already has.
Budgets are reserved before a call and settle after it; `BudgetSpent` means that nothing was sent. What an earlier
attempt of the same work bought counts, so a resumed run stops where an uninterrupted one would. Retries are the
port's alone; `CallFailed` means that they are used up. An unknown price is None and stays None. Keys are read by the
provider's library from the environment and are never stored.
"""

from effml.models.llm.backend import Backend, CallFailed, TransientFailure
from effml.models.llm.budget import BudgetSpent, Ledger, Limits
from effml.models.llm.connect import connect
from effml.models.llm.port import Port, Retry
from effml.models.llm.replay import Recording, TranscriptReplay
from effml.models.llm.request import Choice, Completion, Message, Reply, Request, Usage, assistant, system, user
from effml.models.llm.scripted import Scripted
from effml.models.llm.transcript import Transcript

__all__ = [
    "Backend",
    "BudgetSpent",
    "CallFailed",
    "Choice",
    "Completion",
    "Ledger",
    "Limits",
    "Message",
    "Port",
    "Recording",
    "Reply",
    "Request",
    "Retry",
    "Scripted",
    "Transcript",
    "TranscriptReplay",
    "TransientFailure",
    "Usage",
    "assistant",
    "connect",
    "system",
    "user",
]
