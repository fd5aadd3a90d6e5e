"""The tiny model as a back end of the language-model port: questions that come together are answered in one batch."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from typing import NamedTuple

from effml.models.llm import CallFailed, Completion, Message, Request
from effml.models.thoughts.tiny.generate import Row, generate
from effml.models.thoughts.tiny.gpt import GPT
from effml.models.thoughts.tiny.tokens import END, Vocabulary

BATCH = 512  # rows


class Waiting(NamedTuple):
    row: Row
    answer: asyncio.Future[list[int]]


class TinyModel:
    """Answers on this machine, for nothing. Every sample's draws come from the request and its index, so that an answer
    depends on no other question. `identity` should name the checkpoint."""

    max_n = 1000
    timeout: float | None = None

    def __init__(self, model: GPT, vocabulary: Vocabulary, identity: str, name: str = "tiny") -> None:
        self.name, self.identity = name, identity
        self.model = model
        self.exact = copy.deepcopy(model).cpu().double()
        self.vocabulary = vocabulary
        self._waiting: list[Waiting] = []
        self._worker: asyncio.Task[None] | None = None

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(self.vocabulary.encode(messages[-1]["content"]))

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        return 0.0

    async def complete(self, request: Request, first: int, n: int) -> Completion:
        prompt = tuple(self.vocabulary.encode(request.messages[-1]["content"]))
        if len(prompt) + request.max_tokens > self.model.shape.context:
            raise CallFailed(
                f"A prompt of {len(prompt)} tokens and {request.max_tokens} for the answer do not fit into the tiny "
                f"model's {self.model.shape.context}: it was trained on smaller problems."
            )
        loop = asyncio.get_running_loop()
        temperature = 1.0 if request.temperature is None else request.temperature
        mine = []
        for key in request.keys(self.identity, n, first):
            row = Row(prompt, request.max_tokens, temperature, int(key, 16))
            mine.append(Waiting(row, loop.create_future()))
        self._waiting.extend(mine)
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        tokens = [await waiting.answer for waiting in mine]
        end = self.vocabulary.ids[END]
        texts = [self.vocabulary.decode(each[:-1] if each[-1] == end else each) for each in tokens]
        finishes = ["stop" if each[-1] == end else "length" for each in tokens]
        return Completion(texts, finishes, len(prompt), [len(each) for each in tokens])

    async def _work(self) -> None:
        """Wait until everyone who is going to ask has asked, then answer in batches of like length."""
        while self._waiting:
            before = -1
            while before != len(self._waiting):
                before = len(self._waiting)
                for _ in range(4):
                    await asyncio.sleep(0)
            taken, self._waiting = self._waiting, []
            taken.sort(key=lambda waiting: (waiting.row.max_tokens, len(waiting.row.prompt), waiting.row.prompt))
            for place in range(0, len(taken), BATCH):
                batch = taken[place : place + BATCH]
                try:
                    texts = generate(self.model, self.exact, [each.row for each in batch], self.vocabulary.ids[END])
                except Exception as error:
                    for each in taken[place:]:
                        each.answer.set_exception(error)
                    raise
                for each, tokens in zip(batch, texts, strict=True):
                    if not each.answer.done():
                        each.answer.set_result(tokens)
