"""Checkpoints: the finished parts of a long run, saved in a folder, from which the run can resume after it is stopped or killed.

A run is a sequence of parts: trainings, transport problems, rows of a study. Each finished part saves its result; the state of the
part under way is saved every minute and when a signal ends the run. A resumed run goes through the same sequence: results of
finished parts are read, the part under way continues, and everything between the parts is done again. Results are weights, plans
and dual variables, never bounds: each bound is proved again, so no file can make a bound wrong.

Code that can be resumed gets its parts from :func:`current`; without a checkpoint, these save nothing and cost nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


class Part:
    """One part of a run without a checkpoint."""

    result: Any = None
    """Result that :meth:`finish` saved in an earlier run; None if the part was not finished."""

    def step(self) -> AbstractContextManager[None]:
        """Context of a step that must be completed as a whole; between steps, the state may be saved."""
        return nullcontext()

    def run(self, work: Callable[[], T]) -> T:
        """Does the work, in steps, from the restored state; saves the state if a signal ends it."""
        return work()

    def finish(self, result: Any) -> None:
        """Saves the result, not None, which a resumed run reads instead of doing the work."""


class Checkpoint:
    """No checkpoint: the twin of :class:`~wdist.checkpoints.folder.FolderCheckpoint` that saves nothing."""

    active = False
    """Whether anything is saved."""
    resumed = False
    """Whether this run continues an earlier one."""

    def now(self) -> float:
        """Seconds on the clock of the run, which stops while no process works on it."""
        return time.perf_counter()

    def part(self, name: str, moving: Sequence[Any] = (), *, shared: Sequence[Any] = ()) -> Part:
        """The next part; restores what an earlier run saved of it.

        Arguments:
            name: describes the part; if the earlier run had a different part here, nothing of that is used.
            moving: objects that change during the part, with a state that :func:`~wdist.checkpoints.state.state_of` can read.
            shared: those of them that later parts continue to use, such as the streams that samples are drawn from.
        """
        return Part()

    def rows(self, name: str, work: Callable[[], Iterator[T]], *, complete: Callable[[], bool] = lambda: True) -> Iterator[T]:
        """Rows of values that are measured together: from an earlier run, or else from ``work``.

        They are saved when ``work`` ends if they are ``complete`` then; ``work`` may have parts of its own.
        """
        return work()

    def confirm(self, what: str, digests: Mapping[str, str]) -> None:
        """Checks that a resumed run has the same data.

        Raises:
            SourceError: a digest differs from that of the earlier run.
        """


NONE = Checkpoint()
_current: ContextVar[Checkpoint] = ContextVar("checkpoint", default=NONE)


def current() -> Checkpoint:
    """The checkpoint of the run under way."""
    return _current.get()


def now() -> float:
    """Seconds on the clock of the run under way."""
    return current().now()


@contextmanager
def under_way(checkpoint: Checkpoint) -> Iterator[None]:
    """Makes a checkpoint the current one within the context."""
    token = _current.set(checkpoint)
    try:
        yield
    finally:
        _current.reset(token)
