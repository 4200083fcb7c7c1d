"""Transport: time and memory until both bounds for the samples meet, beside the solvers of POT.

Each measurement runs in its own process. Times are processor times of all its threads, so that other work on the machine hardly
matters; memory is what the solver adds to the process at its peak. POT solves problems of up to some thousand samples; beyond,
its figures are extrapolated by a power of n, fitted to its two largest sizes.

References:
    Flamary et al. (2021), POT: Python optimal transport.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wdist.data.access import Access
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import FiniteSource
from wdist.studies.machine import in_own_process, peak_bytes
from wdist.studies.panels import Panel, grouped, series_of
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, Skipped, Study, StudyTable

TOLERANCES = (1e-3, 1e-4)
WDIST, DENSE, LAZY = "wdist", "POT dense", "POT lazy"
REMARKS = (
    "The number after wdist is the requested gap; POT ends at the optimum.",
    "Time is processor time of all threads; ratio compares it with wdist at the larger gap; GB is the memory that the solver adds.",
    "* extrapolated by a power of n, fitted to the two largest sizes that POT solved.",
)
_SHIFT, _SCALE = 0.1, 1.1
_MOST_PIVOTS = 10**9
_MOST_LAZY = 100
"""Largest dimension for POT's lazy solver, which computes each distance again and again."""


@dataclass(frozen=True, kw_only=True)
class TransportRow:
    """One solver on one pair of sample sets."""

    name: str
    solver: str
    n: int
    """Samples of each side."""
    dim: int
    tolerance: float | None
    """Requested relative gap; None for a solver that ends at the optimum."""
    seconds: float
    """Seconds of processor time of all threads."""
    elapsed: float | None
    """Seconds by the clock; None if extrapolated."""
    memory: float
    """Memory that the solver adds at its peak, GB."""
    lower: float | None
    upper: float | None
    extrapolated: bool = False
    ratio: float | None = None
    """Processor time over that of wdist at the larger gap."""

    @property
    def gap(self) -> float | None:
        """Relative gap between both bounds."""
        return None if self.lower is None or not self.upper else (self.upper - self.lower) / self.upper


@dataclass(frozen=True, kw_only=True)
class Task:
    """A pair of sample sets, and the sizes at which it is solved."""

    name: str
    dim: int
    sizes: tuple[int, ...]
    by_pot: tuple[int, ...]
    """Sizes that POT solves, too."""
    digits: bool = False
    """Whether the pair is MNIST digits against normal samples of their mean and covariance, instead of two normal distributions."""


TASKS = (
    Task(name="plane", dim=2, sizes=(2000, 5000, 10_000, 20_000, 100_000), by_pot=(2000, 5000, 10_000)),
    Task(name="16 dimensions", dim=16, sizes=(2000, 5000, 10_000, 20_000), by_pot=(2000, 5000, 10_000)),
    Task(name="64 dimensions", dim=64, sizes=(2000, 5000, 10_000, 20_000, 100_000, 300_000), by_pot=(2000, 5000, 10_000)),
    Task(name="digits", dim=784, sizes=(2000, 5000, 10_000, 24_000), by_pot=(2000, 5000), digits=True),
)
QUICK_TASKS = tuple(Task(name=task.name, dim=task.dim, sizes=(500, 2000), by_pot=(500,), digits=task.digits) for task in TASKS)


def samples_of(task: Task, n: int, seed: int, data: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Both sides, float64, shape (n, dim)."""
    random = np.random.default_rng([seed, n, task.dim])
    if not task.digits:
        return random.normal(size=(n, task.dim)), _SCALE * random.normal(size=(n, task.dim)) + _SHIFT
    source = open_source(f"torchvision:MNIST?split=train&root={data}&limit={n}", Access())
    assert isinstance(source, FiniteSource)
    digits = source.read(slice(0, source.count)).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(digits.T))
    return digits, digits.mean(0) + (random.normal(size=digits.shape) * np.sqrt(values.clip(min=0))) @ vectors.T


def _by_wdist(x: np.ndarray, y: np.ndarray, tolerance: float) -> tuple[float, float]:
    from wdist.transport.solution import transport

    found = transport(x, y, tol=tolerance)
    return found.lower, found.upper


def _by_pot(x: np.ndarray, y: np.ndarray, *, lazily: bool) -> tuple[float, float]:
    import ot
    from ot.lp import emd2_lazy

    how: Any = {"metric": "euclidean", "numItermax": _MOST_PIVOTS, "return_matrix": False}
    cost = emd2_lazy(x, y, **how) if lazily else ot.emd2([], [], ot.dist(x, y, metric="euclidean"), numItermax=_MOST_PIVOTS)
    return float(cost), float(cost)


def _measured(solver: str, task: Task, n: int, tolerance: float | None, seed: int, data: Path | None) -> TransportRow:
    """Measures one solver in this process."""
    x, y = samples_of(task, n, seed, data)
    solvers: dict[str, Callable[[np.ndarray, np.ndarray], tuple[float, float]]] = {
        WDIST: lambda x, y: _by_wdist(x, y, tolerance or 0.0),
        DENSE: partial(_by_pot, lazily=False),
        LAZY: partial(_by_pot, lazily=True),
    }
    solvers[solver](x[:50], y[:50])  # so that imports are not timed
    before, began, clock = peak_bytes(), time.process_time(), time.perf_counter()
    lower, upper = solvers[solver](x, y)
    return TransportRow(
        name=task.name,
        solver=solver,
        n=n,
        dim=task.dim,
        tolerance=tolerance,
        seconds=time.process_time() - began,
        elapsed=time.perf_counter() - clock,
        memory=max(0.0, (peak_bytes() - before) / 1e9),
        lower=lower,
        upper=upper,
    )


def _measure(conditions: Conditions) -> Iterator[TransportRow | Skipped]:
    tasks = [task for task in (QUICK_TASKS if conditions.quick else TASKS) if conditions.wanted(task.name)]
    for task in [task for task in tasks if task.digits and conditions.data is None]:
        tasks.remove(task)
        yield Skipped(name=task.name, reason="needs MNIST; name its folder with --data")
    by_pot: dict[tuple[str, str], list[TransportRow]] = {}
    for n in sorted({n for task in tasks for n in task.sizes}):
        for task in (task for task in tasks if n in task.sizes):
            yield from _rows_of(task, n, by_pot, conditions)


def _rows_of(
    task: Task, n: int, by_pot: dict[tuple[str, str], list[TransportRow]], conditions: Conditions
) -> Iterator[TransportRow]:
    """All solvers at one size; extrapolated figures of POT at sizes that it does not solve."""
    conditions.announce(f"{task.name}: {n:,} samples")
    ours = [_row(WDIST, task, n, tolerance, conditions) for tolerance in TOLERANCES]
    yield from ours
    for solver in (DENSE, LAZY) if task.dim <= _MOST_LAZY else (DENSE,):
        before = by_pot.setdefault((task.name, solver), [])
        if n in task.by_pot:
            before.append(_row(solver, task, n, None, conditions))
        row = before[-1] if n in task.by_pot else _extrapolated(before, n)
        if row is not None:
            yield replace(row, ratio=row.seconds / ours[0].seconds)


def _row(solver: str, task: Task, n: int, tolerance: float | None, conditions: Conditions) -> TransportRow:
    """Measures one solver in a process of its own."""
    measured = partial(in_own_process, _measured, solver, task, n, tolerance, conditions.seed, conditions.data)
    return conditions.row(f"{task.name} {n} {solver} {tolerance}", measured)


def _extrapolated(before: Sequence[TransportRow], n: int) -> TransportRow | None:
    """Figures for n samples, extrapolated by a power of n that is fitted to the two largest sizes; None if there are fewer."""
    if len(before) < 2:
        return None
    small, large = before[-2:]

    def grown(attribute: str) -> float:
        first, last = getattr(small, attribute), getattr(large, attribute)
        power = math.log(last / first) / math.log(large.n / small.n) if first > 0 and last > 0 else 1.0
        return last * (n / large.n) ** power

    grown_to_n: Any = {"seconds": grown("seconds"), "memory": grown("memory"), "elapsed": None, "lower": None, "upper": None}
    return replace(large, n=n, extrapolated=True, **grown_to_n)


def conclude(rows: Sequence[TransportRow]) -> Conclusion:
    """Checks whether POT's optimum lies between both bounds and the gap is the requested one, and draws times and memory."""
    ours = [row for row in rows if row.solver == WDIST]
    open_gaps = [row for row in ours if row.gap is not None and row.tolerance is not None and row.gap > row.tolerance]
    optima = {(row.name, row.n): row.upper for row in rows if row.solver == DENSE and row.upper is not None}
    held = [row for row in ours if (row.name, row.n) in optima]
    missed = [row for row in held if not _holds(row, optima[row.name, row.n])]
    checks = (
        ClaimCheck(
            claim="Both bounds are as close as requested.",
            holds=not open_gaps,
            detail=f"{len(ours) - len(open_gaps)} of {len(ours)} runs",
        ),
        ClaimCheck(
            claim="POT's optimum lies between both bounds.",
            holds=not missed,
            detail=f"{len(held) - len(missed)} of {len(held)} runs",
        ),
    )
    return Conclusion(checks=checks, panels=tuple(_panels(rows)), remarks=REMARKS)


def _holds(row: TransportRow, optimum: float) -> bool:
    slack = 1e-9 * optimum  # POT sums its cost without a margin for rounding
    return row.lower is not None and row.upper is not None and row.lower <= optimum + slack and optimum <= row.upper + slack


def _panels(rows: Sequence[TransportRow]) -> Iterator[Panel]:
    for attribute, label in (("seconds", "processor time, s"), ("memory", "memory, GB")):
        for name, own in grouped(rows, "name").items():
            shown = [row for row in own if getattr(row, attribute) > 0]
            yield Panel(
                title=name,
                x_label="samples of each side",
                y_label=label,
                series=series_of(shown, name=_label, x="n", y=attribute, reference=lambda row: row.solver != WDIST),
                log_x=True,
                log_y=True,
            )


def _label(row: TransportRow) -> str:
    return row.solver if row.tolerance is None else f"{row.solver} {row.tolerance:g}"


STUDY = Study(
    name="transport",
    title="Transport between samples: time and memory until both bounds meet",
    measure=_measure,
    conclude=conclude,
    tables=(
        StudyTable(
            "Solvers",
            TransportRow,
            Column("samples", "name"),
            Column("n"),
            Column("solver", lambda row: _label(row) + " *" * row.extrapolated),
            Column("time", "seconds", "seconds"),
            Column("ratio"),
            Column("GB", "memory"),
            Column("gap", kind="at most"),
        ),
    ),
    takes_data=True,
    reduced=("500 and 2,000 samples of each side",),
)
