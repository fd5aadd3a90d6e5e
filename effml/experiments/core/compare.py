"""Are two results different beyond noise? A verdict per measured cell: different, same, within noise, or cannot tell.

Timings are compared as per-round ratios to a provider timed in the same run, because absolute seconds follow the
machine's mood; what two such ratios may differ by is judged by the spread between repeated runs. Everything else is
compared over seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from effml.experiments.core.config import flatten
from effml.experiments.core.spec import Experiment, Table
from effml.experiments.core.store import Row

ALPHA = 0.01  # per comparison; a table of twenty then raises a false alarm in fewer than one run of five
FLOOR = 0.03  # a ratio of timings that moved by less is never called different
UNREPEATED = 0.12  # without repeated runs, what the noise between runs is taken to be at most

Place = tuple[str, tuple[tuple[str, Any], ...], str]


@dataclass(frozen=True)
class Verdict:
    """One compared cell. `before` and `after` are means (or ratios to the reference, for timings)."""

    table: str
    labels: dict[str, Any]
    metric: str
    before: float | None
    after: float | None
    verdict: str
    why: str


def compare(experiment: Experiment, first: list[Row], second: list[Row]) -> list[Verdict]:
    """Compare two groups of ok rows; each group holds one config, over seeds or repeated.

    The verdict of a cell is "same" (equal to the last bit), "within noise", "different" or "cannot tell".
    """
    turned = _turned_labels(first, second)
    before, after = _by_place(experiment, first, turned), _by_place(experiment, second, turned)
    verdicts = []
    for place in sorted(before.keys() | after.keys(), key=str):
        table, labels, metric = place
        old, new = before.get(place, {}), after.get(place, {})
        if not old or not new:
            side = "second" if not new else "first"
            verdicts.append(
                Verdict(table, dict(labels), metric, None, None, "cannot tell", f"not measured in the {side}")
            )
        elif any(len(samples) > 1 for samples in [*old.values(), *new.values()]):
            verdicts.append(_judge_timing(place, old, new))
        else:
            verdicts.append(_judge_values(place, old, new))
    return verdicts


def _turned_labels(first: list[Row], second: list[Row]) -> set[str]:
    """Labels that name what was changed between two configs (`k` when `model.k` differs): they must not keep cells apart."""
    if not first or not second:
        return set()
    old, new = flatten(first[0]["config"]), flatten(second[0]["config"])
    keys = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    return {"dataset" if key == "dataset.name" else key.rsplit(".", 1)[-1] for key in keys}


def _by_place(
    experiment: Experiment, rows: Iterable[Row], turned: set[str]
) -> dict[Place, dict[tuple[int, str], list[float]]]:
    """Place -> (seed, run id) -> log ratios per round (timings) or the one value."""
    found: dict[Place, dict[tuple[int, str], list[float]]] = {}
    for row in rows:
        for item in row["measurements"]:
            table = experiment.table(item["table"])
            if table is None or item["value"] is None:
                continue
            values = _ratios(row, item, table) if _is_timing(item) else [float(item["value"])]
            if values is None:
                continue
            kept = {name: value for name, value in item["labels"].items() if name not in turned}
            place = item["table"], tuple(sorted(kept.items(), key=str)), item["metric"]
            found.setdefault(place, {})[row["seed"], row["run_id"]] = values
    return found


def _is_timing(item: dict[str, Any]) -> bool:
    return item["unit"] in ("s", "ms", "us") and len(item.get("samples", [])) > 1


def _ratios(row: Row, item: dict[str, Any], table: Table) -> list[float] | None:
    """Per-round log ratios to the reference provider of the same cell; None for the reference itself."""
    label = table.reference[0] if table.reference else "provider"
    if label not in item["labels"]:
        return [math.log(value) for value in item["samples"]]
    rest = {key: value for key, value in item["labels"].items() if key != label}
    beside = [
        other
        for other in row["measurements"]
        if other["table"] == item["table"]
        and other["metric"] == item["metric"]
        and {key: value for key, value in other["labels"].items() if key != label} == rest
        and len(other.get("samples", [])) == len(item["samples"])
    ]
    wanted = table.reference[1] if table.reference else None
    reference = next((other for other in beside if other["labels"].get(label) == wanted), beside[0])
    if reference is item:
        return None
    return [math.log(mine / theirs) for mine, theirs in zip(item["samples"], reference["samples"], strict=True)]


def _judge_timing(place: Place, old: dict[Any, list[float]], new: dict[Any, list[float]]) -> Verdict:
    """Compare medians of log ratios against the spread between runs (or a stated bound when nothing was repeated)."""
    from scipy import stats

    table, labels, metric = place
    medians = [[statistics.median(values) for values in side.values()] for side in (old, new)]
    centre = [statistics.fmean(side) for side in medians]
    shift = centre[1] - centre[0]
    within = max(_standard_error(values) for side in (old, new) for values in side.values())
    repeats = sum(len(side) - 1 for side in medians)
    if repeats >= 2:
        squares = sum((value - centre[i]) ** 2 for i, side in enumerate(medians) for value in side)
        # Few repeats underestimate a spread by luck; the rounds inside a run bound it from below.
        spread = max(math.sqrt(squares / repeats), within)
        error = spread * math.sqrt(sum(1 / len(side) for side in medians))
        bound = max(FLOOR, float(stats.t.ppf(1 - ALPHA / 2, repeats)) * error)
        verdict = "different" if abs(shift) > bound else "within noise"
        why = (
            f"moved {100 * math.expm1(shift):+.1f} %, noise allows {100 * math.expm1(bound):.1f} % ({repeats + 2} runs)"
        )
    else:
        bound = max(UNREPEATED, 4 * within)
        verdict = "different" if abs(shift) > bound else "within noise" if abs(shift) < FLOOR else "cannot tell"
        why = f"moved {100 * math.expm1(shift):+.1f} %; repeat the runs to judge less than {100 * math.expm1(bound):.0f} %"
    return Verdict(table, dict(labels), metric, math.exp(centre[0]), math.exp(centre[1]), verdict, why)


def _standard_error(values: list[float]) -> float:
    """Of the median, from the spread of the rounds."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4)
    return 1.25 * (high - low) / 1.349 / math.sqrt(len(values))


def _judge_values(place: Place, old: dict[Any, list[float]], new: dict[Any, list[float]]) -> Verdict:
    """Equal bits; else a paired test over shared seeds, else Welch's; else there is nothing to judge by."""
    from scipy import stats

    table, labels, metric = place
    by_seed = [{seed: values[0] for (seed, _), values in sorted(side.items())} for side in (old, new)]
    means = [statistics.fmean(side.values()) for side in by_seed]
    shared = sorted(by_seed[0].keys() & by_seed[1].keys())
    pairs = [(by_seed[0][seed], by_seed[1][seed]) for seed in shared]

    def told(verdict: str, why: str) -> Verdict:
        return Verdict(table, dict(labels), metric, means[0], means[1], verdict, why)

    if pairs and all(a == b for a, b in pairs) and len(pairs) == max(len(side) for side in by_seed):
        return told("same", f"equal for {len(pairs)} seeds" if len(pairs) > 1 else "equal")
    if len(pairs) >= 3:
        differences = [b - a for a, b in pairs]
        spread = statistics.stdev(differences)
        p = 0.0 if spread == 0 else float(stats.ttest_1samp(differences, 0.0).pvalue)
        return told("different" if p < ALPHA else "within noise", f"paired t-test over {len(pairs)} seeds, p = {p:.2g}")
    if min(len(side) for side in by_seed) >= 3:
        p = float(stats.ttest_ind(list(by_seed[0].values()), list(by_seed[1].values()), equal_var=False).pvalue)
        return told("different" if p < ALPHA else "within noise", f"Welch's t-test, p = {p:.2g}")
    return told("cannot tell", "fewer than 3 seeds; run `effml sweep ... --seeds 0:5` for both")


def changed(first: Row, second: Row) -> list[str]:
    """Which of code, data, device, versions and config differ between two rows, in words."""
    found = []
    if first["config_hash"] != second["config_hash"]:
        found.append("config")
    if first["code"]["fingerprint"] != second["code"]["fingerprint"]:
        found.append("code")
    checksums = [{(item["name"], item["sha256"]) for item in row["data"]} for row in (first, second)]
    if checksums[0] != checksums[1]:
        found.append("data")
    if first["device"]["name"] != second["device"]["name"] or first["cpu"]["model"] != second["cpu"]["model"]:
        found.append("device")
    names = sorted(first["versions"].keys() & second["versions"].keys())
    moved = [name for name in names if first["versions"][name] != second["versions"][name]]
    if moved:
        found.append(f"versions of {', '.join(moved)}")
    return found
