"""Processes that share the work of one command: those that torchrun started, or this one alone.

All of them run the same program on the same inputs, and meet at exchanges in the same order. :func:`processes` returns the current
group; for a single process it has the same methods, which exchange nothing and do not import torch.distributed.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from wdist.errors import ExitStatus, WdistError, first_line

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
_PENDING = 0.2
"""Seconds to wait, after an exchange has failed, for a signal that ends the whole job."""


class ProcessesError(WdistError):
    """Processes of one job cannot work together: inputs or versions differ, or a process ended."""

    exit_status = ExitStatus.INTERRUPTED


class Processes(Protocol):
    """The processes that share the current work."""

    @property
    def rank(self) -> int:
        """Number of this process, starting from 0."""
        ...

    @property
    def size(self) -> int:
        """Number of processes."""
        ...

    def gathered(self, what: str, value: T) -> list[T]:
        """The values of all processes, in the order of ranks; ``what`` names the exchange."""
        ...

    def from_first(self, what: str, work: Callable[[], T]) -> T:
        """Does ``work`` on the first process alone; every process returns its result or raises its WdistError."""
        ...

    def spread(self, what: str, tasks: Sequence[Callable[[], T]], *, costs: Sequence[float] | None = None) -> list[T]:
        """Results of independent tasks, in their order, each done by one process on its own; raises the first WdistError.

        The tasks are assigned in turn, or by :func:`balanced` from expected ``costs``, which are the same on all processes.
        """
        ...

    def decided(self, value: float) -> float:
        """The value on the first process, for decisions that depend on time."""
        ...

    def sum_(self, values: Tensor) -> None:
        """Sums tensors of the same shape in place; all processes get the same bits."""
        ...

    def stops(self, requested: bool) -> bool:
        """Whether any process was asked to stop; ``requested`` tells whether this one was."""
        ...


def balanced(costs: Sequence[float], size: int) -> list[list[int]]:
    """Numbers of the tasks that each of ``size`` processes does, in ascending order.

    Tasks are assigned from the longest to the shortest, each to the process with the least work so far.

    References:
        Graham (1969), Bounds on multiprocessing timing anomalies (at most 4/3 of the shortest time).
    """
    found: list[list[int]] = [[] for _ in range(size)]
    loads = [0.0] * size
    for number in sorted(range(len(costs)), key=lambda number: -costs[number]):
        least = loads.index(min(loads))
        found[least].append(number)
        loads[least] += costs[number]
    return [sorted(each) for each in found]


class Alone:
    """The only process."""

    rank, size = 0, 1

    def gathered(self, what: str, value: T) -> list[T]:
        return [value]

    def from_first(self, what: str, work: Callable[[], T]) -> T:
        return work()

    def spread(self, what: str, tasks: Sequence[Callable[[], T]], *, costs: Sequence[float] | None = None) -> list[T]:
        return [task() for task in tasks]

    def decided(self, value: float) -> float:
        return value

    def sum_(self, values: Tensor) -> None:
        pass

    def stops(self, requested: bool) -> bool:
        return requested


@dataclass
class _Stop:
    """This process's knowledge of Ctrl-C, which reaches all processes, but not at the same moment."""

    heard: bool = False
    """Whether this process received the signal."""
    pending: bool = False
    """Whether it came while processes worked together; all stop at an exchange, where they learn of each other's signals."""
    agreed: bool = False
    """Whether all processes know; a signal that arrives later is the same Ctrl-C."""

    def learn(self, heard: bool, pending: bool) -> None:
        """Records what all processes know after an exchange."""
        if heard:
            self.agreed, self.pending = True, pending

    def take(self) -> bool:
        """Whether to stop now; true only once."""
        pending, self.pending = self.pending, False
        return pending


_stop = _Stop()


def stop_together() -> bool:
    """Asks the work under way to stop, on Ctrl-C; False if this process was asked before.

    Raises:
        KeyboardInterrupt: this process works on its own, and stops at once.
    """
    if _stop.heard:
        return False
    _stop.heard = True
    if not _stop.agreed:
        if processes().size == 1:
            raise KeyboardInterrupt
        _stop.pending = True
    return True


@dataclass(frozen=True)
class Outcome:
    """Result of a task, or the error that every process raises instead."""

    value: Any = None
    error: WdistError | None = None
    interrupted: bool = False

    @classmethod
    def of(cls, task: Callable[[], Any]) -> Outcome:
        if _stop.take():
            return cls(interrupted=True)
        try:
            with alone():
                return cls(value=task())
        except WdistError as error:
            return cls(error=error)
        except KeyboardInterrupt:
            return cls(interrupted=True)

    def get(self) -> Any:
        if self.error is not None:
            raise self.error
        if self.interrupted:
            raise KeyboardInterrupt
        return self.value


@dataclass(frozen=True)
class Several:
    """The processes of an initialised torch.distributed group; values are exchanged by gloo, tensors on a GPU by NCCL."""

    rank: int
    size: int

    def gathered(self, what: str, value: T) -> list[T]:
        found = self._gathered(what, value)
        if _stop.take():
            raise KeyboardInterrupt
        return found

    def _gathered(self, what: str, value: T) -> list[T]:
        from torch import distributed

        found: list[Any] = [None] * self.size
        with _exchange():
            distributed.all_gather_object(found, (what, packed(value), _stop.heard, _stop.pending))
        self._check([each[0] for each in found])
        _stop.learn(any(each[2] for each in found), any(each[3] for each in found))
        return [value if rank == self.rank else unpacked(each[1]) for rank, each in enumerate(found)]

    def from_first(self, what: str, work: Callable[[], T]) -> T:
        from torch import distributed

        outcome = Outcome.of(work) if self.rank == 0 else Outcome()
        sent: list[Any] = [(what, packed(outcome), _stop.heard, _stop.pending) if self.rank == 0 else None]
        with _exchange():
            distributed.broadcast_object_list(sent, src=0)
        name, result, *signals = sent[0]
        self._check([name, what])
        _stop.learn(*signals)
        found: T = (outcome if self.rank == 0 else unpacked(result)).get()
        return found

    def spread(self, what: str, tasks: Sequence[Callable[[], T]], *, costs: Sequence[float] | None = None) -> list[T]:
        numbers = range(self.rank, len(tasks), self.size) if costs is None else balanced(costs, self.size)[self.rank]
        own = {number: Outcome.of(tasks[number]) for number in numbers}
        found = {number: outcome for part in self._gathered(what, own) for number, outcome in part.items()}
        return [found[number].get() for number in range(len(tasks))]

    def decided(self, value: float) -> float:
        import torch
        from torch import distributed

        sent = torch.tensor([value, _stop.heard, _stop.pending], dtype=torch.float64)
        with _exchange():
            distributed.broadcast(sent, src=0)
        decided, *signals = sent.tolist()
        _stop.learn(*map(bool, signals))
        if signals[1] and _stop.take():
            raise KeyboardInterrupt
        return decided

    def sum_(self, values: Tensor) -> None:
        from torch import distributed

        with _exchange():
            distributed.all_reduce(values)

    def stops(self, requested: bool) -> bool:
        requested = any(self._gathered("interruption", requested))
        return _stop.take() or requested

    def _check(self, names: Sequence[str]) -> None:
        if len(set(names)) > 1:
            raise ProcessesError(
                f"the processes of this job are at different stages ({', '.join(sorted(set(names)))}); give them the same command "
                "on machines of one kind"
            )


@contextmanager
def _exchange() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        time.sleep(_PENDING)
        raise ProcessesError(
            f"another process of this job ended ({first_line(error).partition('] ')[2] or first_line(error)}), so there is no "
            "result; torchrun's report says which one"
        ) from error


def packed(value: object) -> bytes:
    """Serialises a value with its tensors for another process of this job."""
    import torch

    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def unpacked(packed: bytes) -> Any:
    """Restores a value that :func:`packed` serialised, with its tensors on the CPU or on this process's GPU."""
    import torch

    def to_own_device(storage: Any, location: str) -> Any:
        return storage if location == "cpu" else storage.cuda(torch.cuda.current_device())

    return torch.load(io.BytesIO(packed), map_location=to_own_device, weights_only=False)  # written by our own processes


_JUST_ONE: Processes = Alone()
_present: list[Processes] = [_JUST_ONE]
"""Stack of groups; the last one shares the current work, and those before it share the surrounding work."""


def processes() -> Processes:
    """The processes that share the current work."""
    return _present[-1]


def world_size() -> int:
    """Number of processes of the job, even while this one works alone."""
    return max(each.size for each in _present)


@contextmanager
def shared_by(group: Processes) -> Iterator[None]:
    """Lets a group of processes share the work of a block."""
    _present.append(group)
    try:
        yield
    finally:
        _present.pop()


@contextmanager
def alone() -> Iterator[None]:
    """Lets this process do the work of a block on its own."""
    with shared_by(_JUST_ONE):
        yield


def check_same(what: str, value: object) -> None:
    """Checks that all processes have equal values; ``what`` names the values.

    Raises:
        ProcessesError: the values differ.
    """
    found = processes().gathered(what, value)
    other = next((rank for rank, each in enumerate(found) if each != found[0]), None)
    if other is not None:
        raise ProcessesError(f"process {other} of this job has different {what} from process 0; give all processes the same")
