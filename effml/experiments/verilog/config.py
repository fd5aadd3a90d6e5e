"""Options, metrics and tables of the Verilog experiment."""

from __future__ import annotations

from dataclasses import dataclass

from effml.errors import UserError
from effml.experiments.core.spec import Cost, Dataset, Experiment, Metric, Plot, Table, group, option

SUITES = ("replay", "generate", "refine", "ppa", "all")


@dataclass
class Cells:
    name: str = option("generic", "cell library of synthesis; generic counts gates and levels",
                       choices=("generic", "ihp-sg13g2", "asap7", "file"))  # fmt: skip
    path: str | None = option(None, "your own Liberty file, or a folder of its parts, with cells.name=file")


@dataclass
class Model:
    name: str = option(
        "mutation",
        "a litellm name (openai/gpt-4o-mini, ollama/llama3.2); replay: a transcript; mutation: random edits, the control; "
        "stand-in: a local server that answers with edited references",
    )
    api_base: str | None = option(None, "address of an OpenAI-compatible server")
    transcript: str | None = option(None, "transcript of an earlier run, with model.name=replay")
    temperature: float = option(0.7, "of sampling", low=0.0, high=2.0)
    max_tokens: int = option(2048, "of one answer", low=16)
    shots: int = option(0, "worked examples before the request", low=0, high=4)
    concurrency: int = option(4, "trials under way at a time", low=1)
    dollars_in: float | None = option(None, "price per million prompt tokens, where litellm knows none", low=0.0)
    dollars_out: float | None = option(None, "price per million answered tokens, where litellm knows none", low=0.0)
    start: str = option("reference", "first answers of mutation and stand-in: damaged references, or recorded ones",
                        choices=("reference", "rtllm-gpt35", "rtllm-gpt4"))  # fmt: skip
    damage: int = option(2, "faults in a damaged reference", low=0)


@dataclass
class Loop:
    trials: int = option(3, "trials of each design", low=1)
    repairs: int = option(4, "corrections of a trial before its first pass", low=0)
    rewrites: int = option(2, "rewrites of a passing design", low=0)
    repairs_of_rewrite: int = option(1, "corrections of a rewrite", low=0)


@dataclass
class Goal:
    metric: str = option("area", "what rewrites are to lower", choices=("area", "delay", "power"))
    limit: float | None = option(None, "stop below this: um2, ps or uW; gates or levels with generic cells", low=0.0)


@dataclass
class Budget:
    cost: float | None = option(None, "dollars, over all", low=0.0)
    calls: int | None = option(None, "calls, over all", low=0)
    tokens: int | None = option(None, "tokens in and out, over all", low=0)
    trial_calls: int | None = option(None, "calls of one trial", low=0)
    trial_tokens: int | None = option(None, "tokens of one trial", low=0)


@dataclass
class Config:
    suite: str = option("all", "what to run", choices=SUITES)
    dataset: Dataset = group(Dataset)
    designs: list[str] = option(["all"], "names of designs, or all")
    cells: Cells = group(Cells)
    model: Model = group(Model)
    loop: Loop = group(Loop)
    goal: Goal = group(Goal)
    budget: Budget = group(Budget)
    hidden: bool = option(True, "compare passing designs with the reference under random inputs, too")
    mutants: int = option(0, "faulty references per design on which testbenches are tried", low=0)
    jobs: int = option(2, "tool processes at a time", low=1)

    def check(self) -> None:
        if self.cells.name == "file" and not self.cells.path:
            raise UserError("cells.name=file needs cells.path, a Liberty file or a folder of its parts")
        if self.model.name == "replay" and not self.model.transcript:
            raise UserError("model.name=replay needs model.transcript, which an earlier run left among its artifacts")
        if (self.model.dollars_in is None) != (self.model.dollars_out is None):
            raise UserError("model.dollars_in and model.dollars_out belong together")
        if self.goal.metric == "power" and self.cells.name == "generic":
            raise UserError("goal.metric=power needs a cell library: cells.name=ihp-sg13g2, asap7 or file")
        if self.model.start != "reference" and self.dataset.name != "rtllm":
            raise UserError(f"model.start={self.model.start} holds answers to the designs of dataset=rtllm")


def _cost(config: Config) -> Cost:
    seconds, designs = {"small-designs": (60, 15), "rtllm": (240, 50), "verilog-eval": (120, 156)}.get(
        config.dataset.name, (60, 15)
    )
    share = 1.0 if "all" in config.designs else min(1.0, len(config.designs) / designs)
    rewritten = config.suite in ("refine", "all") and config.loop.rewrites
    return Cost(seconds * share * (4 if rewritten else 1), 5e8, "real tools, two processes at a time")


_FIGURES = ("area", "delay", "power", "gates", "levels", "cells", "registers")
_RUN = "effml run verilog --dataset {dataset}"

EXPERIMENT = Experiment(
    name="verilog",
    title="Verilog by language models, refined against real tools for function and PPA",
    paper="VeriPPA, arXiv 2312.01022 and 2510.15899",
    config=Config,
    datasets=("small-designs", "rtllm", "verilog-eval"),
    metrics=(
        Metric("references", "1", "designs whose reference was tried"),
        Metric("sound", "1", "of them, references that pass their own testbench", better="higher"),
        Metric("seconds", "s", "wall clock", better="lower"),
        Metric("trials", "1", "answers judged: the denominator of the shares of trials"),
        Metric("parse_share", "1", "trials that compile on their own", better="higher"),
        Metric("compile_share", "1", "trials that compile with the testbench (the papers' syntax)", better="higher"),
        Metric("pass_share", "1", "trials that pass the testbench", better="higher"),
        Metric("pass_low", "1", "lower end of the 95 % interval of pass_share (Wilson)"),
        Metric("pass_high", "1", "upper end of the 95 % interval of pass_share (Wilson)"),
        Metric("agree_share", "1", "trials that pass and agree with the reference under random inputs", better="higher"),
        Metric("designs", "1", "designs tried: the denominator of the shares of designs"),
        Metric("design_share", "1", "designs with a passing trial (the papers' function)", better="higher"),
        Metric("sound_design_share", "1", "the same among designs whose reference passes", better="higher"),
        Metric("calls", "1", "answers asked of a model", better="lower"),
        Metric("tokens", "1", "tokens in and out", better="lower"),
        Metric("cost", "$", "dollars, where the price is known", better="lower"),
        Metric("pass_at_k", "1", "unbiased estimate: a pass among k trials, mean over designs", better="higher"),
        Metric("gain", "1", "pass_share after this round less before any correction", better="higher"),
        Metric("area", "um2", "sum of cell areas", better="lower"),
        Metric("delay", "ps", "longest path, no wires", better="lower"),
        Metric("power", "uW", "at 100 MHz, inputs toggling every tenth cycle", better="lower"),
        Metric("gates", "1", "generic gates", better="lower"),
        Metric("levels", "1", "generic gates on the longest path", better="lower"),
        Metric("cells", "1", "cells of the netlist"),
        Metric("registers", "1", "flip-flops and latches"),
        Metric("passes", "1", "1 when the testbench passes"),
        Metric("area_ratio", "x", "area or gates over the reference's, same script", better="lower"),
        Metric("delay_ratio", "x", "delay or levels over the reference's, same script", better="lower"),
        Metric("power_ratio", "x", "power over the reference's, same script", better="lower"),
        Metric("synthesised", "1", "references that become hardware", better="higher"),
        Metric("mutants", "1", "faulty references that compile"),
        Metric("bench_kills", "1", "share of them that the testbench notices", better="higher"),
        Metric("wave_kills", "1", "share of them that random inputs against the reference notice", better="higher"),
    ),
    tables=(
        Table("references", "References under their own testbenches", rows=("dataset", "simulator"),
              metrics=("references", "sound", "seconds"), fill=f"{_RUN} suite=replay",
              note="Which fail, and why, stands in the run's log and in artifacts/references.json."),
        Table("answers", "Syntax and function of answers", rows=("dataset", "model", "repairs"),
              metrics=("trials", "parse_share", "compile_share", "pass_share", "pass_low", "pass_high", "agree_share"),
              fill=f"{_RUN} suite=refine model.name={{model}}",
              note="The paper's syntax is compile_share; rows with 0 repairs are its 'before'."),
        Table("designs", "Designs with a right answer, and what it took", rows=("dataset", "model", "repairs"), of="answers",
              metrics=("designs", "design_share", "sound_design_share", "calls", "tokens", "cost"),
              fill=f"{_RUN} suite=refine model.name={{model}}",
              note="The paper's function is design_share; rows with 0 repairs are its 'before'."),
        Table("pass_at_k", "pass@k", rows=("dataset", "model", "repairs"), metrics=("pass_at_k",), columns="k",
              fill=f"{_RUN} suite=generate model.name={{model}}"),
        Table("rounds", "Gain by round of correction", rows=("dataset", "model", "round"),
              metrics=("trials", "compile_share", "pass_share", "gain", "design_share"),
              fill=f"{_RUN} suite=refine model.name={{model}}",
              note="Of a trial counts what it reached up to the round."),
        Table("ppa", "Area, delay and power", rows=("dataset", "design", "model", "version", "library", "script"),
              metrics=_FIGURES, fill=f"{_RUN} suite=ppa cells.name={{library}}",
              note="No wires, no placement: compare within one library and one script only."),
        Table("rewrites", "Rewrites against what they rewrite",
              rows=("dataset", "design", "rewrite", "verdict", "library", "script"),
              metrics=("passes", "area_ratio", "delay_ratio", "power_ratio"), fill=f"{_RUN} suite=ppa",
              note="DIFFERENT and OTHER (another interface or latency) are no gains, whatever their ratios."),
        Table("synthesis", "References that become hardware", rows=("dataset", "library"),
              metrics=("references", "synthesised", "seconds"), fill=f"{_RUN} suite=ppa cells.name={{library}}"),
        Table("testbenches", "How much a testbench notices", rows=("dataset",),
              metrics=("mutants", "bench_kills", "wave_kills"), fill=f"{_RUN} suite=replay mutants=4",
              note="Some mutants are the same design; no share can be 1 then."),
    ),
    plots=(
        Plot("rounds", "Passing trials by round", "rounds", "line", "round", "pass_share", series=("dataset", "model")),
        Plot("rewrites", "Area of rewrites", "rewrites", "bar", "design", "area_ratio", series=("rewrite",), zero=1.0),
    ),
    timed=lambda config: config.suite in ("replay", "ppa", "all"),
    cost=_cost,
    runtime=("jobs", "model.concurrency"),
)  # fmt: skip
