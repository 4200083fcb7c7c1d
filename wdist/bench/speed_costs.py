"""What a whole estimate costs beside the products of its training: memory, certificate and evaluation, start.

Memory is what the operating system says of a process of its own, at its largest.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import torch

from wdist.bench.bench import Skipped
from wdist.bench.schemes import SCHEMES, Shape
from wdist.errors import WdistError
from wdist.estimation import estimate
from wdist.sources.pairs import gaussian_shift
from wdist.training.observer import CriticFinished, CriticStarted, Event, Stage

_KILOBYTE = 1 if sys.platform == "darwin" else 1024
_ARRAY_BYTES = 2 << 30
_ARRAY_DIM = 1024
_ONE_STEP = ("synthetic", "--cones", "3", "--steps", "1", "--baselines", "none", "--quiet")
_MEMORY_SHAPE, _MEMORY_BATCH, _MEMORY_STEPS = Shape(inputs=784, width=720, depth=3, group_size=9), 512, 5
_MEMORY_SCHEMES = ("floor", "adam", "muon", "paper", "torchlip")


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """One cost, and what it was to stay within."""

    name: str
    what: str
    value: float
    unit: str
    limit: float | None = None
    values: tuple[float, ...] = ()
    """Of repeated measurements, where there are some."""

    @property
    def within(self) -> bool | None:
        return None if self.limit is None else self.value <= self.limit

    @property
    def spread(self) -> float | None:
        """Half of how far the measurements are apart."""
        return (max(self.values) - min(self.values)) / 2 if len(self.values) > 1 else None


def _peak_bytes() -> int:
    """Largest memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KILOBYTE


def _in_a_child(work: Callable[..., float], *arguments: object) -> float:
    """What ``work`` returns in a fresh process."""
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
    before = _peak_bytes()
    training = SCHEMES[name].start(_MEMORY_SHAPE, seed=0)
    for _ in range(_MEMORY_STEPS):
        training.step(a, b)
    return float(_peak_bytes() - before)


def _array_memory(folder: str) -> float:
    """Peak of a process that estimates from two stored arrays, in units of their size together."""
    torch.set_num_threads(1)
    a, b = (Path(folder) / name for name in ("a.npy", "b.npy"))
    estimate(a, b, steps=40, baselines="none")
    return _peak_bytes() / (a.stat().st_size + b.stat().st_size)


def _write_arrays(folder: str, nbytes: int) -> None:
    """Two arrays of float32 that are ``nbytes`` together, written slab by slab."""
    rows, generator = nbytes // 2 // (4 * _ARRAY_DIM), np.random.default_rng(0)
    for shift, name in enumerate(("a.npy", "b.npy")):
        array = np.lib.format.open_memmap(Path(folder) / name, mode="w+", dtype=np.float32, shape=(rows, _ARRAY_DIM))
        for start in range(0, rows, 8192):
            part = array[start : start + 8192]
            part[:] = generator.standard_normal(part.shape, dtype=np.float32) + shift / _ARRAY_DIM**0.5
        del array


class _Stopwatch:
    """Notes when critics began and ended, and how much of that was training."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.ended: float | None = None
        """When something else came after the last critic."""
        self.training = 0.0

    def notify(self, event: Event) -> None:
        match event:
            case CriticStarted():
                self.began, self.ended = self.began or time.perf_counter(), None
            case CriticFinished():
                self.training += event.seconds
            case Stage() if self.began is not None and self.ended is None:
                self.ended = time.perf_counter()


def _evaluation_share(seed: int) -> float:
    """Of one default run: all but the training itself between the first critic and the transport, as a share."""
    pair, watch = gaussian_shift(100, 1.0), _Stopwatch()
    estimate(pair.a, pair.b, baselines="none", seed=seed, observer=watch)
    assert watch.began is not None, "a default run has a critic"
    seconds = (watch.ended or time.perf_counter()) - watch.began
    return (seconds - watch.training) / seconds


def _start(arguments: Sequence[str]) -> float:
    """Seconds until a command is done."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "wdist", *arguments], capture_output=True, check=True)
    return time.perf_counter() - began


def measure_costs(*, quick: bool, seeds: Sequence[int], wanted: Callable[[str], bool]) -> Iterator[CostRow | Skipped]:
    """Measures what is wanted, the cheap ones first; what fails is left out, and the rest goes on.

    Arguments:
        quick: leaves out what takes minutes.
        seeds: one repetition each.
        wanted: by name.
    """
    costs: dict[str, Callable[[], CostRow]] = {
        "help": lambda: _repeated("help", "wdist --help", "s", _starts(["--help"]), limit=0.3),
        "start": lambda: _repeated("start", "a whole command of one step on small data", "s", _starts(_ONE_STEP), limit=3.0),
        "evaluation": lambda: _evaluation(seeds[:1] if quick else seeds),
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
    shares = [_evaluation_share(seed) for seed in seeds]
    return _repeated("evaluation", "freezing, certificate and evaluation, of a default run", "of the time", shares, limit=0.05)


def _memory(name: str) -> CostRow:
    what = f"memory of a step at {_MEMORY_SHAPE}, batch {_MEMORY_BATCH}: {SCHEMES[name].title}"
    return CostRow(name=f"memory {name}", what=what, value=_in_a_child(_step_memory, name) / 2**20, unit="MB")


def _arrays() -> CostRow:
    with tempfile.TemporaryDirectory() as folder:
        _write_arrays(folder, _ARRAY_BYTES)
        peak = _in_a_child(_array_memory, folder)
    what = f"peak memory of an estimate from {_ARRAY_BYTES / 2**30:g} GB of samples"
    return CostRow(name="memory array", what=what, value=peak, unit="times the samples", limit=1.3)


def _starts(arguments: Sequence[str]) -> list[float]:
    _start(arguments)  # once to fill the disk's cache
    return [_start(arguments) for _ in range(3)]


def _repeated(name: str, what: str, unit: str, values: list[float], *, limit: float) -> CostRow:
    return CostRow(name=name, what=what, value=median(values), unit=unit, limit=limit, values=tuple(values))
