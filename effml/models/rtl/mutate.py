"""Edits of a Verilog text by its syntax tree: faults to put in or undo, and rewrites that aim at a smaller design.

For texts that a simulator has compiled within its limits, or for whatever slang still makes of a broken one; no edit is
known to be right: faults may be harmless, rewrites may be wrong, and the tools decide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyslang.parsing import Token
from pyslang.syntax import SyntaxTree

from effml.models.rtl.source import refusals, tokens

OTHER_OPERATOR = {
    "+": ("-",),
    "-": ("+",),
    "*": ("+",),
    "&": ("|", "^"),
    "|": ("&", "^"),
    "^": ("|", "&", "~^"),
    "&&": ("||",),
    "||": ("&&",),
    "==": ("!=",),
    "!=": ("==",),
    "<": (">", "<=", ">="),
    ">": ("<", ">=", "<="),
    "<=": ("<", ">"),
    ">=": (">", "<"),
    "<<": (">>",),
    ">>": ("<<",),
    ">>>": (">>",),
}


@dataclass(frozen=True)
class Edit:
    """Replace `text[start:end]` by `new`; `what` says it in words."""

    start: int
    end: int
    new: str
    what: str

    def apply(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]


def faults(text: str) -> list[Edit]:
    """Single edits that change what most designs do: operators, constants, conditions, edges, negations."""
    found: list[Edit] = []
    _tree, nodes = _nodes(text)
    for kind, node, start, end in nodes:
        if kind in ("AssignmentExpression", "NonblockingAssignmentExpression"):
            continue
        operator = getattr(node, "operatorToken", None)
        if operator is not None and hasattr(node, "left"):
            old = operator.rawText
            at = operator.location.offset
            found += [Edit(at, at + len(old), new, f"{old} -> {new}") for new in OTHER_OPERATOR.get(old, ())]
        elif kind.startswith("Unary") and text[start : start + 1] in "!~-":
            found.append(Edit(start, start + 1, "", f"{text[start]} dropped"))
        elif kind == "IntegerVectorExpression":
            found += _other_constants(text, start, end)
        elif kind == "IntegerLiteralExpression":
            value = int(text[start:end].replace("_", ""))
            found += [Edit(start, end, str(new), f"{value} -> {new}") for new in (value + 1, value - 1) if new >= 0]
        elif kind == "ConditionalStatement":
            inside = node.predicate.sourceRange
            place = inside.start.offset, inside.end.offset
            found.append(Edit(*place, f"!({text[slice(*place)]})", "condition negated"))
        elif kind == "SignalEventExpression" and text[start:].startswith(("posedge", "negedge")):
            new = "negedge" if text[start:].startswith("posedge") else "posedge"
            found.append(Edit(start, start + 7, new, f"edge -> {new}"))
    return found


def slips(text: str) -> list[Edit]:
    """Edits of tokens that mostly break or mend the syntax: a missing semicolon, `reg`, a stray or doubled token."""
    listed = tokens(text)
    found: list[Edit] = []
    for index, token in enumerate(listed):
        if token.kind == "Semicolon":
            found.append(Edit(token.start, token.end, "", "semicolon dropped"))
        elif token.kind == "OutputKeyword":
            follows = listed[index + 1].kind if index + 1 < len(listed) else ""
            if follows == "RegKeyword":
                found.append(Edit(listed[index + 1].start, listed[index + 1].end, "", "reg dropped"))
            else:
                found.append(Edit(token.end, token.end, " reg", "reg added"))
        elif token.kind in ("EndKeyword", "CloseParenthesis"):
            found.append(Edit(token.start, token.end, "", f"{token.text} dropped"))
        elif (
            token.kind == "Identifier"
            and index + 1 < len(listed)
            and listed[index + 1].kind in ("Identifier", "EndKeyword")
        ):
            found.append(Edit(token.end, token.end, ";", "semicolon added"))
        if token.kind in ("CloseParenthesis", "CloseBrace", "CloseBracket", "IntegerLiteral", "Identifier"):
            later = listed[index + 1] if index + 1 < len(listed) else None
            if later is not None and "\n" in text[token.end : later.start] and later.kind != "Semicolon":
                found.append(Edit(token.end, token.end, ";", "semicolon added"))
    return found


def rewrites(text: str) -> list[Edit]:
    """Edits that may make a design smaller or faster without changing it: sharing, factoring, shifts for products."""
    found: list[Edit] = []
    _tree, nodes = _nodes(text)
    for kind, node, start, end in nodes:
        if kind == "ConditionalExpression":
            found += _shared(text, node, start, end)
        elif kind in ("MultiplyExpression", "DivideExpression", "ModExpression"):
            found += _shifted(text, node, kind, start, end)
        elif kind in ("AddExpression", "SubtractExpression"):
            found += _factored(text, node, start, end)
        elif kind == "EqualityExpression" and re.fullmatch(r"1'b1", _source(text, node.right)):
            found.append(Edit(start, end, f"({_source(text, node.left)})", "== 1'b1 dropped"))
        if kind in (
            "AddExpression",
            "MultiplyExpression",
            "BinaryAndExpression",
            "BinaryOrExpression",
            "BinaryXorExpression",
        ):
            operator, left, right = node.operatorToken.rawText, _source(text, node.left), _source(text, node.right)
            found.append(Edit(start, end, f"({right} {operator} {left})", f"operands of {operator} exchanged"))
    return found


def mutate(text: str, edits: list[Edit], rng: np.random.Generator) -> tuple[str, str]:
    """The text with one of the edits, and which; unchanged when there is none."""
    if not edits:
        return text, "nothing to change"
    edit = edits[int(rng.integers(len(edits)))]
    return edit.apply(text), edit.what


def _nodes(text: str) -> tuple[SyntaxTree | None, list[tuple[str, Any, int, int]]]:
    """The tree, which its nodes need alive, and expressions and conditions in order with their places.

    Nothing for a text that would have to be preprocessed.
    """
    if not text.isascii() or refusals(text) or "`define" in text:
        return None, []
    tree = SyntaxTree.fromText(text)
    found: list[tuple[str, Any, int, int]] = []

    def visit(node: Any) -> None:
        if isinstance(node, Token):
            return
        kind = node.kind.name
        if kind.endswith("Expression") or kind == "ConditionalStatement":
            place = node.sourceRange
            found.append((kind, node, place.start.offset, place.end.offset))

    tree.root.visit(visit)
    return tree, [item for item in found if 0 <= item[2] < item[3] <= len(text)]


def _source(text: str, node: Any) -> str:
    place = node.sourceRange
    return text[place.start.offset : place.end.offset].strip()


def _other_constants(text: str, start: int, end: int) -> list[Edit]:
    match = re.fullmatch(r"(\d+)\s*'([bdh])([0-9a-fA-F_]+)", text[start:end])
    if not match:
        return []
    width, base = int(match.group(1)), {"b": 2, "d": 10, "h": 16}[match.group(2)]
    value = int(match.group(3).replace("_", ""), base)
    news = {(value + 1) % (1 << width), (value - 1) % (1 << width), value ^ (1 << (width - 1))} - {value}
    return [Edit(start, end, f"{width}'d{new}", f"{text[start:end]} -> {width}'d{new}") for new in sorted(news)]


def _shared(text: str, node: Any, start: int, end: int) -> list[Edit]:
    """`c ? a + b : d + e` -> `(c ? a : d) + (c ? b : e)`: one adder and two multiplexers for two adders and one."""
    left, right = _unwrapped(node.left), _unwrapped(node.right)
    if left.kind != right.kind or left.kind.name not in ("AddExpression", "SubtractExpression", "MultiplyExpression"):
        return []
    choice = _source(text, node.predicate)
    a, b, d, e = (_source(text, part) for part in (left.left, left.right, right.left, right.right))
    operator = left.operatorToken.rawText
    return [
        Edit(start, end, f"((({choice}) ? {a} : {d}) {operator} (({choice}) ? {b} : {e}))", f"one {operator} shared")
    ]


def _shifted(text: str, node: Any, kind: str, start: int, end: int) -> list[Edit]:
    """Products, quotients and remainders by powers of two."""
    match = re.fullmatch(r"(?:\d+'d)?(\d+)", _source(text, node.right))
    value = int(match.group(1)) if match else 0
    if value < 2 or value & (value - 1):
        return []
    left, places = _source(text, node.left), value.bit_length() - 1
    new = {
        "MultiplyExpression": f"({left} << {places})",
        "DivideExpression": f"({left} >> {places})",
        "ModExpression": f"({left} & {value - 1})",
    }[kind]
    return [Edit(start, end, new, f"{kind[:-10].lower()} by {value} as a shift")]


def _factored(text: str, node: Any, start: int, end: int) -> list[Edit]:
    """`a*b + a*c` -> `a*(b + c)`."""
    left, right = _unwrapped(node.left), _unwrapped(node.right)
    if left.kind.name != "MultiplyExpression" or right.kind.name != "MultiplyExpression":
        return []
    first = [_source(text, left.left), _source(text, left.right)]
    second = [_source(text, right.left), _source(text, right.right)]
    for common in first:
        if common in second:
            a, b = (next((part for part in parts if part != common), common) for parts in (first, second))
            return [Edit(start, end, f"({common} * ({a} {node.operatorToken.rawText} {b}))", f"{common} factored out")]
    return []


def _unwrapped(node: Any) -> Any:
    while node.kind.name == "ParenthesizedExpression":
        node = node.expression
    return node
