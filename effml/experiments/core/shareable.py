"""What may be stored of a config: everything but absolute paths, of which only the last part stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def without_paths(values: dict[str, Any], runtime: tuple[str, ...] = ()) -> dict[str, Any]:
    """Config values without the keys in `runtime` and without the folders of a user's paths."""
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if key in runtime:
            continue
        if isinstance(value, dict):
            inner = tuple(name.removeprefix(key + ".") for name in runtime if name.startswith(key + "."))
            kept[key] = without_paths(value, inner)
        elif isinstance(value, str):
            kept[key] = _last_part(value)
        else:
            kept[key] = value
    return kept


def overrides(words: list[str]) -> list[str]:
    """The user's `key=value` words without the folders of paths."""
    kept = []
    for word in words:
        key, _, value = word.partition("=")
        kept.append(f"{key}={_last_part(value)}")
    return kept


def _last_part(text: str) -> str:
    bare = text.strip("'\"")
    return Path(bare).name if bare.startswith(("/", "~")) and " " not in bare else text
