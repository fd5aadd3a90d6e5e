"""Any provider that litellm speaks: hosted models, Ollama, and every OpenAI-compatible server.

litellm translates and nothing more: its retries, cache, budgets and telemetry stay off, because the port does that in
one place. It is imported on first use (seconds), with its price list taken from the package and not from the network.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from effml.errors import MissingRequirement, UserError
from effml.models.llm.backend import CallFailed, TransientFailure
from effml.models.llm.request import Completion, Message, Request

WITHOUT_A_KEY = (
    "Without any key: a local model by `ollama pull llama3.2`, named ollama/llama3.2, or any OpenAI-compatible server "
    "(`vllm serve MODEL`, `llama-server -m FILE.gguf`), named openai/NAME, with its address as api_base."
)


def load_litellm() -> Any:
    """The litellm module, set up to stay off the network except for completions."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its import downloads a price list otherwise
    try:
        import litellm
    except ImportError as error:
        raise MissingRequirement(
            "litellm is not installed, and hosted models are reached through it: pip install 'effml[systems]'."
        ) from error
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm


class LiteLLM:
    """One model by its litellm name (`gpt-4o`, `anthropic/...`, `ollama/llama3.2`, `openai/NAME` with `api_base`).

    prices: dollars per million tokens, in and out, for models that litellm has no price of. timeout: seconds for one
    attempt in all, slow streams included. Raises UserError for a name without provider; MissingRequirement for an
    absent key (naming its variable and the local alternatives) and for a local server that does not answer.
    """

    def __init__(
        self,
        model: str,
        *,
        api_base: str | None = None,
        prices: tuple[float, float] | None = None,
        timeout: float = 120.0,
        samples_per_request: int = 20,
    ) -> None:
        self._litellm = load_litellm()
        self.name = model
        self.identity = model if api_base is None else f"{model} at {_public_address(api_base)}"
        self.timeout: float | None = timeout
        self.api_base = api_base
        self._prices = prices
        try:
            bare, self.provider, _, default_base = self._litellm.get_llm_provider(model, api_base=api_base)
        except Exception as error:
            raise UserError(
                f"litellm knows no provider for model {model!r}: write provider/model, such as openai/gpt-4o-mini, "
                "anthropic/claude-sonnet-4-5, ollama/llama3.2, or openai/NAME with api_base for a server of your own."
            ) from error
        self._listed_price = self._find_price(model, bare)
        supported = self._litellm.get_supported_openai_params(bare, custom_llm_provider=self.provider) or []
        self.max_n = samples_per_request if "n" in supported else 1
        self._sends_seed = "seed" in supported
        self._require_key()
        self._require_server(api_base or os.environ.get("OLLAMA_API_BASE") or default_base)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return int(self._litellm.token_counter(model=self.name, messages=list(messages)))

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        if self._prices is not None:
            return (tokens_in * self._prices[0] + tokens_out * self._prices[1]) / 1e6
        if self._listed_price is None:
            return None
        cost_in, cost_out = self._litellm.cost_per_token(
            model=self._listed_price, prompt_tokens=tokens_in, completion_tokens=tokens_out
        )
        return float(cost_in + cost_out)

    async def complete(self, request: Request, first: int, n: int) -> Completion:
        arguments: dict[str, Any] = {"n": n} if n > 1 else {}
        if request.temperature is not None:
            arguments["temperature"] = request.temperature
        if request.stop:
            arguments["stop"] = list(request.stop)
        if request.seed is not None and self._sends_seed:
            arguments["seed"] = request.seed + first  # else samples 0 and 1, bought apart, would be the same text
        if self.api_base is not None:
            arguments["api_base"] = self.api_base
            if self.provider == "openai":
                arguments["api_key"] = os.environ.get("OPENAI_API_KEY") or "none"
        try:
            reply = await self._litellm.acompletion(
                model=self.name,
                messages=[dict(message) for message in request.messages],
                max_tokens=request.max_tokens,
                timeout=self.timeout,
                max_retries=0,
                num_retries=0,
                **arguments,
            )
            return self._read(reply)
        except Exception as error:
            raise self._judge(error) from error

    async def close(self) -> None:
        close = getattr(self._litellm, "close_litellm_async_clients", None)
        if close is not None:
            await close()

    def _read(self, reply: Any) -> Completion:
        choices = reply.choices
        usage = getattr(reply, "usage", None)
        if not choices or usage is None:
            raise TransientFailure("the reply holds no choices or no token counts", billed=True)
        texts = [choice.message.content or "" for choice in choices]
        # A provider reports one sum over the choices; it is divided by length, so that the parts add up to it.
        total = int(usage.completion_tokens or 0)
        weights = [len(text) + 1 for text in texts]
        marks = [round(total * sum(weights[:k]) / sum(weights)) for k in range(len(texts) + 1)]
        parts = [after - before for before, after in itertools.pairwise(marks)]
        finishes = [str(choice.finish_reason or "stop") for choice in choices]
        return Completion(texts, finishes, int(usage.prompt_tokens or 0), parts)

    def _judge(self, error: Exception) -> Exception:
        """What litellm raised, as one of the port's failures; the message is freed of secrets first."""
        if isinstance(error, TransientFailure):
            return error
        said = without_secrets(f"{type(error).__name__}: {error}")[:500]
        status = getattr(error, "status_code", None)
        kinds = self._litellm.exceptions
        if isinstance(error, kinds.AuthenticationError | kinds.PermissionDeniedError) or status in (401, 403):
            return MissingRequirement(f"{self.name} refuses the key: {said}")
        if isinstance(error, kinds.NotFoundError) or status == 404:
            return UserError(f"{self.name} is not served there: {said}")
        if isinstance(error, kinds.Timeout):
            return TransientFailure(said, billed=True)
        if status in (400, 402, 413, 422) and "json" not in said.lower():
            return CallFailed(f"{self.name} refuses the request: {said}")
        return TransientFailure(said, wait=_retry_after(error))

    def _find_price(self, *names: str) -> str | None:
        """The name under which litellm's list holds a price in so many words; a missing field there is not a zero."""
        if self.provider in ("ollama", "ollama_chat", "lm_studio", "llamafile"):
            self._prices = self._prices or (0.0, 0.0)  # they run on the user's own machine
        for name in names:
            entry = self._litellm.model_cost.get(name, {})
            if "input_cost_per_token" in entry and "output_cost_per_token" in entry:
                return name
        return None

    def _require_key(self) -> None:
        if self.api_base is not None and self.provider == "openai":
            return
        missing = self._litellm.validate_environment(self.name).get("missing_keys", [])
        missing = [variable for variable in missing if not variable.startswith("OLLAMA")]
        if missing:
            named = " and ".join(missing) if self.provider in ("azure", "bedrock") else " or ".join(missing)
            raise MissingRequirement(f"{self.name} needs a key: set {named}. {WITHOUT_A_KEY}")

    def _require_server(self, address: str | None) -> None:
        """A local server is tried once before any work, so that its absence is not met after six patient retries."""
        if address is None:
            return
        parts = urlsplit(address)
        if parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            return
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname, port), timeout=2).close()
        except OSError as error:
            start = "`ollama serve`" if self.provider.startswith("ollama") else "the server"
            raise MissingRequirement(
                f"Nothing answers at {_public_address(address)}, where {self.name} should be: start {start} first. "
                f"{WITHOUT_A_KEY}"
            ) from error


def without_secrets(text: str) -> str:
    """`text` with the values of key-like environment variables, bearer tokens and key-shaped words blotted out."""
    for name, value in os.environ.items():
        if re.search(r"KEY|TOKEN|SECRET|PASSWORD", name) and len(value) >= 6:
            text = text.replace(value, "***")
    text = re.sub(r"\b(sk|pk|rk|key|gsk|hf|AIza)[-_][A-Za-z0-9_\-*]{6,}", "***", text)
    return re.sub(r"(?i)bearer\s+\S+", "Bearer ***", text)


def _public_address(address: str) -> str:
    """The address without user, password and query."""
    parts = urlsplit(address)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def _retry_after(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return float(headers.get("retry-after") or "")
    except (TypeError, ValueError):
        return None
