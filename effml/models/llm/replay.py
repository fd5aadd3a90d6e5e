"""A back end that only repeats what was recorded; what was not recorded is an error, never an invention.

Two sources: the product's own transcripts (any model's, bought once and replayed for ever), and recordings of third
parties, handed in as a table from (prompt, sample index) to text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from effml.errors import MissingRequirement, UserError
from effml.models.llm.backend import CallFailed
from effml.models.llm.request import Choice, Completion, Message, Request
from effml.models.llm.transcript import Transcript


class TranscriptReplay:
    """Replays transcripts written by this port, under the identity of the model that wrote them, so that keys fit."""

    max_n = 1_000_000
    timeout: float | None = None

    def __init__(self, paths: Iterable[Path | str]) -> None:
        self._choices: dict[str, Choice] = {}
        models = set()
        for path in paths:
            if not Path(path).is_file():
                raise MissingRequirement(f"There is no transcript {path}: name one that an earlier run wrote.")
            transcript = Transcript(path)
            for record in transcript.records():
                models.add(record["model"])
                for entry in record["choices"]:
                    choice = transcript.get(entry["key"])
                    assert choice is not None
                    self._choices[entry["key"]] = choice
        if len(models) != 1:
            raise UserError(f"A replay needs transcripts of exactly one model; these hold {sorted(models) or 'none'}.")
        self.identity = models.pop()
        self.name = f"{self.identity} (replayed)"

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return 0  # nothing is reserved: a replay sends nothing

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        return 0.0

    async def complete(self, request: Request, first: int, n: int) -> Completion:
        found = [self._choices.get(key) for key in request.keys(self.identity, n, first)]
        if None in found:
            raise CallFailed(
                f"The transcript holds no sample {first + found.index(None)} of this request "
                f"(scope {request.scope!r}): the run asks for something that was not recorded."
            )
        choices = [choice for choice in found if choice is not None]
        return Completion(
            [choice.text for choice in choices],
            [choice.finish for choice in choices],
            sum(choice.usage.tokens_in for choice in choices),
            [choice.usage.tokens_out for choice in choices],
        )


class Recording:
    """Replays a third party's recording: `texts[prompt]` are the samples of the conversation's last message.

    Token counts of such recordings are known only in sum, if at all, so that they count as 0 here.
    """

    max_n = 1_000_000
    timeout: float | None = None

    def __init__(self, name: str, texts: Mapping[str, Sequence[str]]) -> None:
        self.name = self.identity = name
        self.texts = texts

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return 0

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        return None

    async def complete(self, request: Request, first: int, n: int) -> Completion:
        samples = self.texts.get(request.messages[-1]["content"], ())
        if first + n > len(samples):
            raise CallFailed(
                f"{self.name} holds {len(samples)} samples of this prompt, and sample {first + n - 1} was asked for."
            )
        return Completion(samples[first : first + n], ["stop"] * n, 0, [0] * n)
