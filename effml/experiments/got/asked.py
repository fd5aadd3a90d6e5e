"""Who is asked and what about: the problems of a run, the dialect, and the port to the model. Knows no method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from effml.errors import MissingRequirement, UserError
from effml.experiments.core.places import conf_roots
from effml.experiments.data import places
from effml.experiments.got.config import REPLAY, TINY, Config
from effml.models.llm import Limits, Port, Retry, Transcript, connect
from effml.models.thoughts.game24 import Game24
from effml.models.thoughts.polynomial import Polynomials
from effml.models.thoughts.prompts import Dialect, read_dialect
from effml.models.thoughts.sequence import Sequences
from effml.models.thoughts.task import Problem, Task

if TYPE_CHECKING:
    from effml.experiments.core.run import Run

TASKS: dict[str, Any] = {"game24": Game24, "polynomial": Polynomials, "sequence": Sequences}


def problems(config: Config, run: Run) -> tuple[Task, list[Problem]]:
    """The task and its problems, in order."""
    if config.problem is not None:
        task = TASKS[config.dataset.task or guess(config.problem)]()
        return task, [task.problem("mine", config.problem)]
    loader = {name: getattr(config.dataset, name) for name in ("path", "first", "last")}
    loaded = run.load(config.dataset.name, **{name: value for name, value in loader.items() if value is not None})
    named = config.dataset.name.removesuffix("-easy").removesuffix("-hard").removesuffix("s")
    task = TASKS[config.dataset.task or (named if named in TASKS else guess(loaded[0].text))]()
    return task, [task.problem(puzzle.id, puzzle.text) for puzzle in loaded[: config.limit]]


def guess(problem: str) -> str:
    """The task of a problem written by hand: it names a(n), or x, or bare numbers."""
    if "a" in problem:
        return "sequence"
    return "polynomial" if "x" in problem or problem.startswith("roots") else "game24"


def dialects(config: Config) -> dict[str, Dialect]:
    """The words for every task, from conf/experiment/got/prompts."""
    name = config.prompts or ("tiny" if config.model == TINY else "chat")
    for root in conf_roots():
        path = root / "experiment" / "got" / "prompts" / f"{name}.yaml"
        if path.is_file():
            try:
                data = yaml.safe_load(path.read_text(encoding="utf-8"))
                return {task: read_dialect(data, task) for task in TASKS if task in data}
            except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
                raise UserError(f"the prompts in {path.name} cannot be used: {error}") from error
    known = sorted(path.stem for root in conf_roots() for path in root.glob("experiment/got/prompts/*.yaml"))
    raise UserError(f"prompts={name}: there are {', '.join(known)}")


def open_port(config: Config, run: Run, words: dict[str, Dialect], task: Task, tested: list[Problem]) -> Port:
    """The port to the model of the config. A model that is not ours keeps its transcript outside the run, so that the
    same command, started again after a kill, asks for nothing twice."""
    limits = Limits(config.limits.calls, config.limits.tokens, config.limits.cost)
    if config.model == TINY:
        from effml.experiments.got.checkpoint import tiny_model

        own = config.problem is not None or config.dataset.name == "file"
        if own:
            run.log("your own problems are not kept out of the small model's training: it may have met them there")
        model = tiny_model(config, run, words, task.name, [] if own else [problem.node for problem in tested])
        return Port(model, transcript=Transcript(), limits=limits, concurrency=1_000_000)
    provider = config.provider
    prices = None if provider.price_in is None else (provider.price_in, float(provider.price_out or 0.0))
    path = transcript_path(config)
    try:
        port = connect(
            config.model,
            transcript=path,
            limits=limits,
            concurrency=provider.concurrency,
            retry=Retry(attempts=provider.attempts),
            api_base=provider.api_base,
            prices=prices,
            timeout=provider.timeout,
        )
    except MissingRequirement as error:
        raise MissingRequirement(
            f"{error} Here: `effml run got model=ollama/llama3.2`, `effml run got model=openai/NAME "
            "provider.api_base=http://127.0.0.1:8000/v1`, or the small model trained here, `effml run got model=tiny`."
        ) from error
    if config.model != REPLAY:
        run.log(f"transcript: {path.name}, {len(port.transcript)} answers at hand")
    return port


def transcript_path(config: Config) -> Path:
    if config.provider.transcript is not None:
        return Path(config.provider.transcript).expanduser()
    safe = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in config.model)
    return places.cache() / "transcripts" / f"got-{safe}.jsonl"
