"""The clock of a run, which stands still while no process works on it."""

import time
from collections.abc import Callable
from contextvars import ContextVar

clock: ContextVar[Callable[[], float]] = ContextVar("clock", default=time.perf_counter)
"""The clock of the run that is under way."""


def now() -> float:
    """Seconds on the clock of the run that is under way."""
    return clock.get()()
