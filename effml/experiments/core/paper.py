"""Published numbers, from `conf/paper/<experiment>.yaml`: each with its source, and whether it was found or recalled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from effml.errors import UserError
from effml.experiments.core.places import conf_roots


@dataclass(frozen=True)
class Published:
    """One number of a paper; `value` is None when the paper's number is unknown."""

    table: str
    labels: dict[str, Any]
    metric: str
    value: float | None
    unit: str
    source: str
    mark: str


def published(experiment: str) -> list[Published]:
    """All published numbers of an experiment."""
    import yaml

    found: list[Published] = []
    for root in conf_roots():
        path = root / "paper" / f"{experiment}.yaml"
        if not path.is_file():
            continue
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")) or []:
            missing = {"table", "labels", "metric", "value", "unit", "source", "mark"} - set(entry)
            if missing or entry["mark"] not in ("found", "recalled"):
                what = (
                    f"lacks {', '.join(sorted(missing))}"
                    if missing
                    else f"has mark '{entry['mark']}', not found or recalled"
                )
                raise UserError(f"conf/paper/{experiment}.yaml: an entry of table '{entry.get('table')}' {what}")
            found.append(Published(**entry))
    return found
