"""One suite of measurements: rows that come one after the other, the tables that show them, and what follows from them.

A suite is a file of its own with one :class:`Bench`, and a line in :mod:`wdist.studies.bench.registry`. Its rows are frozen dataclasses of
its own; each is handed over as soon as it is measured, so that an interrupted run keeps what is done.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from scipy import stats

from wdist.environment import Environment, choose_device, environment
from wdist.errors import UsageError
from wdist.studies.bench.machine import Machine, commit, this_machine
from wdist.studies.claim_check import Finding
from wdist.training.observer import Observer, Silent

Kind = Literal["text", "number", "at least", "at most", "share", "seconds", "count", "yes or no"]
"""How a cell is written: a text as it is; a number rounded to the nearest, down or up; a share of one as per cent; ..."""


def half_range(values: Sequence[float]) -> float | None:
    """Half of how far repeated measurements are apart; None of a single one."""
    return (max(values) - min(values)) / 2 if len(values) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Under what a suite is measured."""

    quick: bool = False
    """A few minutes instead of the sizes that are published."""
    seeds: tuple[int, ...] = (0,)
    budget: str | None = None
    """Training time of one pair in words such as ``2m``; None for the suite's own."""
    only: tuple[str, ...] = ()
    """Parts of names, in which ``*`` stands for anything: rows whose names contain none are left out. Empty: all rows."""
    data: Path | None = None
    """Folder with data sets that do not come with the project; rows that need it are skipped without it."""
    device: str = "auto"
    observer: Observer = field(default_factory=Silent)

    def wanted(self, name: str) -> bool:
        """Whether ``only`` selects the row of that name."""
        return not self.only or any(fnmatchcase(name, f"*{part}*") for part in self.only)


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A row that could not be measured on this machine, yielded in its place."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a table shows of each row."""

    header: str
    cell: Callable[[Any], Any]
    """Maps a row to the value of its cell; None leaves the cell empty."""
    kind: Kind = "number"
    spread: Callable[[Any], float | None] | None = None
    """Maps a row to half of the spread over seeds, which is shown behind the value."""


@dataclass(frozen=True, kw_only=True)
class BenchTable:
    """All rows of one type."""

    title: str
    of: type
    columns: tuple[Column, ...]
    """The first column names the row."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Named points of one panel."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    labels: tuple[str, ...] = ()
    """A label for each point; empty where there are too many to be read."""
    errors: tuple[float, ...] = ()
    """Half widths of their spread in y."""
    line: bool = False
    """Whether the points are joined by a line, in their order."""
    reference: bool = False
    """Whether this is something to compare results with; drawn pale, with open marks."""

    def __post_init__(self) -> None:
        if not len(self.x) == len(self.y) or any(len(each) not in (0, len(self.x)) for each in (self.labels, self.errors)):
            raise ValueError(f"series {self.name!r}: x, y, labels and errors differ in length")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel of the figure."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False
    ticks: tuple[str, ...] = ()
    """Names of the abscissae 0, 1, 2, ..., where these stand for categories."""
    level: float | None = None
    """Height of a dashed line: the truth, the nominal error, a ratio of one."""
    bottom: float | None = None
    top: float | None = None
    """Limits of the ordinate, where it is not to follow from the points."""


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What follows from the rows, for text and figure."""

    findings: tuple[Finding, ...] = ()
    panels: tuple[Panel, ...] = ()
    remarks: tuple[str, ...] = ()
    """How to read the tables, a sentence each."""


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """A suite as it was measured."""

    what: str
    title: str
    quick: bool
    seeds: tuple[int, ...]
    budget: str | None
    reduced: tuple[str, ...]
    """What ``--quick`` made smaller, a clause each; empty in the full form."""
    rows: tuple[Any, ...]
    skipped: tuple[Skipped, ...]
    tables: tuple[BenchTable, ...]
    conclusion: Conclusion
    seconds: float
    interrupted: bool
    machine: Machine
    environment: Environment
    commit: str | None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A suite: its name, what it measures, and how."""

    name: str
    title: str
    measure: Callable[[Conditions], Iterator[Any]]
    """Yields rows, each of a type of ``tables`` or :class:`Skipped`, as soon as they are measured."""
    tables: tuple[BenchTable, ...]
    conclude: Callable[[Sequence[Any]], Conclusion]
    """From rows, possibly fewer than all or none."""
    seeds: int = 3
    """How many the full form takes."""
    quick_seeds: int = 1
    budget: str | None = None
    """Training time of one pair in the full form; None where the suite has no use for one."""
    quick_budget: str | None = None
    takes_data: bool = False
    """Whether some rows need ``--data``."""
    reduced: tuple[str, ...] = ()
    """What the quick form makes smaller, a clause each."""

    def run(self, conditions: Conditions) -> BenchResult:
        """Measures the suite, or as much of it as is done when Ctrl-C comes.

        Raises:
            WdistError: ``only`` lets nothing through, or a measurement failed.
            KeyboardInterrupt: before the first row was done.
        """
        began, state = time.perf_counter(), commit()  # of the code that runs, whatever is checked out meanwhile
        rows: list[Any] = []
        skipped: list[Skipped] = []
        interrupted = False
        try:
            for row in self.measure(conditions):
                (skipped if isinstance(row, Skipped) else rows).append(row)
        except KeyboardInterrupt:
            if not rows:
                raise
            interrupted = True
        if not rows and not skipped and conditions.only:
            raise UsageError(f"--only {','.join(conditions.only)} names nothing of {self.name}; leave it out to see all names")
        return BenchResult(
            what=self.name,
            title=self.title,
            quick=conditions.quick,
            seeds=conditions.seeds,
            budget=conditions.budget,
            reduced=self.reduced if conditions.quick else (),
            rows=tuple(rows),
            skipped=tuple(skipped),
            tables=self.tables,
            conclusion=self.conclude(rows),
            seconds=time.perf_counter() - began,
            interrupted=interrupted,
            machine=this_machine(),
            environment=environment(choose_device(conditions.device)),
            commit=state,
        )


# MERGED bench.chance: How many wrong bounds are no accident.

_NOISE = 0.999
"""How sure a count has to be that it is no accident."""


def most_by_chance(runs: int, error: float) -> int:
    """How many of so many runs may be wrong, but for one time in a thousand, if each is with probability ``error``."""
    return int(stats.binom.ppf(_NOISE, runs, error))
