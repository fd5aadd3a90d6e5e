"""A local server that answers as an OpenAI-compatible model would, from recorded answers and edited references.

For seeing the whole loop work without a key: real HTTP, real litellm, real budgets and transcripts, and a stand-in where
the model would be. Its answers are not a model's; rows made with it are marked simulated. It listens on 127.0.0.1 only.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from effml.models.rtl.mutate import mutate, rewrites
from effml.models.rtl.problem import Problem
from effml.models.rtl.proposers import damaged
from effml.models.rtl.source import clean, code_of

Answer = Callable[[list[dict[str, str]], int], str]
"""From messages and the request's seed to the text of a reply."""


class StandIn:
    """Serves chat completions on a port of the system's choice while it is open.

    Args:
        answer: what to say.
        failing: how many of the first requests get status 429, as a busy provider would.
    """

    name = "stand-in"

    def __init__(self, answer: Answer, failing: int = 0) -> None:
        self.requests = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                return

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server.requests += 1
                    busy = server.requests <= failing
                if busy:
                    self._reply(429, {"error": {"message": "busy", "type": "rate_limit"}})
                else:
                    self._reply(200, server.completion(body, answer))

            def _reply(self, status: int, content: dict[str, Any]) -> None:
                text = json.dumps(content).encode()
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "0")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(timeout=5)

    @staticmethod
    def completion(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
        texts = [answer(body["messages"], (body.get("seed") or 0) + i) for i in range(body.get("n") or 1)]
        used = sum(len(message["content"]) for message in body["messages"]) // 4
        made = sum(len(text) for text in texts) // 4
        return {
            "id": "stand-in",
            "object": "chat.completion",
            "created": 0,
            "model": body.get("model", "stand-in"),
            "choices": [
                {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
                for i, text in enumerate(texts)
            ],
            "usage": {"prompt_tokens": used, "completion_tokens": made, "total_tokens": used + made},
        }


def script(
    problems: Iterable[Problem], answers: Mapping[str, list[str]] | None = None, seed: int = 0, damage: int = 2
) -> Answer:
    """How the stand-in answers, a function of conversation and seed alone, so that a resumed run hears the same.

    First answer: a recorded one where there is one, else the reference with `damage` faults. Corrections: fewer faults each
    time, by the draw of the conversation, so that some trials need one and some never get there. Rewrites: one random
    rule on the design it is shown. Prose stands around the code, as models put it.
    """
    by_specification = {problem.specification.strip(): problem for problem in problems}

    def answer(messages: list[dict[str, str]], sample: int) -> str:
        rng = np.random.default_rng([seed, sample, zlib.crc32(json.dumps(messages, sort_keys=True).encode())])
        problem = next(p for s, p in by_specification.items() if any(m["content"].startswith(s) for m in messages))
        reference = clean(problem.reference)
        said = messages[-1]["content"]
        if "Rewrite it" in said:
            shown = code_of(messages[-2]["content"], problem.top)
            return f"The rewritten design:\n```verilog\n{mutate(shown, rewrites(shown), rng)[0]}\n```"
        if "Correct the design" in said:
            return f"I see the mistake.\n```verilog\n{damaged(reference, int(rng.integers(0, 3)), rng)}\n```\nIt should pass now."
        given = (answers or {}).get(problem.name)
        first = given[int(rng.integers(len(given)))] if given else damaged(reference, damage, rng)
        return f"Here is the design.\n```verilog\n{first}\n```"

    return answer
