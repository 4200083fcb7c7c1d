"""Runs of the command line in processes of their own, forked from one that has everything imported, so that a trial is short."""

import itertools
import multiprocessing
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TRIALS = int(os.environ.get("WDIST_TRIALS", "100"))
PATIENCE = 120
"""Seconds after which a run counts as hung."""
_numbers = itertools.count()
_IMPORTED = (
    "wdist.cli.main", "wdist.checkpoints.folder", "wdist.estimation.estimate", "wdist.gan.training",
    "wdist.report.plots.estimate", "wdist.report.documents.forms", "wdist.report.terminal.estimate",
    "wdist.report.terminal.facts", "wdist.data.inspection", "ot",
    "h5py", "scipy.stats", "scipy.optimize", "safetensors.torch", "PIL.Image", "tests.faults.trials",
)  # fmt: skip
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(list(_IMPORTED))


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: int
    """Negative for a signal."""
    said: str
    seconds: float

    @property
    def one_sentence(self):
        """True if the run said why it failed, and nothing that only programmers understand."""
        errors = [line for line in self.said.splitlines() if line.startswith("error: ")]
        return len(errors) == 1 and self.clean

    @property
    def clean(self):
        return "Traceback" not in self.said and "internal error" not in self.said and "Exception ignored" not in self.said


class Run:
    """One run of a command, in a folder, under limits of the system."""

    def __init__(self, words, folder, *, limits=None, user=None, saved_every=60.0):
        self._log = Path(f"{folder}.{next(_numbers)}.log")
        receiver, sender = _processes.Pipe(duplex=False)
        arguments = ([str(word) for word in words], str(folder), str(self._log), limits or {}, user, saved_every, sender)
        self._process = _processes.Process(target=_command, args=arguments)
        self._process.start()
        sender.close()
        receiver.recv()
        self._began = time.perf_counter()

    def send(self, number):
        """Sends a signal, unless the run has ended."""
        if self._process.is_alive():
            os.kill(self._process.pid, number)

    def outcome(self):
        """Waits for the end."""
        self._process.join(PATIENCE)
        hung = self._process.is_alive()
        if hung:
            self._process.kill()
            self._process.join()
        seconds = time.perf_counter() - self._began
        said = self._log.read_text(errors="replace")
        self._log.unlink()
        assert not hung, f"still running after {PATIENCE} s: {said}"
        return Outcome(self._process.exitcode, said, seconds)


def run(words, folder, **limits):
    """Runs a command to its end."""
    return Run(words, folder, **limits).outcome()


def _command(words, folder, log, limits, user, saved_every, ready):
    os.chdir(folder)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["wdist", *words]
    from wdist.checkpoints import folder as checkpoint
    from wdist.cli.main import main

    checkpoint.SECONDS = saved_every
    if user is not None:
        os.setuid(user)
    for name, value in limits.items():
        used = _address_space() if name == "AS" else 0
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (used + value, used + value))
    ready.send(None)
    try:
        status = main()
    except KeyboardInterrupt:  # before the first line of main
        status = 130
    sys.stdout.flush()
    os._exit(status)  # the end of the interpreter is not what is tested


def _address_space():
    import psutil

    return psutil.Process().memory_info().vms
