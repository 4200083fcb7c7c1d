"""A job started by torchrun: its processes join, end together, and report an error only once.

torchrun gives each process its rank in environment variables, and ends all processes once one fails. Its store outlives processes,
so the process that claims a key in the store first reports the error.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from wdist.distributed.processes import ProcessesError, Several, shared_by, stop_together
from wdist.errors import ExitStatus, first_line

_JOINING = timedelta(minutes=5)
"""Longest time to wait until all processes have started."""
_UNLIMITED = timedelta(days=365)
"""Longest exchange: a process may be busy for a long time, and torchrun notices if one ends."""
_FIRST_SPEAKS = 2.0
"""Seconds that other processes wait for the first one to report an error that all of them have met."""
_GRACE = 3.0
"""Seconds after which a signal ends a process that is busy in compiled code."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CONCLUDING = 25.0
"""Seconds after Ctrl-C in which processes conclude their results; torchrun kills them after 30."""
_SAVING = 20.0
"""Further seconds for a process that is not stuck, so that it can save its state or write files before it ends."""
_VARIABLES = ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class JobEnded(BaseException):
    """A signal ends this process and its whole job; nothing below the command line may keep a partial result."""

    def __init__(self, number: int) -> None:
        if number == signal.SIGINT:
            super().__init__("interrupted before there was a result")
        else:
            super().__init__(
                "torchrun ended this job before there was a result, because a process failed or was stopped; its report says which"
            )


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return all(name in os.environ for name in _VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


def restarted() -> bool:
    """Whether torchrun started this process to replace one that failed (``--max-restarts``)."""
    return launched() and _attempt() > 0


def _attempt() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def is_first() -> bool:
    """Whether this process prints and writes the result, because it has rank 0 or is the only one."""
    return rank() == 0


def rank() -> int:
    """Rank of this process in its job."""
    return int(os.environ["RANK"]) if launched() else 0


def local_rank() -> int:
    """Rank of this process among those on this machine."""
    return int(os.environ["LOCAL_RANK"]) if launched() else 0


def processes_here() -> int:
    """Number of processes of this job on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if launched() else 1


class Job:
    """One process of a job that torchrun started."""

    def __init__(self) -> None:
        self._store: Any = None
        self._watching: Any = None
        """A second connection to the store, for a thread that must not wait for an answer on the first one."""

    @contextlib.contextmanager
    def joined(self, *, versions: str, command: Sequence[str]) -> Iterator[None]:
        """Shares the work of a block with all processes of the job.

        Arguments:
            versions: of the programs, in words; must be the same in all processes.
            command: the command line; must be the same as well.

        Raises:
            ProcessesError: a process did not start, or has other versions or another command line.
            JobEnded: a signal ended the job.
        """
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read when torch is imported; wdist explains failed exchanges
        with self._signals_end_it():
            from torch import distributed

            store, rank, size = _rendezvous()
            self._store = distributed.PrefixStore("wdist", store)
            self._watching = self._store.clone()
            _check_alike(self._store, rank, size, {"versions": versions, "code": _code(), "command": list(command)})
            distributed.init_process_group(
                backend=_backend(), store=distributed.PrefixStore("group", store), rank=rank, world_size=size, timeout=_UNLIMITED
            )
            with shared_by(Several(rank, size)):
                yield
            self._finish(rank)
            distributed.destroy_process_group()

    def speaks(self) -> bool:
        """Whether this process should report an error; true for exactly one of those that ask, preferably the first."""
        if self._watching is None:
            return is_first()
        began = time.monotonic()
        try:
            while not is_first() and time.monotonic() - began < _FIRST_SPEAKS and not self._watching.check(["said"]):
                time.sleep(0.02)
            return int(self._watching.add("said", 1)) == 1
        except RuntimeError:  # torchrun itself has ended
            return is_first()

    def _finish(self, rank: int) -> None:
        """Waits until the first process has written the result; torchrun would end it if another process failed before."""
        if rank == 0:
            self._store.set("finished", "")
        else:
            self._store.wait(["finished"], _UNLIMITED)

    @contextlib.contextmanager
    def _signals_end_it(self) -> Iterator[None]:
        """Stops all processes together on Ctrl-C, turns other signals and a second Ctrl-C into :class:`JobEnded`, and ends a
        process that is stuck in compiled code."""

        def end(number: int, frame: FrameType | None) -> None:
            del frame
            if number == signal.SIGINT and stop_together():
                return
            _ignore_signals()
            raise JobEnded(number)

        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        before = {number: signal.signal(number, end) for number in _SIGNALS}
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._end_in_time, args=(reader,), daemon=True).start()
        try:
            yield
        except BaseException:
            _ignore_signals()  # torchrun ends the others, and this process reports why
            raise
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)

    def _end_in_time(self, reader: int) -> None:
        (number,) = os.read(reader, 1)
        another = number == signal.SIGINT and select.select([reader], [], [], _CONCLUDING)[0]
        if another:
            (number,) = os.read(reader, 1)
        if another or number != signal.SIGINT:
            before = _place_in(threading.main_thread())
            time.sleep(_GRACE)
            if _place_in(threading.main_thread()) != before:
                time.sleep(_SAVING)
        if self.speaks():
            os.write(2, f"error: {JobEnded(number)}\n".encode())  # the streams may be in use
        os._exit(ExitStatus.INTERRUPTED)


def _place_in(thread: threading.Thread) -> tuple[int, int] | None:
    """Position of a thread in its Python code, which does not change while compiled code runs."""
    frame = sys._current_frames().get(thread.ident or 0)
    return None if frame is None else (id(frame), frame.f_lasti)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _rendezvous() -> tuple[Any, int, int]:
    """The store of the job, the rank of this process, and the number of processes."""
    from torch import distributed

    try:
        store, rank, size = next(iter(distributed.rendezvous("env://", timeout=_JOINING)))
    except RuntimeError as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ProcessesError(f"process {os.environ['RANK']} of this job cannot reach {place} ({first_line(error)})") from error
    # The store may be left from an earlier attempt, with its keys.
    return distributed.PrefixStore(f"attempt {_attempt()}", store), rank, size


def _check_alike(store: Any, rank: int, size: int, own: dict[str, Any]) -> None:
    """Waits for all processes, and checks that they run the same code and command."""
    store.set(f"process {rank}", json.dumps(own))
    names = [f"process {each}" for each in range(size)]
    for name in names:
        try:
            store.wait([name], _JOINING)
        except RuntimeError as error:
            raise ProcessesError(
                f"{name} of this job did not start within {_JOINING.seconds // 60} minutes; to start wdist from within another "
                "torchrun job, remove its variables RANK and WORLD_SIZE"
            ) from error
        theirs = json.loads(store.get(name))
        for key, others in theirs.items():
            if others != own[key]:
                raise ProcessesError(_difference(key, {f"process {rank}": own[key], name: others}))


def _difference(key: str, values: dict[str, Any]) -> str:
    (one, first), (other, second) = sorted(values.items())
    if key == "command":
        return f"{one} and {other} of this job have different command lines; give all processes the same one"
    words = "different versions of wdist's code" if key == "code" else f"different versions ({first}; {second})"
    return f"{one} and {other} of this job run {words}; install the same everywhere"


def _code() -> str:
    """Digest of wdist's code, because two checkouts may have the same version."""
    folder, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def _backend() -> str:
    import torch
    from torch import distributed

    if not torch.cuda.is_available():
        return "gloo"
    return "cpu:gloo,cuda:nccl" if distributed.is_nccl_available() else "cpu:gloo"
