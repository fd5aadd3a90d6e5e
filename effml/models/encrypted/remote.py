"""A server process as its client's machine sees it: started, asked, ended. What goes between them are files and one line each."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from effml.errors import MissingRequirement, UserError

ROOT = Path(__file__).resolve().parents[3]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ServerFailed(RuntimeError):
    """The server ended, or did not answer in time; the message has its last words."""


class RemoteServer:
    """`with RemoteServer(model, folder, options) as server:`; `server.ask({...})` for each request.

    Args:
        model: a network's .npz file.
        folder: where its offer, `offer.json`, appears.
        options: words for the server's command line.
        timeout: seconds for any one answer.
    """

    def __init__(self, model: Path, folder: Path, options: Sequence[str] = (), timeout: float = 900.0) -> None:
        self.offer, self.timeout = folder / "offer.json", timeout
        environment = dict(os.environ, **dict.fromkeys(THREADS, "1"))
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        words = [sys.executable, "-m", "effml.models.encrypted.server", str(model), str(self.offer), *options]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=environment
        )
        self._pending = b""
        try:
            self.verdict: str = self._reply()["ready"]
        except BaseException:
            self.close()
            raise

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The server's answer.

        Raises:
            UserError, MissingRequirement: what the server refused, in its words.
            ServerFailed: it died, failed, or took longer than `timeout`.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise ServerFailed(f"the server has ended: {self._last_words()}") from None
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        told = json.loads(self._line())
        if "error" in told:
            kinds: dict[int, type[Exception]] = {UserError.code: UserError, MissingRequirement.code: MissingRequirement}
            raise kinds.get(told["code"], ServerFailed)(told["error"])
        return dict(told)

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        deadline = time.monotonic() + self.timeout
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not ready.select(max(0.0, deadline - time.monotonic())):
                    self.close()
                    raise ServerFailed(f"the server did not answer within {self.timeout:g} s and was stopped")
                found = os.read(self.process.stdout.fileno(), 1 << 16)
                if not found:
                    raise ServerFailed(f"the server has ended: {self._last_words()}")
                self._pending += found
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _last_words(self) -> str:
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip().splitlines()
        return words[-1] if words else "it said nothing"

    def close(self) -> None:
        """End the server: its input closes; if it computes on, it is stopped with its workers."""
        with suppress(BrokenPipeError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._errors.close()

    def __enter__(self) -> RemoteServer:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()
