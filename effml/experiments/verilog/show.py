"""`effml show RUN DESIGN`: the history of a design's trials, transition by transition."""

from __future__ import annotations

import json
from pathlib import Path

from effml.errors import UserError
from effml.experiments.core.options import unknown


def show(folder: Path, item: str) -> str:
    """The history of `DESIGN` (all trials) or `DESIGN-K`; `DESIGN-K.v` is the best design that the trial found."""
    found = {path.stem: path for path in sorted((folder / "artifacts" / "trials").glob("*.json"))}
    if item.endswith(".v") and item[:-2] in found:
        content = json.loads(found[item[:-2]].read_text())
        if content["best"] is None:
            raise UserError(f"trial {item[:-2]} found no design that passes")
        return content["candidates"][content["best"]]["design"]
    wanted = [name for name in found if name == item or name.rpartition("-")[0] == item]
    if not wanted:
        raise unknown("design", item, sorted({name.rpartition("-")[0] for name in found} | set(found)))
    return "\n\n".join(told(name, json.loads(found[name].read_text())) for name in wanted)


def told(name: str, content: dict) -> str:
    lines = [f"{name}: {content['ended']}"]
    for step in content["steps"]:
        lines.append(f"  {step['state']:>15}  proposal {step['proposal']:>2}  -> {step['to']}: {step['why'][:100]}")
    if content["best"] is not None:
        lines.append(f"  best: proposal {content['best']}; `effml show RUN {name}.v` prints it")
    return "\n".join(lines)
