"""Interruption by Ctrl-C or SIGTERM: one policy for all work that can hand out a partial result."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from wdist.distributed.processes import processes

T = TypeVar("T")
_ECHO = 0.1
"""Seconds within which a repeated signal counts as the same one: ``timeout`` signals a process, and then its process group."""


class Terminated(BaseException):
    """SIGTERM to a run that can be resumed; unlike Ctrl-C, it ends the run without a result."""


class Interruption:
    """Remembers that the user asked to stop, so that everything proved so far is kept.

    Work that can hand out a partial result runs its parts through :meth:`attempt`, all with one object; nothing else catches
    ``KeyboardInterrupt``. The command line turns SIGTERM into the same exception.
    """

    def __init__(self) -> None:
        self.requested = False

    def attempt(self, work: Callable[[], T]) -> T | None:
        """Runs ``work`` unless a stop was requested earlier; returns None if it was skipped or cut short.

        Processes that share the work agree before and after it on whether a stop was requested.
        """
        self.requested = processes().stops(self.requested)
        if self.requested:
            return None
        result = None
        try:
            result = work()
        except KeyboardInterrupt:
            self.requested = True
        self.requested = processes().stops(self.requested)
        return result

    def completed(self, work: Callable[[], T]) -> T:
        """Runs short work that earlier results depend on to its end; if a stop is requested meanwhile, restarts it."""
        result = self.attempt(work)
        return work() if result is None else result


class _Signals:
    """Distinguishes a second signal from one that is sent twice at once."""

    def __init__(self) -> None:
        self._last: dict[int, float] = {}

    def heard_before(self, number: int) -> bool:
        """Whether the signal that has just arrived is a repetition of the last one."""
        now = time.monotonic()
        if now - self._last.get(number, -_ECHO) < _ECHO:
            return True
        self._last[number] = now
        return False


@contextmanager
def signals_as_ctrl_c() -> Iterator[None]:
    """Handles SIGTERM like Ctrl-C, so that a time limit keeps everything proved, and a signal sent twice at once as one."""
    signals = _Signals()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not signals.heard_before(number):
            raise KeyboardInterrupt

    ours = (signal.SIGTERM, *([signal.SIGINT] if signal.getsignal(signal.SIGINT) is signal.default_int_handler else []))
    in_main_thread = threading.current_thread() is threading.main_thread()  # only the main thread receives signals
    before = {number: signal.signal(number, interrupt) for number in ours if in_main_thread}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Lets a block finish before Ctrl-C or SIGTERM interrupts it; a second signal interrupts at once.

    This is for work whose state is consistent only at its end, such as a training step or a file. Only signals that already have a
    Python handler are deferred, and only in the main thread, which alone receives them. The handler of a deferred signal is called
    at the end of the block.

    Raises:
        KeyboardInterrupt: a handler raised it.
    """
    received: list[int] = []
    previous: dict[int, Any] = {}
    signals = _Signals()

    def defer(number: int, frame: FrameType | None) -> None:
        if signals.heard_before(number):
            return
        received.append(number)
        if len(received) > 1:
            previous[number](number, frame)

    handled = [number for number in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(number))]
    in_main_thread = threading.current_thread() is threading.main_thread()
    for each in handled if in_main_thread else ():
        previous[each] = signal.signal(each, defer)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    for number in received:
        previous[number](number, None)
