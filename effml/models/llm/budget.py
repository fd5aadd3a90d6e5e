"""Hard budgets in calls, tokens and dollars: reserved before each call, settled after it.

Knows no model. What is reserved is the most that a call may use, so a limit stops before it is passed, never after.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from effml.errors import UserError
from effml.models.llm.request import Usage


class BudgetSpent(Exception):
    """The next call might pass a limit. Nothing was sent."""


@dataclass(frozen=True)
class Limits:
    """The most that may be used in all, None for no limit. `cost` in dollars, `tokens` in and out together."""

    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        for name in ("calls", "tokens", "cost"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UserError(f"A budget of {value} {name} is no budget: give a number of 0 or more.")


@dataclass
class Ledger:
    """What was spent, what is held for calls under way, and whether there is room for more.

    A sample is charged once, by its key, even when it is asked for again; samples that an earlier, interrupted attempt
    of the same work bought are charged when they are used, so that a resumed run stops where an uninterrupted one does.
    """

    limits: Limits = field(default_factory=Limits)
    spent: Usage = field(default_factory=Usage)
    held: Usage = field(default_factory=Usage)
    charged: set[str] = field(default_factory=set)
    _freed: asyncio.Event | None = None

    def room(self, need: Usage) -> str | None:
        """None when `need` fits beside what is spent and held, else the sentence that says what does not fit."""
        return self._lack(self.spent + self.held + need)

    def reserve(self, need: Usage) -> None:
        """Hold `need`, or raise BudgetSpent at once."""
        if lack := self.room(need):
            raise BudgetSpent(lack)
        self.held += need

    async def reserve_when_free(self, need: Usage) -> None:
        """Hold `need`, waiting for calls under way to give back what they did not use, if that may help."""
        while lack := self.room(need):
            if not (self.held.calls or self.held.tokens) or self._lack(self.spent + need):
                raise BudgetSpent(lack)
            if self._freed is None:
                self._freed = asyncio.Event()
            await self._freed.wait()
        self.held += need

    def settle(self, need: Usage, used: Usage) -> None:
        """Give back what was held for a call and book what it really used."""
        self.held -= need
        self.spent += used
        if self._freed is not None:
            self._freed.set()
            self._freed = None

    def _lack(self, total: Usage) -> str | None:
        limits = self.limits
        if limits.calls is not None and total.calls > limits.calls:
            return f"The budget of {limits.calls} calls is spent: {self.spent.calls} are made, one more might pass it."
        if limits.tokens is not None and total.tokens > limits.tokens:
            return f"The budget of {limits.tokens} tokens is spent: {self.spent.tokens} are used, a call might pass it."
        if limits.cost is not None:
            if total.cost is None:
                return "A budget in dollars cannot be kept: the price of a call is unknown."
            if total.cost > limits.cost + 1e-12:
                return (
                    f"The budget of ${limits.cost:g} is spent: ${self.spent.cost:.6f} are used, "
                    "and the next call might pass it."
                )
        return None
