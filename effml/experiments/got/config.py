"""Graph of Thoughts (Lei et al., arXiv 2308.08614): what can be set, what is measured, which tables it feeds."""

from __future__ import annotations

from dataclasses import dataclass

from effml.errors import UserError
from effml.experiments.core.spec import Cost, Dataset, Experiment, Metric, Plot, Table, group, option

METHODS = ("io", "cot", "io-sc", "cot-sc", "cot-checked", "tot", "got-forward", "got-backward")
CHECKED = ("cot-checked", "got-forward", "got-backward")
TASKS = ("game24", "polynomial", "sequence")
TINY, REPLAY = "tiny", "replay"


@dataclass
class Puzzles(Dataset):
    first: int | None = option(None, "with dataset=game24: the first rank tested", low=1)
    last: int | None = option(None, "with dataset=game24: the last rank tested", low=1)
    task: str | None = option(None, "what the problems of your own file are", choices=TASKS)


@dataclass
class Budget:
    """Per problem and method, the same for all."""

    tokens: int | None = option(
        None, "tokens in and out that a method may use on one problem, 0 for any number; default, by the dialect", low=0
    )
    most: int = option(1000, "answers drawn by a vote or by checked chains at most", low=1)
    checks: int = option(3, "times the model is asked to check a move; all must agree", low=1)
    votes: int = option(3, "opinions asked of each state", low=1)
    samples: int | None = option(None, "replies drawn to expand a node; default, what the dialect says", low=1)
    beam: int = option(5, "texts that Tree of Thoughts keeps in each layer", low=1)
    width: int = option(5, "nodes that Graph of Thoughts expands at once", low=1)
    rounds: int = option(3, "expansions of one node at most", low=1)
    nodes: int = option(500, "nodes of one graph at most", low=1)
    depth: int = option(8, "moves from the target at most", low=1)


@dataclass
class Limits:
    """Over the whole run; reserved before each call. An unknown price refuses a limit in dollars."""

    cost: float | None = option(None, "dollars", low=0.0, unit="$")
    calls: int | None = option(None, "completions", low=0)
    tokens: int | None = option(None, "tokens in and out", low=0)


@dataclass
class Provider:
    """How a model that is not ours is reached."""

    api_base: str | None = option(None, "address of an OpenAI-compatible server")
    transcript: str | None = option(None, "file that keeps every call; default, one per model in the user's cache")
    concurrency: int = option(8, "requests under way at once", low=1)
    timeout: float = option(120.0, "one attempt at most, slow streams included", low=0.1, unit="s")
    attempts: int = option(6, "attempts of one request", low=1)
    price_in: float | None = option(None, "dollars per million prompt tokens, where no list knows the price", low=0.0)
    price_out: float | None = option(None, "dollars per million completion tokens", low=0.0)


@dataclass
class Tiny:
    """The small model trained here. Its trace mix: within a task, equal tokens for each kind of question."""

    tasks: str = option(
        "asked", "learn the task at hand alone, or all three with equal shares of the tokens", choices=("asked", "all")
    )
    tokens: int = option(6_000_000, "tokens read in training", low=1000)
    pool: float = option(0.5, "share of them drawn anew; the rest repeats it", low=0.01, high=1.0)
    batch_tokens: int = option(1024, "tokens of one step", low=64)
    rate: float = option(0.02, "highest learning rate of the blocks' matrices (Muon)", low=0.0)
    embedding_rate: float = option(2e-3, "highest learning rate of everything else (AdamW)", low=0.0)
    layers: int = option(3, "blocks", low=1)
    heads: int = option(4, "attention heads", low=1)
    width: int = option(96, "width of the stream", low=8)
    seed: int = option(0, "seed of weights and examples; the run's own seed moves only what is sampled", low=0)


@dataclass
class Config:
    suite: str = option("live", "what to run", choices=("live", "replay", "checker", "all"))
    model: str = option(TINY, f"{TINY}, {REPLAY} (what `provider.transcript` holds), or any litellm name")
    dataset: Puzzles = group(Puzzles)
    problem: str | None = option(None, "one problem of your own, such as '3 3 8 8', in place of the data set")
    limit: int | None = option(None, "only the first so many problems", low=1)
    methods: list[str] = option(list(METHODS), "methods compared", choices=METHODS)
    checkers: list[str] = option(["own", "exact"], "who checks moves", choices=("own", "exact"))
    budget: Budget = group(Budget, "equal for all methods")
    limits: Limits = group(Limits, "hard limits of the whole run")
    provider: Provider = group(Provider)
    tiny: Tiny = group(Tiny)
    prompts: str | None = option(None, "dialect, a file in conf/experiment/got/prompts; default, by the model")

    def check(self) -> None:
        if self.tiny.width % (2 * self.tiny.heads):
            raise UserError(f"tiny.width={self.tiny.width} must be a multiple of twice tiny.heads={self.tiny.heads}")
        if (self.provider.price_in is None) != (self.provider.price_out is None):
            raise UserError("provider.price_in and provider.price_out are given together or not at all")
        if self.model == REPLAY and self.provider.transcript is None and self.suite != "replay":
            raise UserError("model=replay replays a transcript: name its file by provider.transcript=...")
        if self.suite in ("replay", "all") and self.problem is not None:
            raise UserError("problem=... is for suite=live or suite=checker: the recorded runs have their own problems")


def _cost(config: Config) -> Cost | None:
    if config.suite == "replay":
        return Cost(seconds=15, why="judging 20,500 recorded answers")
    if config.model != TINY:
        return None
    training = config.tiny.tokens / 18_000
    asked = (config.limit or 100) * (config.budget.tokens or 4000) * 0.6 * 11 / 25_000
    return Cost(
        seconds=training + asked,
        memory_bytes=1.5e9,
        why=f"{training / 60:.0f} min of it train the model, once; it is kept in the user's cache",
    )


SHARE = "share of the problems that the exact judge finds solved"

EXPERIMENT = Experiment(
    name="got",
    title="Graph of Thoughts: reasoning search on real models at equal budget",
    paper="Lei, Lin, Liao, Ding, arXiv 2308.08614",
    config=Config,
    datasets=("game24-hard", "game24", "polynomials", "polynomials-easy", "sequences", "sequences-easy"),
    metrics=(
        Metric("accuracy", "1", SHARE, better="higher"),
        Metric("low", "1", "lower end of the 95 % Wilson interval of the accuracy", better="higher"),
        Metric("high", "1", "upper end of the 95 % Wilson interval of the accuracy", better="higher"),
        Metric("problems", "", "problems finished within the run's limits"),
        Metric("any_kept", "1", "share solved by any of the answers kept, not only the first", better="higher"),
        Metric("answered", "1", "share of the problems given an answer, right or wrong"),
        Metric("calls", "", "completions used on a problem, mean", better="lower"),
        Metric("tokens", "", "tokens in and out used on a problem, mean", better="lower"),
        Metric("cost", "$", "dollars used on a problem, mean; blank where the price is unknown", better="lower"),
        Metric("accuracy_at", "1", "accuracy if every method had been stopped at this many tokens", better="higher"),
        Metric("low_at", "1", "lower end of its 95 % Wilson interval", better="higher"),
        Metric("high_at", "1", "upper end of its 95 % Wilson interval", better="higher"),
        Metric("calls_to", "", "completions a problem until the accuracy of the vote at full budget", better="lower"),
        Metric("gain", "points", "accuracy of Graph of Thoughts less that of the baseline, in percentage points"),
        Metric("disagreements", "", "answers on which judge and record differ", better="lower"),
        Metric("answers", "", "answers judged"),
        Metric("share", "1", "share of the cases"),
        Metric("precision", "1", "share of what was accepted that is right", better="higher"),
        Metric("recall", "1", "share of what is right that was accepted", better="higher"),
        Metric("let_through", "1", "share of what is wrong that was accepted", better="lower"),
        Metric("turned_away", "1", "share of what is right that was refused", better="lower"),
        Metric("predicted_through", "1", "let_through of one check to the power k"),
        Metric("predicted_away", "1", "1 - (1 - turned_away of one check) to the power k"),
        Metric("value_true", "", "mean value given to states from which the target can be reached"),
        Metric("value_false", "", "mean value given to states from which it cannot"),
        Metric("cases", "", "cases judged"),
    ),
    tables=(
        Table(
            id="recorded",
            title="GPT-4 on the game of 24, ranks 901-1000: recorded answers, judged again",
            rows=("method", "rule"),
            metrics=("accuracy", "low", "high", "answers", "disagreements"),
            fill="effml run got suite=replay",
            digits={"accuracy": 4, "low": 3, "high": 3, "answers": 5, "disagreements": 1},
            order={"method": ["IO", "CoT", "CoT-SC", "ToT", "GoT"]},
            note="Answers of 2023, not run today. The ToT figure of 74 % was published from a run that was lost; the "
            "recorded one is its authors' repetition, and both count any of the five kept lines. The rule by which GoT's "
            "97 % was counted is not stated.",
        ),
        Table(
            id="evaluator",
            title="What a checker can do on GPT-4's own steps and states (recorded)",
            rows=("what", "states"),
            metrics=("precision", "recall", "value_true", "value_false", "share", "cases"),
            fill="effml run got suite=replay",
            digits=3,
            note="Opinions: three of each state, accepted when one says likely, or sure; share: of states from which 24 "
            "can be reached, the exact truth. Steps: the share that a strict program finds malformed or wrong. "
            "Selections: the share of texts kept by this product's ToT, fed the recorded replies, that differ from the "
            "recorded ones.",
        ),
        Table(
            id="tiny",
            title="A small model of our own, trained here, on problems it never saw: equal token budgets",
            rows=("dataset", "method", "checker"),
            metrics=("accuracy", "low", "high", "any_kept", "answered", "calls", "tokens"),
            where={"model": "tiny"},
            fill="effml run got --dataset {dataset}",
            digits={"calls": 3, "tokens": 4},
            order={"method": list(METHODS), "checker": ["none", "own", "exact"]},
            note="A model of about 0.35 million parameters: a test of methods, not a stand-in for GPT-4, so that no row "
            "has a published figure. Intervals are those of one run. The exact checker judges single steps; it knows "
            "nothing of what can be reached.",
        ),
        Table(
            id="equal",
            title="Accuracy at equal tokens, the small model",
            rows=("dataset", "method", "checker", "at"),
            metrics=("accuracy_at", "low_at", "high_at"),
            where={"model": "tiny"},
            fill="effml run got --dataset {dataset}",
            order={"method": list(METHODS), "checker": ["none", "own", "exact"], "at": [250, 500, 1000, 2000, 4000]},
            note="At: tokens per problem at which every method is stopped. A search that has no answer yet counts as "
            "wrong; a vote gives its leader. Intervals are those of one run.",
        ),
        Table(
            id="calls",
            title="Calls at equal accuracy, the small model",
            rows=("dataset", "method", "checker"),
            metrics=("calls_to",),
            where={"model": "tiny"},
            fill="effml run got --dataset {dataset}",
            order={"method": list(METHODS), "checker": ["none", "own", "exact"]},
            note="Completions a problem until a method is as accurate as CoT with a vote at its full budget; blank where "
            "it never is.",
        ),
        Table(
            id="checker",
            title="k unanimous checks of the small model, and what independence would give",
            rows=("dataset", "direction", "k"),
            metrics=(
                "precision",
                "recall",
                "let_through",
                "predicted_through",
                "turned_away",
                "predicted_away",
                "cases",
            ),
            where={"model": "tiny"},
            fill="effml run got suite=checker --dataset {dataset}",
            note="Moves proposed by the model itself, judged by an exact program. Where let_through stays above its "
            "prediction the model repeats its mistakes, and asking again helps less than the law says.",
        ),
        Table(
            id="live",
            title="Hosted and local models, live",
            rows=("model", "dataset", "method", "checker"),
            metrics=("accuracy", "low", "high", "problems", "calls", "tokens", "cost"),
            fill="effml run got preset=paper model={model} --dataset {dataset}",
            order={"method": list(METHODS), "checker": ["none", "own", "exact"]},
            note="Cost in dollars a problem, blank where the price is unknown.",
        ),
        Table(
            id="gains",
            title="Points gained by Graph of Thoughts",
            rows=("model", "task", "over"),
            metrics=("gain",),
            fill="effml run got preset=paper model={model}",
            note="The paper states differences; its levels on polynomials and sequences, number of problems and degrees "
            "are not stated in what could be retrieved.",
        ),
    ),
    plots=(
        *(
            Plot(
                f"equal-{dataset}",
                f"Accuracy by tokens a problem, {dataset}, the small model",
                "equal",
                "line",
                "at",
                "accuracy_at",
                series=("method", "checker"),
                where={"dataset": dataset},
                log="x",
            )
            for dataset in ("game24-hard", "polynomials-easy", "polynomials", "sequences-easy", "sequences")
        ),
        Plot(
            "checker",
            "Wrong moves let through by k checks",
            "checker",
            "line",
            "k",
            "let_through",
            series=("dataset", "direction"),
        ),
    ),
    cost=_cost,
    runtime=("provider.transcript", "provider.concurrency", "provider.timeout", "provider.attempts"),
)
