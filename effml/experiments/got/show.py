"""`effml show RUN 917`: one problem with every method's answer, and its graphs to walk through.

`917` the answers and the graph of the first search that has one; `917/got-backward/exact` that graph; `.json`, `.dot` or
`.mermaid` behind either gives the graph in that form.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from effml.errors import UserError
from effml.models.thoughts.export import FORMS, as_text
from effml.models.thoughts.graph import Graph


def show(folder: Path, item: str) -> str:
    """The item as text; UserError names what there is."""
    stem, dot, form = item.rpartition(".")
    if not dot or form not in FORMS:
        stem, form = item, "text"
    id, *wanted = stem.split("/")
    path = folder / "artifacts" / "problems" / f"{id}.json"
    if not path.is_file():
        there = sorted(file.stem for file in path.parent.glob("*.json"))
        listed = ", ".join(there[:8]) + (f" and {len(there) - 8} more" if len(there) > 8 else "")
        raise UserError(f"{folder.name} has no problem '{id}'; there is {listed or 'none'}")
    told = json.loads(path.read_text(encoding="utf-8"))
    graphs = {name: outcome for name, outcome in told["methods"].items() if outcome["graph"] is not None}
    chosen = [name for name in graphs if all(word in name.split() for word in wanted)]
    if not chosen:
        raise UserError(f"problem {id} has no graph '{'/'.join(wanted)}'; there is {', '.join(graphs) or 'none'}")
    graph = Graph.from_dict(graphs[chosen[0]]["graph"])
    if form != "text":
        return as_text(graph, form).rstrip("\n")
    head = [f"{told['task']} {told['id']}: {told['problem']}", ""] if not wanted else []
    answers = [_line(name, outcome) for name, outcome in told["methods"].items()] if not wanted else []
    return "\n".join([*head, *answers, *([""] if answers else []), f"graph of {chosen[0]}:", as_text(graph, "text")])


def _line(name: str, outcome: dict[str, Any]) -> str:
    mark = "right" if outcome["right"] else "wrong" if outcome["answered"] else "none"
    return f"{name:<20} {mark:<6} {outcome['calls']:>5} calls {outcome['tokens']:>6} tokens  {outcome['answer']}"
