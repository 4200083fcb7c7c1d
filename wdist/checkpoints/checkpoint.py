"""Checkpoints: the finished parts of a long run, in a folder, from which it continues after it was stopped or killed.

A run is a sequence of parts: trainings, transport problems, rows of a study. Finished parts leave their results; of the part under
way, its state is saved every minute and when a signal ends the run. A resumed run goes through the same sequence: what is finished
is read instead of done, the part under way goes on, and everything between the parts is done again. Results are weights, plans and
dual variables, never bounds: each bound is proved again, so that no file can make one wrong.

Code that can be resumed asks :func:`current` for its parts; without a checkpoint they are kept nowhere and cost nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


class Part:
    """One part of a run that is kept nowhere."""

    result: Any = None
    """Result that :meth:`finish` saved in an earlier run; None if the part was not finished."""

    def step(self) -> AbstractContextManager[None]:
        """Surrounds a step that must be done as a whole; between steps, the state may be saved."""
        return nullcontext()

    def run(self, work: Callable[[], T]) -> T:
        """Does the work, in steps, from the restored state on; saves the state if a signal ends it."""
        return work()

    def finish(self, result: Any) -> None:
        """Keeps the result, not None, which a resumed run reads instead of doing the work."""


class Checkpoint:
    """No checkpoint: the twin of :class:`~wdist.checkpoints.folder.FolderCheckpoint` that keeps nothing."""

    active = False
    """Whether anything is kept."""
    resumed = False
    """Whether this run goes on with an earlier one."""

    def now(self) -> float:
        """Seconds on the clock of the run, which stands still while no process works on it."""
        return time.perf_counter()

    def part(self, name: str, moving: Sequence[Any] = (), *, shared: Sequence[Any] = ()) -> Part:
        """The next part; restores what an earlier run left of it.

        Arguments:
            name: what it is; if another part stood here in the earlier run, nothing of that is used.
            moving: objects that change in the course of the part, as :func:`~wdist.checkpoints.state.state_of` describes them.
            shared: those of them that later parts go on with, such as the streams that samples are drawn from.
        """
        return Part()

    def rows(self, name: str, work: Callable[[], Iterator[T]], *, complete: Callable[[], bool] = lambda: True) -> Iterator[T]:
        """Rows of values that are measured together: those of an earlier run, or else those of ``work``.

        They are kept at the end of ``work`` if they are ``complete`` then; what it does may have parts itself.
        """
        return work()

    def confirm(self, what: str, digests: Mapping[str, str]) -> None:
        """Makes sure that a resumed run has the same data.

        Raises:
            SourceError: a digest is another than in the earlier run.
        """


NONE = Checkpoint()
_current: ContextVar[Checkpoint] = ContextVar("checkpoint", default=NONE)


def current() -> Checkpoint:
    """The checkpoint of the run that is under way."""
    return _current.get()


def now() -> float:
    """Seconds on the clock of the run that is under way."""
    return current().now()


@contextmanager
def under_way(checkpoint: Checkpoint) -> Iterator[None]:
    """Makes a checkpoint the one of the run within the context."""
    token = _current.set(checkpoint)
    try:
        yield
    finally:
        _current.reset(token)
