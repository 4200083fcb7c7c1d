"""Costs of an estimate besides training steps: start, certificate and evaluation, display, memory; and the time of default runs.

Memory is the peak that the operating system reports for a separate process.
"""

import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np
import torch

from wdist.data.sources.pairs import gaussian_shift
from wdist.errors import WdistError
from wdist.studies.bench.schemes import SCHEMES, Shape
from wdist.studies.machine import ONE_THREAD, in_own_process, peak_bytes
from wdist.studies.progress import estimated
from wdist.studies.study import Conditions, Skipped, half_range
from wdist.training.observer import CriticFinished, CriticStarted, Event, Stage

_CLEAR = Path("/proc/self/clear_refs")
_ARRAYS, _ARRAY_STEPS = (1 << 18, 1024), 24
_LARGE = (50_000, 2048)
"""Samples a side, and dimensions, of a long default run."""
_SYNTHETIC = ("--cones 3", "--absolute-value", "--sphere 128")
"""Pairs of short default runs."""
_DISPLAYED, _REPETITIONS = "10s", 3
_SMALL = (900, 8, 8)  # each side of small data: about as many images of 8 x 8 pixels as in ``samples/``
_FIRST_GRADIENT = """
import os, time
from wdist.cli.main import main
import torch

def backward(loss, *arguments, **options):
    real(loss, *arguments, **options)
    print(time.process_time(), flush=True)
    os._exit(0)

real, torch.Tensor.backward = torch.Tensor.backward, backward
main(["estimate", "a.h5", "b.h5", "--quiet"])
"""
"""Runs the command up to its first gradient, and prints the processor time."""
_DRAWING_SHARE = """
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
"""Runs the command on a terminal until its live display ends, and prints the share of that time that drawing took."""
_MEMORY_SHAPE, _MEMORY_BATCH, _MEMORY_STEPS = Shape(inputs=784, width=720, depth=3, group_size=9), 512, 5
_MEMORY_SCHEMES = ("floor", "adam", "muon", "paper", "torchlip")


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """One measured cost."""

    name: str
    what: str
    value: float
    unit: str
    values: tuple[float, ...] = ()
    """All measurements; ``value`` is their median."""

    @property
    def spread(self) -> float | None:
        return half_range(self.values)


def _reset_peak() -> None:
    """Resets the peak to the memory held now, on Linux; on other systems imports may hide later peaks."""
    with suppress(OSError):
        _CLEAR.write_text("5")


def _step_memory(name: str) -> list[float]:
    """MiB by which a few steps of a scheme raise the peak of a process that already holds the samples."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(_MEMORY_BATCH, _MEMORY_SHAPE.inputs, generator=generator) for _ in range(2))
    torch.mm(a.mT, b)  # makes the matrix library allocate its buffers
    assert SCHEMES[name].missing is None  # also imports its package
    _reset_peak()
    before = peak_bytes()
    training = SCHEMES[name].start(_MEMORY_SHAPE, seed=0)
    for _ in range(_MEMORY_STEPS):
        training.step(a, b)
    return [(peak_bytes() - before) / 2**20]


def _array_memory(folder: str) -> list[float]:
    """Peak memory of a process that makes an estimate from two stored arrays, over their total size."""
    torch.set_num_threads(1)
    a, b = (Path(folder) / name for name in ("a.npy", "b.npy"))
    estimated(a, b, steps=_ARRAY_STEPS, baselines="none", couplings=False)
    return [peak_bytes() / (a.stat().st_size + b.stat().st_size)]


def _write_arrays(folder: str, rows: int, dim: int) -> None:
    """Writes two float32 arrays of shape (rows, dim), slab by slab: normals, and normals shifted by 1."""
    generator = np.random.default_rng(0)
    for shift, name in enumerate(("a.npy", "b.npy")):
        array = np.lib.format.open_memmap(Path(folder) / name, mode="w+", dtype=np.float32, shape=(rows, dim))
        for start in range(0, rows, 8192):
            part = array[start : start + 8192]
            part[:] = generator.standard_normal(part.shape, dtype=np.float32) + shift / dim**0.5
        del array


@dataclass
class _Stopwatch:
    """Measures the time from the first critic to the stage after the last one, and the training within it."""

    began: float | None = None
    ended: float | None = None
    training: float = 0.0

    def notify(self, event: Event) -> None:
        match event:
            case CriticStarted():
                self.began, self.ended = self.began or time.perf_counter(), None
            case CriticFinished():
                self.training += event.seconds
            case Stage() if self.began is not None and self.ended is None:
                self.ended = time.perf_counter()


def _evaluation_shares(sides: Callable[[int], tuple[Any, Any]], seeds: Sequence[int]) -> list[float]:
    """Share of time not spent on training between the first critic and the transport of a default run, for each seed."""
    found = []
    for seed in seeds:
        watch = _Stopwatch()
        estimated(*sides(seed), baselines="none", seed=seed, observer=watch)
        assert watch.began is not None, "a default run has a critic"
        seconds = (watch.ended or time.perf_counter()) - watch.began
        found.append((seconds - watch.training) / seconds)
    return found


def _normal_sides(seed: int) -> tuple[Any, Any]:
    pair = gaussian_shift(100, 1.0)
    return pair.a, pair.b


def _display_share(seed: int) -> float:
    """Processor time of the thread that draws the live display, over the time of the run.

    The difference from a run without a display would be lost in the noise. On a single core, drawing slows the run by at most this
    share.
    """
    master, terminal = os.openpty()
    threading.Thread(target=_discard, args=(master,), daemon=True).start()
    try:
        environment = {**_same_path(), "TERM": "xterm-256color"}
        command = [sys.executable, "-c", _DRAWING_SHARE, "--budget", _DISPLAYED, "--seed", str(seed)]
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, check=True, env=environment, text=True).stdout
    finally:
        os.close(terminal)
    return float(said)


def _discard(master: int) -> None:
    """Reads from a pseudo-terminal until it is closed, and discards everything."""
    with suppress(OSError), open(master, "rb", buffering=0) as stream:
        while stream.read(1 << 16):
            pass


def _help_seconds() -> list[float]:
    """Processor seconds of ``wdist --help`` in several runs, after one that fills the disk cache."""
    found = []
    for _ in range(1 + _REPETITIONS):
        before = os.times()
        subprocess.run([sys.executable, "-m", "wdist", "--help"], capture_output=True, check=True)
        after = os.times()
        found.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return found[1:]


def _first_gradient_seconds() -> list[float]:
    """Processor seconds from the start of a default estimate to its first gradient; runs as in :func:`_help_seconds`."""
    with tempfile.TemporaryDirectory() as folder:
        for name, side in zip(("a.h5", "b.h5"), _small_sides(), strict=True):
            with h5py.File(Path(folder) / name, "w") as file:
                file["images"] = side
        command = [sys.executable, "-c", _FIRST_GRADIENT]
        how: Any = {"capture_output": True, "check": True, "cwd": folder, "env": _same_path(), "text": True}
        return [float(subprocess.run(command, **how).stdout) for _ in range(1 + _REPETITIONS)][1:]


def _same_path() -> dict[str, str]:
    """Environment in which a process in another folder imports the same modules."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def _small_sides(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.random.default_rng(seed).random((2, *_SMALL), dtype=np.float32)
    return a, b**2


def measure_costs(conditions: Conditions) -> Iterator[CostRow | Skipped]:
    """Measures the selected costs, cheap ones first; a cost that cannot be measured is skipped."""
    seeds = conditions.seeds[:1] if conditions.quick else conditions.seeds
    for name, what, unit, measure in _costs(quick=conditions.quick, seeds=seeds):
        if conditions.wanted(name):
            try:
                yield _row(name, what, unit, measure, conditions)
            except (WdistError, OSError, subprocess.SubprocessError) as error:
                yield Skipped(name=name, reason=str(error))


def _row(name: str, what: str, unit: str, measure: Callable[[], Sequence[float]], conditions: Conditions) -> CostRow:
    values = conditions.row(name, lambda: tuple(measure()))
    return CostRow(name=name, what=what, value=median(values), unit=unit, values=values)


def _costs(*, quick: bool, seeds: Sequence[int]) -> Iterator[tuple[str, str, str, Callable[[], Sequence[float]]]]:
    """Name, description, unit and measurement of each cost; the quick form omits measurements that take minutes."""
    yield "help", "wdist --help", "s of processor", _help_seconds
    start = f"the first gradient of a default estimate from two sets of {_SMALL[0]}"
    yield "start", start, "s of processor", _first_gradient_seconds
    shares = "freezing, certificate and evaluation in a default run on"
    small = f"two sets of {_SMALL[0]} in {_SMALL[1] * _SMALL[2]} dimensions"
    yield "evaluation", f"{shares} normals of 100 dimensions", "of the time", partial(_evaluation_shares, _normal_sides, seeds)
    yield "evaluation small", f"{shares} {small}", "of the time", partial(_evaluation_shares, _small_sides, seeds)
    display = f"the live display of a default run of {_DISPLAYED}"
    yield "display", display, "of one core", lambda: [_display_share(seed) for seed in seeds]
    for name in _MEMORY_SCHEMES:
        if SCHEMES[name].missing is None:
            what = f"memory of a step at {_MEMORY_SHAPE}, batch {_MEMORY_BATCH}: {SCHEMES[name].title}"
            yield f"memory {name}", what, "MB", partial(in_own_process, _step_memory, name)
    if quick:
        return
    what = f"peak memory of an estimate from {8 * math.prod(_ARRAYS) / 2**30:g} GB of samples: {_ARRAY_STEPS} steps, no transport"
    yield "memory array", what, "times the samples", _array_peak
    for pair in _SYNTHETIC:
        command = ["synthetic", *pair.split()]
        yield f"run {pair}", f"wdist synthetic {pair}", "s", partial(_run_seconds, command, seeds)
    what = f"wdist estimate of two sets of {_LARGE[0]:,} normals in {_LARGE[1]:,} dimensions"
    yield "run large", what, "s", partial(_large_run_seconds, seeds)


def _array_peak() -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        _write_arrays(folder, *_ARRAYS)
        return in_own_process(_array_memory, folder)


def _large_run_seconds(seeds: Sequence[int]) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        _write_arrays(folder, *_LARGE)
        return _run_seconds(["estimate", *(str(Path(folder) / name) for name in ("a.npy", "b.npy"))], seeds)


def _run_seconds(command: Sequence[str], seeds: Sequence[int]) -> list[float]:
    """Seconds by the clock that a command takes for each seed, with all threads of the machine."""
    environment = {name: value for name, value in _same_path().items() if name not in ONE_THREAD}
    found = []
    for seed in seeds:
        began = time.perf_counter()
        arguments = [sys.executable, "-m", "wdist", *command, "--seed", str(seed), "--quiet"]
        subprocess.run(arguments, capture_output=True, check=True, env=environment)
        found.append(time.perf_counter() - began)
    return found
