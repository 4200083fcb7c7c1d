"""Interruption by Ctrl-C or SIGTERM: one policy for all work that can hand out a partial result."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Interruption:
    """Remembers that the user asked to stop, so that what is proved by then is kept.

    Work that can hand out a partial result runs its parts through :meth:`attempt`, all with one object; nothing else catches
    ``KeyboardInterrupt``. The command line turns SIGTERM into the same exception.
    """

    def __init__(self) -> None:
        self.requested = False

    def attempt(self, work: Callable[[], T]) -> T | None:
        """Runs ``work`` unless a stop was requested before; returns None if it was skipped or cut short."""
        if self.requested:
            return None
        try:
            return work()
        except KeyboardInterrupt:
            self.requested = True
            return None
