"""From a model's name to a port that is ready to be asked."""

from __future__ import annotations

from pathlib import Path

from effml.models.llm.budget import Limits
from effml.models.llm.port import Port, Retry
from effml.models.llm.remote import LiteLLM
from effml.models.llm.replay import TranscriptReplay
from effml.models.llm.transcript import Transcript


def connect(
    model: str,
    *,
    transcript: Path | str | None = None,
    limits: Limits | None = None,
    concurrency: int = 8,
    retry: Retry | None = None,
    api_base: str | None = None,
    prices: tuple[float, float] | None = None,
    timeout: float = 120.0,
) -> Port:
    """A port to `model`: a litellm name, or "replay" for what `transcript` holds and nothing else.

    transcript: the JSON-lines file to keep answers in (fsynced), None for memory. See LiteLLM for `api_base`, `prices`,
    `timeout`. Raises UserError for an unknown name and for a budget in dollars without a known price,
    MissingRequirement for an absent key, server or transcript.
    """
    if model == "replay":
        replay = TranscriptReplay([] if transcript is None else [transcript])
        return Port(replay, limits=limits, concurrency=concurrency, retry=Retry(attempts=1))
    backend = LiteLLM(model, api_base=api_base, prices=prices, timeout=timeout)
    store = Transcript(transcript, durable=True)
    return Port(backend, transcript=store, limits=limits, concurrency=concurrency, retry=retry)
