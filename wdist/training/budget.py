"""Budgets: a number of steps, or a length of time."""

import re
from dataclasses import dataclass
from datetime import timedelta
from numbers import Real

from wdist.arguments import accepted, check_fields, shown
from wdist.checkpoints.checkpoint import now
from wdist.distributed.processes import processes
from wdist.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A limit on work; exactly one of the two fields is given."""

    steps: int | None = None
    """Optimiser steps; the same seed then gives the same digits on the same machine."""
    seconds: float | None = None
    """Seconds of wall-clock time; the number of steps depends on the machine."""

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.steps is None) == (self.seconds is None):
            raise UsageError("a budget is either a number of steps or a length of time; give one of --steps and --budget")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"--steps must be at least 1, not {self.steps}")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise UsageError(f"--budget must be a positive length of time, not {self.seconds:g} s; write 45s, 2m or 1h")

    def __str__(self) -> str:
        return f"{self.steps:,} step{'s' * (self.steps > 1)}" if self.steps is not None else f"{self.seconds:.3g} s"

    @classmethod
    def of(cls, budget: object) -> "Budget":
        """Makes a budget from what users write: seconds, ``"2m"``, a ``timedelta`` or a budget.

        Raises:
            UsageError: it is not a positive length of time.
        """
        if isinstance(budget, Budget):
            return budget
        if isinstance(budget, str):
            return cls.parse(budget)
        if isinstance(budget, timedelta):
            return cls(seconds=budget.total_seconds())
        if isinstance(budget, bool) or not isinstance(budget, Real):
            raise UsageError(f'budget must be seconds, "2m", a timedelta or wdist.Budget, not {shown(budget)}')
        return cls(seconds=accepted("budget", budget, float))

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Reads a length of time such as ``90``, ``45s``, ``2m`` or ``1.5h``.

        Raises:
            UsageError: the text is not a length of time.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([smh]?)\s*", text)
        if match is None:
            raise UsageError(f"--budget {text!r} is not a length of time; write it as 45s, 2m or 1h")
        return cls(seconds=float(match[1]) * _UNITS[match[2]])

    @property
    def timed(self) -> bool:
        """Whether it is a length of time rather than a number of steps."""
        return self.steps is None

    @property
    def amount(self) -> float:
        """Number of steps or seconds."""
        amount = self.seconds if self.steps is None else self.steps
        assert amount is not None
        return amount

    def part(self, share: float) -> "Budget":
        """Returns ``share`` times this budget, at least one step."""
        amount = self.amount * share
        return Budget(seconds=amount) if self.timed else Budget(steps=max(1, round(amount)))

    def start(self) -> "Clock":
        """Starts a clock."""
        return Clock(self)


class Clock:
    """Measures how much of a budget is spent."""

    resumable = ("_began",)

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._began = now()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return now() - self._began

    def fraction(self, step: int) -> float:
        """Fraction of the budget that is spent after ``step`` steps, at most 1.

        Processes that share the steps use the value of the first one, which may have been stopped.
        """
        spent = self.seconds if self.budget.timed else step
        return processes().decided(min(spent / self.budget.amount, 1.0))
