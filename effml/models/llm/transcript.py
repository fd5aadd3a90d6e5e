"""An append-only file of everything that was asked and answered: cache, resume and audit at once.

One JSON line per request, written whole before anyone sees its answer; a line torn by a kill is skipped, and what it
held is asked again. Samples are addressed by key (`Request.keys`), so raising n from 5 to 20 buys 15. Keys to
providers, headers and addresses of servers never come here: the store is only ever handed what it may keep.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from effml.models.llm.request import Choice, Request, Usage

VERSION = 1


class Transcript:
    """The answers bought so far, by key, backed by a JSON-lines file (or by memory alone when `path` is None).

    durable: fsync each line, for answers that cost money. torn: lines that could not be read.
    """

    def __init__(self, path: Path | str | None = None, *, durable: bool = False) -> None:
        self.path = Path(path) if path is not None else None
        self.durable = durable
        self.torn = 0
        self._choices: dict[str, Choice] = {}
        self._file: int | None = None
        if self.path is not None and self.path.exists():
            for record in self.records():
                self._take(record)

    def __len__(self) -> int:
        return len(self._choices)

    def __getitem__(self, key: str) -> Choice:
        return self._choices[key]

    def get(self, key: str) -> Choice | None:
        return self._choices.get(key)

    def records(self) -> Iterator[dict[str, Any]]:
        """Every readable line of the file, oldest first."""
        assert self.path is not None, "a transcript in memory has no lines"
        self.torn = 0
        with open(self.path, "rb") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                    record["choices"], record["model"]
                except (ValueError, KeyError, TypeError):
                    self.torn += 1
                    continue
                yield record

    def append(
        self,
        model: str,
        request: Request,
        first: int,
        choices: list[Choice],
        *,
        audit: dict[str, Any],
    ) -> None:
        """Keep samples `first`, `first + 1`, ... of `request` to `model`; they are on disk when this returns."""
        keys = request.keys(model, len(choices), first)
        record = {
            "v": VERSION,
            "model": model,
            "first": first,
            "request": request.canonical(),
            "choices": [
                {
                    "key": key,
                    "text": choice.text,
                    "finish": choice.finish,
                    "tokens_in": choice.usage.tokens_in,
                    "tokens_out": choice.usage.tokens_out,
                    "requests": choice.usage.requests,
                    "cost": choice.usage.cost,
                }
                for key, choice in zip(keys, choices, strict=True)
            ],
            **audit,
        }
        if self.path is not None:
            # ASCII, so that lone surrogates in a model's text survive the way to the file and back.
            self._write(json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n")
        self._take(record)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take(self, record: dict[str, Any]) -> None:
        for entry in record["choices"]:
            usage = Usage(1, entry["requests"], entry["tokens_in"], entry["tokens_out"], entry["cost"])
            self._choices.setdefault(entry["key"], Choice(entry["text"], entry["finish"], usage, cached=True))

    def _write(self, line: bytes) -> None:
        if self._file is None:
            assert self.path is not None
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                line = b"\n" + line  # the torn line of an earlier kill ends here
        view = memoryview(line)
        while view:
            view = view[os.write(self._file, view) :]
        if self.durable:
            os.fsync(self._file)
