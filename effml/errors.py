"""The errors that a user can mend, and the outcomes that have an exit code. Everything else is a bug and may trace.

A message is one sentence that says what was wrong, where, and what would be right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Outcome(Exception):
    """An end that is not success; `code` is the process's exit code."""

    code = 1


class UserError(Outcome):
    """A mistake in what the user typed or configured."""

    code = 2


class SweepFailed(Outcome):
    """Part of a sweep failed."""

    code = 3


class MissingRequirement(Outcome):
    """Something needed is absent or unusable: data, GPU, tool, extra, key, disk.

    The message names the thing and how to get it.
    """

    code = 4


class Differs(Outcome):
    """A check found a difference."""

    code = 5


class RunFailed(Outcome):
    """The experiment raised; its row and log tell what.

    Attributes:
        row: the row that was written.
        folder: the run folder.
    """

    code = 1

    def __init__(self, message: str, row: dict[str, Any], folder: Path) -> None:
        self.row, self.folder = row, folder
        super().__init__(message)


class RunInterrupted(RunFailed):
    """Stopped by the user; what was measured is kept."""

    code = 130
