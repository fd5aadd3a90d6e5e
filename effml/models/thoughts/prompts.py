"""Which words a model is asked in: templates by task and role, and how its opinions are read. It knows no task's meaning.

A dialect is plain data (a YAML file in conf): terse lines for a small model trained on them, sentences for a general
one. Roles: answer, trace, forward, backward, reach, propose (several moves at once), value, check.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from effml.errors import UserError
from effml.models.llm import Message, system, user

ROLES = ("answer", "trace", "forward", "backward", "reach", "value", "check")
YES = frozenset(("y", "yes", "true", "correct", "right", "valid"))


@dataclass(frozen=True)
class Template:
    """One question. `user` and `system` hold {names} of the task's words; `temperature` None sends none."""

    user: str
    max_tokens: int
    temperature: float | None = 0.7
    stop: tuple[str, ...] = ()
    system: str = ""

    def messages(self, words: Mapping[str, str]) -> list[Message]:
        asked = [user(self.user.format_map(words))]
        return [system(self.system), *asked] if self.system else asked


@dataclass(frozen=True)
class Dialect:
    """Templates of one task, and the weight of each word of an evaluator's opinion (sure 20, likely 1, ...).

    samples: replies that a question for moves needs: one where a reply lists many, more where it holds a single move.
    tokens: what a method may use on one problem unless the user says otherwise, None for any number.
    rewrites: a checker's reply is the move as it should be, and not a word of yes or no.
    """

    name: str
    templates: Mapping[str, Template]
    opinions: Mapping[str, float]
    sha256: str
    samples: int = 1
    tokens: int | None = None
    rewrites: bool = False

    def __getitem__(self, role: str) -> Template:
        if role not in self.templates:
            raise UserError(f"The dialect {self.name} has no words for the role '{role}'.")
        return self.templates[role]

    def opinion(self, text: str) -> float:
        """The weight of the last word of opinion in `text`; 0 when there is none."""
        for word in reversed(_words(text)):
            if word in self.opinions:
                return self.opinions[word]
        return 0.0

    def share(self, texts: list[str]) -> float:
        """The opinions as one number in 0..1: their mean over the strongest there is."""
        return sum(self.opinion(text) for text in texts) / (len(texts) * max(self.opinions.values()))


def agrees(text: str) -> bool:
    """Whether a checker's reply says yes: its last word of yes or no decides, and silence is no."""
    for word in reversed(_words(text)):
        if word in YES:
            return True
        if word in ("n", "no", "not", "false", "wrong", "incorrect", "invalid"):
            return False
    return False


def read_dialect(data: Mapping[str, Any], task: str) -> Dialect:
    """The dialect for one task from the parsed YAML: `name`, `opinions`, `defaults`, and a mapping for each task."""
    if task not in data:
        raise UserError(f"The dialect {data.get('name', '?')} has no section for the task {task}.")
    defaults = data.get("defaults", {})
    templates = {}
    for role, given in data[task].items():
        fields = {**defaults, **given}
        fields["stop"] = tuple(fields.get("stop", ()))
        templates[role] = Template(**fields)
    digest = hashlib.sha256(json.dumps([data.get("opinions"), defaults, data[task]], sort_keys=True).encode())
    samples, tokens, checks = int(data.get("samples", 1)), data.get("tokens"), data.get("checks", "word")
    if checks not in ("word", "rewrite"):
        raise UserError(f"The dialect {data['name']} says checks: {checks}; there are word and rewrite.")
    opinions = dict(data["opinions"])
    return Dialect(
        str(data["name"]), templates, opinions, digest.hexdigest(), samples, tokens, rewrites=checks == "rewrite"
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text[-2000:].lower())
