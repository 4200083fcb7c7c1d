"""Studies: measurements of wdist on this machine, and reproductions of the paper's tables and figures.

A study is a :class:`Study`, a constant of its module, and one entry in :mod:`wdist.studies.catalogue`. It yields each row as soon
as it is measured, so that an interrupted run keeps the completed rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, TypeVar

from wdist.checkpoints.checkpoint import current, now
from wdist.distributed.processes import processes
from wdist.environment import Environment, choose_device, environment, versions
from wdist.errors import UsageError
from wdist.interruption import Interruption
from wdist.presentable import Plottable
from wdist.studies.machine import Machine, commit, machine_rate, this_machine
from wdist.studies.panels import Getter, Mosaic, Panel, Surface, getter
from wdist.training.observer import Observer, Silent, Stage

PAPER = "Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, arXiv:1811.05381"

R = TypeVar("R")
Group = Literal["bench", "reproduce"]
Kind = Literal["number", "at least", "at most", "share", "seconds"]
"""Format of a number: rounded to nearest, down ("at least") or up ("at most"), as a share in percent, or as a length of time."""
ELSEWHERE: Any = object()
"""Stands for a row that another process measures."""


class Share:
    """Every ``of``-th row of a study, starting with row ``number``, counted from 0."""

    def __init__(self, number: int, of: int) -> None:
        self.number, self.of = number, of
        self.position = -1
        """Position of the present row, or of the present group of rows measured together."""

    def takes_next(self) -> bool:
        """Moves on to the next row, and returns whether it belongs to the share."""
        self.position += 1
        return self.position % self.of == self.number


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Options of one run of a study."""

    quick: bool = False
    """Whether to run the quick form, which takes a few minutes."""
    seeds: tuple[int, ...] = (0,)
    budget: str | None = None
    """Training time of one pair, such as ``2m``; None if the study takes none."""
    trials: int | None = None
    """Number of random trials of each seed; None if the study takes none."""
    only: tuple[str, ...] = ()
    """Parts of row names, with ``*`` as a wildcard; other rows are left out. Empty: all rows."""
    data: Path | None = None
    """Folder with data sets that do not come with wdist."""
    download: bool = False
    """Whether torchvision may download a data set that is missing there."""
    trust: bool = False
    """Whether code that comes with sources may run."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Addresses of the user's own data, by the column of the table that they replace."""
    generators: Mapping[str, str] = field(default_factory=dict)
    """Addresses of the user's own generators, by the same columns."""
    device: str = "auto"
    observer: Observer = field(default_factory=Silent)
    interruption: Interruption = field(default_factory=Interruption)
    """Shared by all work of the run that can keep a part of its results."""
    share: "Share | None" = None
    """The part of the rows that is measured here; None for all of them."""

    @property
    def seed(self) -> int:
        """The first seed."""
        return self.seeds[0]

    def wanted(self, name: str, *, quick: bool = True) -> bool:
        """Whether ``only`` selects a row and the form includes it; the quick form includes only rows with ``quick=True``."""
        return (quick or not self.quick) and (not self.only or any(fnmatchcase(name, f"*{part}*") for part in self.only))

    def rows(self, name: str, work: Callable[[], Iterator[R]], *, what: str = "") -> Iterator[R]:
        """Rows that are measured together: by ``work``, or taken from a resumed run; none if another process measures them.

        ``what`` describes the work in the progress display.
        """
        if self.share is not None and not self.share.takes_next():
            return iter(())

        def announced() -> Iterator[R]:
            if what:
                self.announce(what)
            yield from work()

        return current().rows(name, announced, complete=lambda: not self.interruption.requested)

    def row(self, name: str, work: Callable[[], R], *, what: str = "") -> R:
        """Like :meth:`rows`, for one row or a value that rows are made of; :data:`ELSEWHERE` if another process measures it."""
        found = list(self.rows(name, lambda: iter([work()]), what=what))
        return found[0] if found else ELSEWHERE

    def announce(self, what: str) -> None:
        """Tells the observer what will be measured next."""
        self.observer.notify(Stage(what=what))


@dataclass(frozen=True, kw_only=True)
class ReproducedNumber:
    """One reproduced number beside the paper's: a row of a reproduction."""

    row: str
    """Name of the row, for example ``MaxMin``."""
    column: str = ""
    """Name of the column, for example ``dimension 128, depth 3``."""
    ours: float
    paper: float | tuple[float, float] | None = None
    """A number, the two ends of a range, or None if the paper states none."""
    unit: str = ""

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's number, or minus the nearer end of its range (0 inside it); None if the paper states no number."""
        if self.paper is None:
            return None
        low, high = self.paper if isinstance(self.paper, tuple) else (self.paper, self.paper)
        return self.ours - min(max(self.ours, low), high)


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A row that could not be measured here, yielded in its place."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ClaimCheck:
    """A statement, and whether the measurements support it."""

    claim: str
    holds: bool
    detail: str
    """The measured numbers."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    header: str
    cell: Getter = ""
    """Value of the cell of a row, None for an empty cell; by default the attribute with the name of the header."""
    kind: Kind | None = None
    """Format of the numbers; by default, that of the type of the value."""
    spread: Getter | None = None
    """Half of the spread over seeds, shown after the value."""
    empty: str = ""
    """Text of an empty cell; a column of empty cells is left out."""

    @classmethod
    def named(cls, *attributes: str, kind: Kind | None = None) -> "tuple[Column, ...]":
        """Columns of one kind, with the names of their attributes as headers."""
        return tuple(cls(name, kind=kind) for name in attributes)

    def value(self, row: Any) -> Any:
        """The value of the cell of a row."""
        return getter(self.cell or self.header)(row)


class StudyTable:
    """A table of all rows of one type; the first column names the row."""

    def __init__(self, title: str, of: type, *columns: Column) -> None:
        self.title, self.of, self.columns = title, of, columns


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """Claims, figure and remarks that follow from the rows."""

    checks: tuple[ClaimCheck, ...] = ()
    panels: tuple[Panel | Surface | Mosaic, ...] = ()
    remarks: tuple[str, ...] = ()
    """Sentences on how to read the tables, and on departures from the paper."""
    settings: Mapping[str, str | int | float] = field(default_factory=dict)
    """Sizes and settings of a reproduction."""


@dataclass(frozen=True, kw_only=True)
class StudyRows:
    """Rows of one type."""

    kind: str
    """The type of the rows."""
    title: str
    rows: tuple[Any, ...]
    """Rows with the fields of their type; None for a missing number."""


@dataclass(frozen=True, kw_only=True)
class StudyShard:
    """Some rows of a study; other shards hold the rest."""

    number: int
    """Number of the shard, counted from 0."""
    of: int
    settings: dict[str, Any]
    """Settings that the numbers depend on, the same for all shards."""
    name: str
    quick: bool
    seeds: tuple[int, ...]
    budget: str | None
    trials: int | None
    found: tuple[tuple[int, Any], ...]
    """Rows, each with its position among all rows."""
    seconds: float
    interrupted: bool
    machine: Machine
    environment: Environment
    commit: str | None

    def kept(self) -> "StudyShard":
        """The part of the result that the document keeps."""
        return self


@dataclass(frozen=True, kw_only=True, repr=False)
class StudyResult(Plottable):
    """Rows of a study and what follows from them."""

    study: "Study"
    conditions: Conditions
    rows: tuple[Any, ...]
    skipped: tuple[Skipped, ...] = ()
    conclusion: Conclusion = Conclusion()
    seconds: float
    full_seconds: float | None = None
    """Predicted time of the full form on this machine; None if the study makes no prediction."""
    interrupted: bool = False
    machine: Machine
    environment: Environment
    commit: str | None
    shard: "StudyShard | None" = None
    """Part of the rows that was measured; None for all of them."""

    @property
    def reduced(self) -> tuple[str, ...]:
        """Reductions of ``--quick``, a clause each; empty in the full form."""
        return self.study.reduced if self.conditions.quick else ()

    @property
    def tables(self) -> tuple[StudyRows, ...]:
        """All rows by type; if two tables show the same type, its rows appear once, under the first title."""
        titles = {table.of: table.title for table in reversed(self.study.tables)}
        return tuple(
            StudyRows(kind=kind.__name__, title=title, rows=tuple(row for row in self.rows if type(row) is kind))
            for kind, title in reversed(titles.items())
        )

    @property
    def paper(self) -> str:
        """Citation of the reproduced paper."""
        return PAPER

    @property
    def largest_difference(self) -> ReproducedNumber | None:
        """The reproduced number that is farthest from the paper's; None if the paper states no number."""
        compared = [row for row in self.rows if getattr(row, "difference", None) is not None]
        return max(compared, key=lambda row: abs(row.difference), default=None)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A measurement, with its quick and its full form."""

    name: str
    title: str
    source: str = ""
    """Place in the paper, with its appendix; empty for a suite of ``wdist bench``."""
    measure: Callable[[Conditions], Iterator[Any]]
    """Yields rows of the types of ``tables`` (:class:`ReproducedNumber` in a reproduction) or :class:`Skipped` as soon as they are
    measured, and a :class:`Conclusion` if it needs more than the rows."""
    conclude: Callable[[Sequence[Any]], Conclusion] = lambda rows: Conclusion()
    """Draws the conclusion from the rows, at least one and perhaps not all, unless ``measure`` yields one."""
    tables: tuple[StudyTable, ...] = ()
    seeds: int = 1
    """Number of seeds of the full form; the quick one has a single seed."""
    budget: str | None = None
    """Training time of one pair in the full form; None if the study takes none."""
    quick_budget: str | None = None
    trials: int | None = None
    """Number of random trials of each seed in the full form; None if the study takes none."""
    quick_trials: int | None = None
    takes_data: bool = False
    """Whether the study uses data that the user names."""
    operations: Callable[[bool], float] | None = None
    """Floating-point operations that dominate the time: of the quick form for True, of the full form for False."""
    reduced: tuple[str, ...] = ()
    """Reductions of the quick form, a clause each."""
    divisible: bool = False
    """Whether processes may measure rows at the same time; False if times are measured or rows depend on each other."""

    @property
    def group(self) -> Group:
        """The command that the study belongs to."""
        return "reproduce" if self.source else "bench"

    def forecast(self, *, quick: bool, device: str = "auto", rate: float | None = None) -> float | None:
        """Predicts the seconds that a form takes on this machine, to a factor of about two.

        ``rate`` is the number of operations per second, if known; otherwise it is measured.
        """
        if self.operations is None:
            return None
        return self.operations(quick) / (rate or machine_rate(choose_device(device)))

    def run(self, conditions: Conditions) -> StudyResult:
        """Measures the rows, divided among processes; if the user interrupts the run, the result holds the completed rows.

        Raises:
            WdistError: ``only`` selects nothing, data are missing, or a measurement failed.
            KeyboardInterrupt: the user interrupted before the first row was done.
        """
        began, state = now(), commit()  # asked first: another commit may be checked out during the run
        full_seconds = self.forecast(quick=False, device=conditions.device)
        found = self._found(conditions)
        if conditions.interruption.requested and not found:
            raise KeyboardInterrupt
        if not found and conditions.only and conditions.share is None:
            raise UsageError(f"--only {','.join(conditions.only)} matches no row of {self.name}; leave it out to see all names")
        share = conditions.share or Share(0, 1)
        shard = StudyShard(
            number=share.number,
            of=share.of,
            settings={"versions": versions(), "rows": list(conditions.only)},
            name=self.name,
            quick=conditions.quick,
            seeds=conditions.seeds,
            budget=conditions.budget,
            trials=conditions.trials,
            found=tuple(found),
            seconds=now() - began,
            interrupted=conditions.interruption.requested,
            machine=this_machine(),
            environment=environment(choose_device(conditions.device)),
            commit=state,
        )
        result = self.result_of([shard], conditions)
        return replace(result, full_seconds=full_seconds, shard=shard if share.of > 1 else None)

    def result_of(self, shards: Sequence[StudyShard], conditions: Conditions) -> StudyResult:
        """Joins the rows of shards with the same settings into one result."""
        found = [part for _, part in sorted((each for shard in shards for each in shard.found), key=itemgetter(0))]
        rows = tuple(part for part in found if not isinstance(part, Skipped | Conclusion))
        concluded = [part for part in found if isinstance(part, Conclusion)]
        return StudyResult(
            study=self,
            conditions=conditions,
            rows=rows,
            skipped=tuple(dict.fromkeys(part for part in found if isinstance(part, Skipped))),
            conclusion=concluded[0] if concluded else self.conclude(rows) if rows else Conclusion(),
            seconds=sum(shard.seconds for shard in shards),
            interrupted=any(shard.interrupted for shard in shards),
            machine=shards[0].machine,
            environment=shards[0].environment,
            commit=shards[0].commit,
        )

    def _found(self, conditions: Conditions) -> list[tuple[int, Any]]:
        """The measured rows, each with its position; a study that cannot be divided is measured by the first process alone."""
        if conditions.share is not None:
            return _measured(self, conditions, conditions.share.number, conditions.share.of)
        shares = processes().size if self.divisible else 1
        tasks = [partial(_measured, self, conditions, number, shares) for number in range(shares)]
        return [each for part in processes().spread("rows", tasks) for each in part]


def _measured(study: Study, conditions: Conditions, number: int, of: int) -> list[tuple[int, Any]]:
    """Measures the rows of one share, each with its position among all rows."""
    share = Share(number, of)
    waiting, found = study.measure(replace(conditions, share=share)), list[tuple[int, Any]]()
    while (part := conditions.interruption.attempt(lambda: next(waiting, None))) is not None:
        if part is not ELSEWHERE:
            found.append((share.position, part))
    return found


def half_range(values: Sequence[float]) -> float | None:
    """Half the range of repeated measurements; None for a single one."""
    return (max(values) - min(values)) / 2 if len(values) > 1 else None


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage in running text."""
    return f"{100 * share:.{digits}f} %"
