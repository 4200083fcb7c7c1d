"""Independent trainings side by side on the cores of this machine, each in a fork of this process.

Steps of small networks are no faster on two threads than on one, and far slower if other work shares the cores, so each fork has
one thread. A fork shares the samples with this process, reports its progress, and sends back its result.
"""

import os
import signal
import sys
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NoReturn, TypeVar

import torch

from wdist.checkpoints.checkpoint import current
from wdist.data.pairing import Pair
from wdist.distributed.processes import Outcome, ProcessesError, balanced, packed, processes, unpacked
from wdist.estimation.run import Agenda, Run
from wdist.interruption import deferred_interrupts
from wdist.training.observer import CriticFinished, CriticStarted, Event, Progress

T = TypeVar("T")
_CTRL_C = {signal.SIGINT}
_THREADED = 0.8
"""Speed-up of long steps from each further thread, as a fraction of the first thread's speed."""


def lanes(pair: Pair, run: Run) -> int:
    """Number of trainings that can run at once: the number of torch's threads if this process can be forked, otherwise 1.

    Forks share no open file, GPU or thread, and a generator may hold any of these. A checkpoint follows one training at a time, and
    the processes of a job divide trainings themselves.
    """
    forkable = sys.platform == "linux" and threading.current_thread() is threading.main_thread() and not torch.cuda.is_initialized()
    in_memory = run.device.type == "cpu" and all(
        side.info.kind == "synthetic" if side.endless is not None else not side.streamed for side in (pair.a, pair.b)
    )
    alone = processes().size == 1 and not current().active
    return torch.get_num_threads() if forkable and in_memory and alone else 1


def pays(costs: Sequence[float], count: int, *, threaded: bool) -> bool:
    """Whether trainings finish sooner in ``count`` lanes of one thread each than one after another.

    Arguments:
        costs: expected seconds of each training.
        count: number of lanes, and of threads per training if the trainings run one after another.
        threaded: whether their steps are long enough for several threads to speed them up.
    """
    if count < 2 or len(costs) < 2:
        return False
    longest = max(sum(costs[number] for number in lane) for lane in balanced(costs, count))
    return longest < sum(costs) / (1 + _THREADED * (count - 1) if threaded else 1)


def side_by_side(tasks: Sequence[Callable[[], T]], run: Run, *, what: str, count: int, costs: Sequence[float]) -> list[T | None]:
    """Runs tasks in forks, ``count`` at once, and returns their results; None for a task that was interrupted without a result.

    Ctrl-C interrupts the run and the tasks under way, which return what they have; a second Ctrl-C kills them.

    Arguments:
        tasks: use only one thread and data in memory, and return objects that can be pickled.
        run: the run under way; its observer receives the progress.
        what: description of the tasks.
        count: number of lanes.
        costs: expected seconds of each task.

    Raises:
        WdistError: the first error that a task raised.
    """
    run.agenda.stage(what, sum(costs) / count)
    relay = _Relay(run.agenda, costs)
    waiting = deque(enumerate(tasks))
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    found: dict[int, Outcome] = {}
    try:
        while waiting or running:
            try:
                while waiting and len(running) < count:
                    with deferred_interrupts():
                        number, task = waiting.popleft()
                        connection, process = _forked(task, run, list(running))
                        running[connection] = number, process
                ready = wait(list(running))
                for connection in [each for each in running if each in ready]:
                    with deferred_interrupts():  # a message read halfway could not be resumed
                        number, process = running[connection]
                        message = _received(connection, process, run)
                        if isinstance(message, Outcome):
                            found[number] = message
                            del running[connection]
                            process.join()
                            relay.ended(number)
                        else:
                            relay.received(number, message)
            except KeyboardInterrupt:
                if run.interruption.requested:
                    raise
                run.interruption.requested = True
                waiting.clear()
                for _, process in running.values():
                    os.kill(process.pid or 0, signal.SIGINT)
    finally:
        for _, process in running.values():
            process.kill()
            process.join()
    return [found[number].get() if number in found and not found[number].interrupted else None for number in range(len(tasks))]


def _forked(task: Callable[[], object], run: Run, others: list[Connection]) -> tuple[Connection, BaseProcess]:
    """Starts a process for a task, and returns the connection from it; ``others`` are the connections from earlier processes."""
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run_in_fork, args=(task, run, sender, [receiver, *others]), daemon=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, _CTRL_C)  # in the fork, until its own handler is in place
    try:
        with warnings.catch_warnings():  # about the display's threads, which a fork does not use
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CTRL_C)
    sender.close()
    return receiver, process


def _run_in_fork(task: Callable[[], object], run: Run, sender: Connection, receivers: list[Connection]) -> NoReturn:
    """Does the work of a fork, and exits without the usual clean-up, which belongs to the process that was forked."""
    try:
        for each in receivers:  # so that sending fails once the first process is gone
            each.close()
        os.setpgrp()  # Ctrl-C reaches the first process alone, which passes it on once
        signal.signal(signal.SIGINT, signal.default_int_handler)
        torch.set_num_threads(1)
        run.agenda.observer = _Sender(sender)
        try:
            message: object = Outcome.of(partial(_interruptible, task))
        except BaseException as error:
            error.add_note("".join(traceback.format_exception(error)))
            message = error
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            result = packed(message)
        except Exception as error:
            result = packed(RuntimeError(f"{type(message).__name__} cannot be sent from a fork: {error}"))
        sender.send_bytes(result)
    finally:
        os._exit(0)


def _interruptible(task: Callable[[], T]) -> T:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _CTRL_C)
    return task()


class _Sender:
    """Sends events to the first process."""

    def __init__(self, sender: Connection) -> None:
        self._sender = sender

    def notify(self, event: Event) -> None:
        try:
            with deferred_interrupts():
                self._sender.send_bytes(packed(event))
        except BrokenPipeError:
            os._exit(1)  # the first process was killed, so nobody needs the result


def _received(connection: Connection, process: BaseProcess, run: Run) -> object:
    try:
        message = unpacked(connection.recv_bytes())
    except EOFError as error:
        process.join()
        if run.interruption.requested:
            return Outcome(interrupted=True)
        raise ProcessesError(
            f"a process that trained a critic was killed (exit status {process.exitcode}), perhaps because memory ran out; "
            "OMP_NUM_THREADS=1 trains critics one after another"
        ) from error
    if isinstance(message, BaseException):
        raise message
    return message


class _Relay:
    """Passes on to an observer the critics found by the tasks, and the fraction of all work done."""

    def __init__(self, agenda: Agenda, costs: Sequence[float]) -> None:
        self._agenda, self._costs = agenda, costs
        self._found = [0.0] * len(costs)
        """Expected seconds of the critics that each task has found."""
        self._critic: dict[int, float] = {}
        """Expected seconds of the critic that each task is training."""
        self._share: dict[int, float] = {}
        """Fraction of that training done so far."""

    def received(self, number: int, event: object) -> None:
        match event:
            case CriticStarted():
                self._found[number] += self._critic.get(number, 0.0)
                self._critic[number], self._share[number] = event.expected or 0.0, 0.0
            case Progress():
                self._share[number] = event.fraction
                self._advance()
            case CriticFinished() if event.steps:
                self._agenda.observer.notify(event)

    def ended(self, number: int) -> None:
        self._found[number], self._critic[number] = self._costs[number], 0.0
        self._advance()

    def _advance(self) -> None:
        done = (
            min(cost, self._found[number] + self._critic.get(number, 0.0) * self._share.get(number, 0.0))
            for number, cost in enumerate(self._costs)
        )
        self._agenda.progress(sum(done) / max(sum(self._costs), 1e-9))
