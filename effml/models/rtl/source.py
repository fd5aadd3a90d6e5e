"""Verilog text as tokens: the code inside an answer, its modules, renaming, and what a design may not contain.

Works on text that a language model wrote, so nothing here preprocesses, includes or elaborates: one pass of a lexer
(slang's), linear in the text. What the design means is left to the tools, which run confined.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pyslang import BumpAllocator, Diagnostics, SourceManager
from pyslang.parsing import Lexer, TokenKind

LONGEST = 400_000
"""Characters of the longest text that is looked at; a longer one is refused."""

_ALLOWED = """
$display $displayb $displayh $displayo $write $writeb $writeh $monitor $strobe $info $warning $error $fatal
$finish $stop $time $stime $realtime $timeformat $printtimescale $random $urandom $urandom_range $signed
$unsigned $clog2 $bits $size $left $right $low $high $increment $dimensions $typename $cast $countones $onehot
$onehot0 $isunknown $rtoi $itor $realtobits $bitstoreal $ceil $floor $abs $min $max $pow $ln $log10 $exp $sqrt
$sin $cos $tan $assertoff $asserton $past $rose $fell $stable $changed $sformat $sformatf $test$plusargs
$value$plusargs
"""
ALLOWED_SYSTEM = frozenset(_ALLOWED.split())
"""System tasks and functions that touch nothing outside the simulation; `$finish` only ends it unpassed."""
REFUSED_DIRECTIVES = frozenset({"`include", "`line", "`pragma", "`protect"})


@dataclass(frozen=True)
class Token:
    """One token: its kind (slang's name), text, and place in the text."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True)
class Module:
    """A module of a text: its name, where its text lies, and the identifiers used in it."""

    name: str
    start: int
    end: int
    words: frozenset[str]


def clean(text: str) -> str:
    """The text with plain line ends and ASCII alone (anything else becomes '?'), as all tools can read it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    return "".join(letter if letter.isascii() else "?" for letter in text)


def code_of(answer: str, top: str | None = None) -> str:
    """The Verilog inside a model's answer: its fenced blocks, or from the first `module` to the last `endmodule`.

    Of several fenced blocks, the later ones repeat or correct the earlier ones as often as they add to them; the blocks
    are joined only as far as no module name comes twice, and the last block that defines `top` is kept.
    """
    answer = clean(answer)
    blocks = re.findall(r"```[^\n`]*\n(.*?)(?:```|\Z)", answer, flags=re.DOTALL)
    blocks = [block for block in blocks if re.search(r"\bmodule\b", block)]
    if len(blocks) <= 1:
        text = blocks[0] if blocks else answer
        return text if "```" not in answer and _starts_as_code(text) else _cut(text)
    kept: list[str] = []
    defined: set[str] = set()
    for block in sorted(blocks, key=lambda b: (top in names(b) if top else False, blocks.index(b)), reverse=True):
        if not defined.intersection(names(block)):
            kept.append(_cut(block))
            defined.update(names(block))
    return "\n".join(kept)


def tokens(text: str) -> list[Token]:
    """Tokens of an ASCII text (see `clean`), without comments. No directive is followed."""
    manager, reports, memory = SourceManager(), Diagnostics(), BumpAllocator()
    lexer = Lexer(manager.assignText(text), memory, reports, manager)
    found: list[Token] = []
    while True:
        token = lexer.lex()
        if token.kind == TokenKind.EndOfFile:
            return found
        found.append(Token(token.kind.name, token.rawText, token.location.offset))


def modules(text: str) -> list[Module]:
    """The modules that a text defines, in order, nested ones included."""
    found: list[Module] = []
    open_ones: list[tuple[str, int, set[str]]] = []
    listed = tokens(text)
    for index, token in enumerate(listed):
        if token.kind in ("ModuleKeyword", "MacromoduleKeyword"):
            name = next((t.text for t in listed[index + 1 : index + 3] if t.kind == "Identifier"), "")
            open_ones.append((name, token.start, set()))
        elif token.kind == "EndModuleKeyword" and open_ones:
            name, start, words = open_ones.pop()
            found.append(Module(name, start, token.end, frozenset(words - {name})))
        elif token.kind == "Identifier":
            for _, _, words in open_ones:
                words.add(token.text)
    return sorted(found, key=lambda module: module.start)


def names(text: str) -> list[str]:
    """Names of the modules that a text defines, in order."""
    return [module.name for module in modules(text)]


def roots(text: str) -> list[str]:
    """Modules that no other module of the text uses."""
    found = modules(text)
    return [module.name for module in found if not any(module.name in other.words for other in found)]


def instantiated(text: str) -> list[str]:
    """Modules that a text instantiates but does not define, in order: `name [#(...)] instance (`."""
    listed, defined = tokens(text), set(names(text))
    found: dict[str, None] = {}
    for index, token in enumerate(listed):
        if token.kind != "Identifier" or token.text in defined or (index and listed[index - 1].kind == "Dot"):
            continue
        after = index + 1
        if after < len(listed) and listed[after].kind == "Hash":
            after = _past_parenthesis(listed, after + 1)
        if (
            after + 1 < len(listed)
            and listed[after].kind == "Identifier"
            and listed[after + 1].kind == "OpenParenthesis"
        ):
            found[token.text] = None
    return list(found)


def rename(text: str, new_names: Mapping[str, str]) -> str:
    """The text with these identifiers replaced wherever they stand, but not in strings and comments."""
    pieces, last = [], 0
    for token in tokens(text):
        if token.kind == "Identifier" and token.text in new_names:
            pieces += [text[last : token.start], new_names[token.text]]
            last = token.end
    return "".join(pieces) + text[last:]


def refusals(text: str) -> list[str]:
    """Why a design's text is not run at all: reading or writing files, following includes, calling the system.

    The tools are confined as well; this is for machines whose kernel cannot, and so that the verdict names the reason.
    """
    if len(text) > LONGEST:
        return [f"the text has {len(text)} characters; at most {LONGEST} are looked at"]
    reasons = []
    for token in tokens(text):
        line = text.count("\n", 0, token.start) + 1
        followed = token.kind == "Directive" and token.text in REFUSED_DIRECTIVES
        if followed or (token.kind == "SystemIdentifier" and token.text not in ALLOWED_SYSTEM):
            reasons.append(f"line {line}: {token.text} is not allowed in a design")
    return list(dict.fromkeys(reasons))


def _past_parenthesis(listed: list[Token], index: int) -> int:
    depth = 0
    for place in range(index, len(listed)):
        depth += {"OpenParenthesis": 1, "CloseParenthesis": -1}.get(listed[place].kind, 0)
        if depth <= 0:
            return place + 1
    return len(listed)


def _starts_as_code(text: str) -> bool:
    listed = tokens(text[:LONGEST])
    return bool(listed) and (listed[0].kind in ("ModuleKeyword", "MacromoduleKeyword", "Directive", "OpenParenthesis"))


def _cut(text: str) -> str:
    """From the first directive or `module` at the start of a line to the last `endmodule`; all of it without a module."""
    start = re.search(
        r"^[ \t]*(?:`\w+|\(\*.*?\*\)[ \t]*\n?[ \t]*module\b|(?:macro)?module\b)", text, flags=re.MULTILINE
    )
    if not start:
        return text
    end = text.rfind("endmodule")
    return text[start.start() :] if end < start.start() else text[start.start() : end + len("endmodule")] + "\n"
