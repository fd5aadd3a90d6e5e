"""A graph of thoughts for other tools and for the eye: JSON, Graphviz DOT, Mermaid, networkx, and text to walk along."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from effml.models.thoughts.graph import CONDITION, EXHAUSTED, KNOWN, OPEN, REFUTED, TARGET, Graph, Node

if TYPE_CHECKING:
    import networkx

MARKS = {KNOWN: "✓", OPEN: "?", EXHAUSTED: "·", REFUTED: "✗"}
COLOURS = {KNOWN: "palegreen", OPEN: "white", EXHAUSTED: "lightgrey", REFUTED: "mistyrose"}


def to_json(graph: Graph) -> str:
    return json.dumps(graph.as_dict(), indent=1, ensure_ascii=False)


def from_json(text: str) -> Graph:
    return Graph.from_dict(json.loads(text))


def to_networkx(graph: Graph) -> networkx.DiGraph:
    """Directed from premises to conclusions; a move is a node of its own (`kind="move"`), named `move 0`, `move 1`..."""
    import networkx

    made = networkx.DiGraph(target=graph.target)
    for node in graph.nodes.values():
        made.add_node(node.name, kind=node.kind, status=node.status, value=node.value, depth=node.depth)
    for index, move in enumerate(graph.moves):
        made.add_node(f"move {index}", kind="move", label=move.label)
        made.add_edge(f"move {index}", move.node)
        made.add_edges_from((premise, f"move {index}") for premise in move.premises)
    return made


def to_dot(graph: Graph) -> str:
    """Graphviz: propositions as boxes, moves as points between premises and conclusion, the proof in bold."""
    ids, proving = _ids(graph), _proving(graph)
    lines = ["digraph thoughts {", "  rankdir=BT;", "  node [shape=box, style=filled];"]
    for node in graph.nodes.values():
        shape = ", peripheries=2" if node.kind == TARGET else ""
        lines.append(f"  {ids[node.name]} [label={_quoted(_caption(node))}, fillcolor={COLOURS[node.status]}{shape}];")
    for index, move in enumerate(graph.moves):
        bold = ", penwidth=2" if index in proving else ""
        lines.append(f"  m{index} [label={_quoted(move.label)}, shape=plaintext, fillcolor=white];")
        lines.append(f"  m{index} -> {ids[move.node]} [arrowhead=normal{bold}];")
        lines.extend(f"  {ids[premise]} -> m{index} [arrowhead=none{bold}];" for premise in move.premises)
    return "\n".join([*lines, "}", ""])


def to_mermaid(graph: Graph) -> str:
    """A Mermaid flowchart, which Markdown viewers draw."""
    ids, proving = _ids(graph), _proving(graph)
    lines = ["flowchart BT"]
    for node in graph.nodes.values():
        text = _caption(node).replace('"', "#quot;")
        opening, closing = (
            ("[[", "]]") if node.kind == TARGET else ("([", "])") if node.kind == CONDITION else ("[", "]")
        )
        lines.append(f'  {ids[node.name]}{opening}"{text}"{closing}')
    for index, move in enumerate(graph.moves):
        arrow = "==>" if index in proving else "-->"
        text = move.label.replace('"', "#quot;")
        lines.append(f'  m{index}{{{{"{text}"}}}} {arrow} {ids[move.node]}')
        lines.extend(f"  {ids[premise]} {arrow} m{index}" for premise in move.premises)
    return "\n".join([*lines, ""])


def walk(graph: Graph) -> str:
    """The graph as text, from the target down: each node once with its moves, `*` at the moves of the proof."""
    proving = _proving(graph)
    into: dict[str, list[int]] = {}
    for index, move in enumerate(graph.moves):
        into.setdefault(move.node, []).append(index)
    lines: list[str] = []
    shown: set[str] = set()

    def visit(name: str, indent: int) -> None:
        node = graph.nodes[name]
        again = " (above)" if name in shown and into.get(name) else ""
        lines.append(f"{'  ' * indent}{_caption(node)}{again}")
        if name in shown:
            return
        shown.add(name)
        for index in sorted(into.get(name, ()), key=lambda index: (index not in proving, index)):
            star = "*" if index in proving else "-"
            lines.append(f"{'  ' * (indent + 1)}{star} {graph.moves[index].label}")
            for premise in graph.moves[index].premises:
                visit(premise, indent + 2)

    visit(graph.target, 0)
    counts = ", ".join(f"{what} {count}" for what, count in sorted(graph.counts.items()))
    known = sum(node.status == KNOWN for node in graph.nodes.values())
    lines.append(
        f"{len(graph.nodes)} nodes ({known} known), {len(graph.moves)} moves" + (f"; {counts}" if counts else "")
    )
    return "\n".join(lines)


def _caption(node: Node) -> str:
    value = "" if node.value is None else f" [{node.value:.2f}]"
    return f"{MARKS[node.status]} {node.name}{value}"


def _ids(graph: Graph) -> dict[str, str]:
    return {name: f"n{index}" for index, name in enumerate(graph.nodes)}


def _proving(graph: Graph) -> set[int]:
    return {node.proof for name in graph.proof() if (node := graph.nodes[name]).proof is not None}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def as_text(graph: Graph, form: str) -> str:
    """The graph in one of FORMS."""
    return FORMS[form](graph)


FORMS: dict[str, Any] = {"json": to_json, "dot": to_dot, "mermaid": to_mermaid, "text": walk}
