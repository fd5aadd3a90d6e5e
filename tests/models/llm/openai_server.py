"""A local server that speaks enough of OpenAI's chat completions to be asked, and fails on demand.

It proves plumbing (retries, budgets, resume), and its answers are never a row of any table.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What to do with the k-th request (0-based) that carries this body: None answers it, else one of the faults below.
Faults = Callable[[int, dict[str, Any]], str | None]


class OpenAIServer:
    """Serves on 127.0.0.1, a port of the system's choice. `answered` counts successful replies by their prompt."""

    def __init__(self, faults: Faults | None = None, *, prompt_tokens: int = 20, tokens_each: int = 5) -> None:
        self.faults = faults or (lambda _k, _body: None)
        self.prompt_tokens, self.tokens_each = prompt_tokens, tokens_each
        self.lock = threading.Lock()
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answered: Counter[str] = Counter()
        self.busy = self.most_busy = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    k = len(server.seen)
                    server.seen.append(body)
                    server.headers.append({name.lower(): value for name, value in self.headers.items()})
                    server.busy += 1
                    server.most_busy = max(server.most_busy, server.busy)
                try:
                    server.answer(self, k, body)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                finally:
                    with server.lock:
                        server.busy -= 1

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> OpenAIServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, k: int, body: dict[str, Any]) -> None:
        prompt = body["messages"][-1]["content"]
        n = body.get("n", 1)
        reply = {
            "id": f"r{k}",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {
                    "index": i,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": f"echo {prompt} #{i}"},
                }
                for i in range(n)
            ],
            "usage": {
                "prompt_tokens": self.prompt_tokens,
                "completion_tokens": self.tokens_each * n,
                "total_tokens": self.prompt_tokens + self.tokens_each * n,
            },
        }
        fault = self.faults(k, body)
        if fault in ("429", "500"):
            error = {"error": {"message": f"injected {fault}", "type": "injected", "code": fault}}
            headers = {"Retry-After": "0.2"} if fault == "429" else {}
            self.send(handler, int(fault), json.dumps(error).encode(), headers)
        elif fault == "hang":
            time.sleep(3)
        elif fault == "malformed":
            self.send(handler, 200, b'{"id": "r", "choices": [{"mess')
        elif fault == "html":
            self.send(handler, 200, b"<html>busy</html>", {"Content-Type": "text/html"})
        elif fault == "drip":  # a byte now and then: no single read ever times out
            data = json.dumps(reply).encode()
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            for byte in data:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(0.1)
        else:
            assert fault is None, fault
            time.sleep(0.01)
            with self.lock:
                self.answered[prompt] += 1
            self.send(handler, 200, json.dumps(reply).encode())

    @staticmethod
    def send(handler: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
