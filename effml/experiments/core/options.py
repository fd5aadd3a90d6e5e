"""The options of an experiment as a flat list of dotted keys, read from its dataclass; checks single values.

Knows nothing of Hydra: completion and `describe` use it without any heavy import.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from dataclasses import dataclass
from typing import Any

from effml.errors import UserError


@dataclass(frozen=True)
class Option:
    """One settable key: `model.k`, its type, default, help, choices and bounds."""

    key: str
    type: Any
    default: Any
    help: str
    choices: tuple[Any, ...] | None
    low: float | None
    high: float | None
    unit: str

    @property
    def type_name(self) -> str:
        return type_name(self.type)

    def expected(self) -> str:
        """What a value must be, in words: `int, 1 to 256`."""
        text = self.type_name
        if self.choices:
            text += ", one of " + ", ".join(str(choice) for choice in self.choices)
        if self.low is not None and self.high is not None:
            text += f", {self.low:g} to {self.high:g}"
        elif self.low is not None:
            text += f", at least {self.low:g}"
        elif self.high is not None:
            text += f", at most {self.high:g}"
        return text + (f" ({self.unit})" if self.unit else "")


def type_name(kind: Any) -> str:
    """`int`, `list of int`, `str or none` ..."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (list, tuple):
        return "list of " + type_name(args[0])
    if origin in (types.UnionType, typing.Union):
        return " or ".join("none" if arg is type(None) else type_name(arg) for arg in args)
    return getattr(kind, "__name__", str(kind))


def options_of(config: type, prefix: str = "") -> list[Option]:
    """Every option below a config dataclass, in the order written."""
    found: list[Option] = []
    hints = typing.get_type_hints(config)
    for item in dataclasses.fields(config):
        key = prefix + item.name
        if dataclasses.is_dataclass(hints[item.name]):
            found.extend(options_of(hints[item.name], key + "."))
            continue
        default = item.default if item.default is not dataclasses.MISSING else None
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        meta = item.metadata
        found.append(
            Option(
                key=key,
                type=hints[item.name],
                default=default,
                help=meta.get("help", ""),
                choices=meta.get("choices"),
                low=meta.get("low"),
                high=meta.get("high"),
                unit=meta.get("unit", ""),
            )
        )
    return found


def nearest(word: str, known: list[str], count: int = 3) -> list[str]:
    """The known names nearest to `word`: by whole name, then by last segment."""
    found = difflib.get_close_matches(word, known, n=count, cutoff=0.6)
    by_tail: dict[str, list[str]] = {}
    for name in known:
        by_tail.setdefault(name.rsplit(".", 1)[-1], []).append(name)
    for tail in difflib.get_close_matches(word.rsplit(".", 1)[-1], list(by_tail), n=count, cutoff=0.6):
        found.extend(name for name in by_tail[tail] if name not in found)
    return found[:count]


def unknown(what: str, word: str, known: list[str]) -> UserError:
    """The error for an unknown name, with the nearest ones, or all when none is near and they are few."""
    close = nearest(word, known)
    if close:
        return UserError(f"unknown {what} '{word}'; did you mean {', '.join(close)}?")
    listed = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
    return UserError(f"unknown {what} '{word}'; there is {listed or 'none'}")


def check_value(option: Option, value: Any) -> None:
    """Bounds and choices of one resolved value (its type was checked by the schema)."""
    values = value if isinstance(value, list | tuple) else [value]
    if isinstance(value, list | tuple) and not values:
        raise UserError(f"{option.key} is empty; expected {option.expected()}")
    for item in values:
        if item is None:
            continue
        if option.choices is not None and item not in option.choices:
            close = difflib.get_close_matches(str(item), [str(choice) for choice in option.choices], n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UserError(f"{option.key}={item} is not allowed; expected {option.expected()}{hint}")
        if isinstance(item, int | float) and not isinstance(item, bool):
            if not math.isfinite(item):
                raise UserError(f"{option.key}={item} is no finite number; expected {option.expected()}")
            below = option.low is not None and item < option.low
            above = option.high is not None and item > option.high
            if below or above:
                raise UserError(f"{option.key}={item} is out of range; expected {option.expected()}")


def check_config(config: Any, prefix: str = "") -> None:
    """Check every value of a config object, then the `check()` of each group that has one."""
    for option in options_of(type(config)):
        value = config
        for part in option.key.split("."):
            value = getattr(value, part)
        check_value(option, value)
    _check_groups(config)


def _check_groups(config: Any) -> None:
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            _check_groups(value)
    check = getattr(config, "check", None)
    if check is not None:
        check()
