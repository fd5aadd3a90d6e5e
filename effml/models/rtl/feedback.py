"""What the tools said, cleaned for a model: no paths, no secrets, the first errors, the lines they point at.

Long outputs are cut from the middle of their kind, never from the first error: a compiler's later errors mostly follow
from its first, and a testbench's summary stands at its end.
"""

from __future__ import annotations

import re

from effml.models.rtl.verdict import Verdict

LONGEST = 2000
"""Characters of feedback sent to a model."""
QUOTED_LINES = 5

HEADLINES = {
    "refused": "The code contains constructs that are not allowed in this task:",
    "syntax": "The code does not compile:",
    "compile": "The code compiles on its own, but not together with the testbench that instantiates it:",
    "timeout": "The simulation does not end:",
    "function": "The code compiles, but the testbench reports wrong results:",
    "passed": "The code passes the testbench.",
}


def feedback(verdict: Verdict, design: str) -> str:
    """What to tell a model about its design, at most `LONGEST` characters."""
    said = tidy(verdict.report)
    headline = HEADLINES[verdict.stage]
    quoted = _quoted(said, design) if verdict.stage in ("syntax", "compile", "refused") else ""
    room = LONGEST - len(headline) - len(quoted) - 4
    return "\n".join(part for part in (headline, cap(said, room), quoted) if part)


def tidy(text: str) -> str:
    """Without paths and control characters, each message once."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    text = "".join(letter for letter in text if letter == "\n" or letter == "\t" or letter.isprintable())
    text = re.sub(r"(?<![\w.])/(?:[\w.+-]+/)+(?=[\w.+-]*)", "", text)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(dict.fromkeys(lines))


def cap(text: str, limit: int) -> str:
    """The first lines and, where that is not all, the last three, within `limit` characters."""
    if len(text) <= limit:
        return text
    lines = text.splitlines()
    tail = [line[: limit // 8] for line in lines[-3:]]
    kept, used = [], sum(len(line) + 1 for line in tail) + 40
    for line in lines[:-3]:
        line = line[: limit // 2]
        if used + len(line) + 1 > limit:
            break
        kept.append(line)
        used += len(line) + 1
    left_out = len(lines) - len(kept) - len(tail)
    return "\n".join([*kept, *([f"[{left_out} more lines]"] if left_out > 0 else []), *tail])[:limit]


def _quoted(said: str, design: str) -> str:
    """The lines of the design that messages point at."""
    lines = design.splitlines()
    numbers = dict.fromkeys(int(number) for number in re.findall(r"\b(?:design\.v:|line )(\d+)", said))
    shown = [f"{number}: {lines[number - 1].strip()[:160]}" for number in numbers if 0 < number <= len(lines)][
        :QUOTED_LINES
    ]
    return "The lines in question:\n" + "\n".join(shown) if shown else ""
