"""From verdicts to measurements: shares with their denominators, intervals, pass@k."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from effml.experiments.core.run import Run
from effml.experiments.verilog.config import Config
from effml.models.rtl import passk
from effml.models.rtl.passk import Share
from effml.models.rtl.verdict import Verdict

Judged = dict[str, list[Verdict]]
Labels = dict[str, str | int | float | bool | None]
KS = (1, 3, 5, 10, 20)


def answers(
    config: Config, run: Run, model: str, repairs: int, judged: Judged, sound: Collection[str], evidence: str
) -> Labels:
    """Record the shares of trials and designs; returns the labels of the row."""
    labels: Labels = {"dataset": config.dataset.name, "model": model, "repairs": repairs}
    parsing, compiling, passing = (flags(judged, kind) for kind in ("parses", "compiles", "passes"))
    agreeing = {name: [v.passes and v.hidden is not False for v in found] for name, found in judged.items()}
    shares = {
        "parse_share": passk.trials(parsing),
        "compile_share": passk.trials(compiling),
        "pass_share": passk.trials(passing),
        "design_share": passk.designs(passing),
        "sound_design_share": passk.designs({name: found for name, found in passing.items() if name in sound}),
    }
    if config.hidden:
        shares["agree_share"] = passk.trials(agreeing)
    put(run, labels, "trials", sum(map(len, judged.values())), evidence)
    put(run, labels, "designs", len(judged), evidence)
    for metric, share in shares.items():
        run.log(f"  {model}, {repairs} repairs, {metric}: {share}")
        put(run, labels, metric, share.value if share.total else None, evidence, str(share))
    low, high = shares["pass_share"].interval
    put(run, labels, "pass_low", low, evidence)
    put(run, labels, "pass_high", high, evidence)
    return labels


def pass_at_k(config: Config, run: Run, model: str, repairs: int, judged: Judged, evidence: str) -> None:
    """Record pass@k for every k that each design has trials for."""
    passing = flags(judged, "passes")
    least = min(map(len, passing.values()), default=0)
    for k in KS:
        if k <= least:
            labels: Labels = {"dataset": config.dataset.name, "model": model, "repairs": repairs, "k": k}
            value = passk.pass_at_k(passing, k)
            note = f"{len(passing)} designs, {least} trials each"
            run.record("pass_at_k", labels, "pass_at_k", value, evidence=evidence, note=note)
            run.log(f"  {model}, {repairs} repairs, pass@{k}: {value:.3f} ({note})")


def put(run: Run, labels: Labels, metric: str, value: float | None, evidence: str, note: str | None = None) -> None:
    run.record("answers", labels, metric, value, evidence=evidence, note=note)


def flags(judged: Mapping[str, Sequence[Verdict]], kind: str) -> dict[str, list[bool]]:
    """One property of every verdict, by design."""
    return {name: [bool(getattr(verdict, kind)) for verdict in found] for name, found in judged.items()}


__all__ = ["Judged", "Labels", "Share", "answers", "flags", "pass_at_k", "put"]
