"""Costs of a whole estimate beside the products of its training: start, certificate and evaluation, display, memory.

Memory is the peak that the operating system reports for a separate process.
"""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np
import torch

from wdist.data.sources.pairs import gaussian_shift
from wdist.errors import WdistError
from wdist.estimation.estimate import estimate
from wdist.studies.bench.schemes import SCHEMES, Shape
from wdist.studies.study import Skipped, complete, half_range
from wdist.training.observer import CriticFinished, CriticStarted, Event, Stage

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_KILOBYTE = 1 if sys.platform == "darwin" else 1024
_ARRAY_BYTES = 2 << 30
_ARRAY_DIM = 1024
_DISPLAYED = "10s"
_ARRAY_STEPS = 24
_SMALL = (900, 8, 8)
"""Each side of small data: as many images of 8 x 8 pixels as in ``samples/``."""
_FIRST_STEP = """
import os, time
from wdist.cli.main import main
import torch

def backward(loss, *arguments, **options):
    real(loss, *arguments, **options)
    print(time.time(), time.process_time(), flush=True)
    os._exit(0)

real, torch.Tensor.backward = torch.Tensor.backward, backward
main(["estimate", "a.h5", "b.h5", "--quiet"])
"""
"""The command, which ends once it has its first gradient."""
_DRAWN = """
import os, sys, threading, time
from rich.live import Live
from wdist.cli.main import main

def drawing():
    return sum(time.clock_gettime(time.pthread_getcpuclockid(thread.ident)) for thread in threads)

def starting(live, *arguments, **options):
    before = threading.enumerate()
    start(live, *arguments, **options)
    threads.extend(thread for thread in threading.enumerate() if thread not in before)
    began.extend([drawing(), time.perf_counter()])

def stopping(live):
    os.write(1, str((drawing() - began[0]) / (time.perf_counter() - began[1])).encode())  # print goes to the display
    os._exit(0 if threads else 1)

threads, began = [], []
start, Live.start, Live.stop = Live.start, starting, stopping
main(["synthetic", "--gaussians", "--dim", "100", "--baselines", "none", *sys.argv[1:]])
"""
"""The command on a terminal, which ends with its live display and prints the share of time that drawing took."""
_MEMORY_SHAPE, _MEMORY_BATCH, _MEMORY_STEPS = Shape(inputs=784, width=720, depth=3, group_size=9), 512, 5
_MEMORY_SCHEMES = ("floor", "adam", "muon", "paper", "torchlip")


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """One cost."""

    name: str
    what: str
    value: float
    unit: str
    values: tuple[float, ...] = ()
    """Repeated measurements, where there are some."""

    @property
    def spread(self) -> float | None:
        """Half the range of the measurements."""
        return half_range(self.values)


def _peak_bytes() -> int:
    """Peak memory of this process so far, or since :func:`_forget_peak`."""
    try:
        return next(int(line.split()[1]) * 1024 for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KILOBYTE


def _forget_peak() -> None:
    """Lowers the peak to the memory held now, where the system can (Linux); elsewhere imports may hide later peaks."""
    with suppress(OSError):
        _CLEAR.write_text("5")


def _in_a_child(work: Callable[..., float], *arguments: object) -> float:
    """The value of ``work`` in a fresh process."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _step_memory(name: str) -> float:
    """Bytes by which a few steps of a scheme raise the peak of a process that holds the samples already."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(_MEMORY_BATCH, _MEMORY_SHAPE.inputs, generator=generator) for _ in range(2))
    torch.mm(a.mT, b)  # the product library takes its own buffers
    if SCHEMES[name].needs is not None:
        assert SCHEMES[name].missing is None  # imports what it needs
    _forget_peak()
    before = _peak_bytes()
    training = SCHEMES[name].start(_MEMORY_SHAPE, seed=0)
    for _ in range(_MEMORY_STEPS):
        training.step(a, b)
    return float(_peak_bytes() - before)


def _array_memory(folder: str) -> float:
    """Peak memory of a process that estimates from two stored arrays by the default critic, over their total size."""
    torch.set_num_threads(1)
    a, b = (Path(folder) / name for name in ("a.npy", "b.npy"))
    estimate(a, b, steps=_ARRAY_STEPS, baselines="none", couplings=False)
    return _peak_bytes() / (a.stat().st_size + b.stat().st_size)


def _write_arrays(folder: str, nbytes: int) -> None:
    """Writes two arrays of float32 of ``nbytes`` in total, slab by slab."""
    rows, generator = nbytes // 2 // (4 * _ARRAY_DIM), np.random.default_rng(0)
    for shift, name in enumerate(("a.npy", "b.npy")):
        array = np.lib.format.open_memmap(Path(folder) / name, mode="w+", dtype=np.float32, shape=(rows, _ARRAY_DIM))
        for start in range(0, rows, 8192):
            part = array[start : start + 8192]
            part[:] = generator.standard_normal(part.shape, dtype=np.float32) + shift / _ARRAY_DIM**0.5
        del array


class _Stopwatch:
    """Times critics, and the training inside them."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.ended: float | None = None
        """The start of the stage after the last critic."""
        self.training = 0.0

    def notify(self, event: Event) -> None:
        match event:
            case CriticStarted():
                self.began, self.ended = self.began or time.perf_counter(), None
            case CriticFinished():
                self.training += event.seconds
            case Stage() if self.began is not None and self.ended is None:
                self.ended = time.perf_counter()


def _evaluation_share(a: Any, b: Any, *, seed: int) -> float:
    """Share of everything but training between the first critic and the transport of one default run."""
    watch = _Stopwatch()
    complete(estimate(a, b, baselines="none", seed=seed, observer=watch))
    assert watch.began is not None, "a default run has a critic"
    seconds = (watch.ended or time.perf_counter()) - watch.began
    return (seconds - watch.training) / seconds


def _display_share(seed: int) -> float:
    """Processor time of the thread that draws the live display, as a share of the time of that run.

    The difference between a run with and one without a display would be lost in the noise between runs. With a single core the run
    would take at most this much longer.
    """
    master, terminal = os.openpty()
    threading.Thread(target=_swallow, args=(master,), daemon=True).start()
    try:
        environment = {**_same_path(), "TERM": "xterm-256color"}
        command = [sys.executable, "-c", _DRAWN, "--budget", _DISPLAYED, "--seed", str(seed)]
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, check=True, env=environment, text=True).stdout
    finally:
        os.close(terminal)
    return float(said)


def _swallow(master: int) -> None:
    """Reads from a pseudo-terminal until it is closed, as a terminal does."""
    with suppress(OSError), open(master, "rb", buffering=0) as stream:
        while stream.read(1 << 16):
            pass


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """Seconds of a process."""

    processor: float
    """Independent of other work on the machine."""
    wall: float


def _start(arguments: Sequence[str]) -> _Taken:
    """Time of a whole command."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "wdist", *arguments], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _Taken(processor=processor, wall=time.perf_counter() - began)


def _first_step(folder: str) -> _Taken:
    """Time from the start of a default estimate to its first gradient."""
    began = time.time()
    command = [sys.executable, "-c", _FIRST_STEP]
    said = subprocess.run(command, capture_output=True, check=True, cwd=folder, env=_same_path(), text=True).stdout.split()
    return _Taken(processor=float(said[1]), wall=float(said[0]) - began)


def _same_path() -> dict[str, str]:
    """Environment with which a process in another folder imports the same modules."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def _small_sides(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.random.default_rng(seed).random((2, *_SMALL), dtype=np.float32)
    return a, b**2


def measure_costs(*, quick: bool, seeds: Sequence[int], wanted: Callable[[str], bool]) -> Iterator[CostRow | Skipped]:
    """Measures the selected costs, the cheap ones first; one that fails is left out, and the rest goes on.

    Arguments:
        quick: leaves out measurements of minutes.
        seeds: one repetition each.
        wanted: selects costs by name.
    """
    costs: dict[str, Callable[[], CostRow]] = {
        "help": _help,
        "start": _first_steps,
        "evaluation": lambda: _evaluation(seeds[:1] if quick else seeds),
        "evaluation small": lambda: _evaluation_small(seeds[:1] if quick else seeds),
        "display": lambda: _display(seeds[:1] if quick else seeds),
        **{f"memory {name}": partial(_memory, name) for name in _MEMORY_SCHEMES if SCHEMES[name].missing is None},
    }
    if not quick:
        costs["memory array"] = _arrays
    for name, measure in costs.items():
        if wanted(name):
            try:
                yield measure()
            except (WdistError, OSError, subprocess.SubprocessError) as error:
                yield Skipped(name=name, reason=str(error))


def _evaluation(seeds: Sequence[int]) -> CostRow:
    pair = gaussian_shift(100, 1.0)
    shares = [_evaluation_share(pair.a, pair.b, seed=seed) for seed in seeds]
    what = "freezing, certificate and evaluation in a default run on normals of 100 dimensions"
    return _repeated("evaluation", what, "of the time", shares)


def _evaluation_small(seeds: Sequence[int]) -> CostRow:
    shares = [_evaluation_share(*_small_sides(seed), seed=seed) for seed in seeds]
    what = f"the same on two sets of {_SMALL[0]} in {_SMALL[1] * _SMALL[2]} dimensions"
    return _repeated("evaluation small", what, "of the time", shares)


def _display(seeds: Sequence[int]) -> CostRow:
    what = f"the live display of a default run of {_DISPLAYED}"
    shares = [_display_share(seed) for seed in seeds]
    return _repeated("display", what, "of one core", shares)


def _first_steps() -> CostRow:
    with tempfile.TemporaryDirectory() as folder:
        _write_small(folder)
        _first_step(folder)  # once to fill the disk's cache
        measured = [_first_step(folder) for _ in range(3)]
    return _started("start", f"the first gradient of a default estimate from two sets of {_SMALL[0]}", measured)


def _help() -> CostRow:
    _start(["--help"])  # as above
    return _started("help", "wdist --help", [_start(["--help"]) for _ in range(3)])


def _started(name: str, what: str, measured: Sequence[_Taken]) -> CostRow:
    wall = median(taken.wall for taken in measured)
    values = [taken.processor for taken in measured]
    return _repeated(name, f"{what} ({wall:.2g} s of wall-clock time)", "s of processor", values)


def _memory(name: str) -> CostRow:
    what = f"memory of a step at {_MEMORY_SHAPE}, batch {_MEMORY_BATCH}: {SCHEMES[name].title}"
    return CostRow(name=f"memory {name}", what=what, value=_in_a_child(_step_memory, name) / 2**20, unit="MB")


def _arrays() -> CostRow:
    with tempfile.TemporaryDirectory() as folder:
        _write_arrays(folder, _ARRAY_BYTES)
        peak = _in_a_child(_array_memory, folder)
    size = f"{_ARRAY_BYTES / 2**30:g} GB of samples"
    what = f"peak memory of an estimate from {size}: {_ARRAY_STEPS} steps, no transport"
    return CostRow(name="memory array", what=what, value=peak, unit="times the samples")


def _write_small(folder: str) -> None:
    for name, side in zip(("a.h5", "b.h5"), _small_sides(), strict=True):
        with h5py.File(Path(folder) / name, "w") as file:
            file["images"] = side


def _repeated(name: str, what: str, unit: str, values: list[float]) -> CostRow:
    return CostRow(name=name, what=what, value=median(values), unit=unit, values=tuple(values))
