"""Tables as numbers: typed columns, read in blocks and kept as float64 in memory or in a temporary file.

Booleans are 0 and 1, dates are days since 1970, categories are the positions of their sorted levels, and NaN is a missing value.
"""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from wdist.data.memory import fits
from wdist.data.sources.address import Address, suggestion
from wdist.data.sources.arrays import StoredArray, shortened, tensor_of
from wdist.data.sources.column import CATEGORY, EMPTY, MOST_LEVELS, TEXT, Column, position_name
from wdist.data.sources.spool import Spool
from wdist.errors import SourceError

MISSING = frozenset(("", "NA", "NaN", "nan", "null", "NULL", "None", "N/A"))
"""Cells of a text table that stand for a missing value."""
_EPOCH, _DAY = datetime(1970, 1, 1, tzinfo=UTC), timedelta(days=1)
_FEW = 20
"""Number of texts up to which all may differ in a category."""


def days(time: date) -> float:
    """Days from 1970 to a date or a time; one without a time zone is taken as UTC."""
    if not isinstance(time, datetime):
        time = datetime(time.year, time.month, time.day)
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) / _DAY


class Coder:
    """Turns blocks of typed columns into rows of numbers, and counts levels and missing values."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._levels: list[dict[str, int]] = [{} for _ in columns]
        self._missing, self._count = np.zeros(len(columns), dtype=np.int64), 0

    def block(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Rows, float64, shape (n, columns).

        Arguments:
            values: the values of each column, shape (n,): float64 with NaN for missing values, or texts with None for them.
        """
        codes = [self._counted(k, each) if self._columns[k].type in (CATEGORY, TEXT) else each for k, each in enumerate(values)]
        columns = np.stack(codes).astype(np.float64, copy=False)
        self._missing += np.isnan(columns).sum(axis=1)
        self._count += columns.shape[1]
        # Stacking along the last axis, value by value, would take three times as long.
        return np.ascontiguousarray(columns.T)

    def _counted(self, column: int, texts: np.ndarray) -> np.ndarray:
        levels = self._levels[column]
        if self._columns[column].problem or len(levels) > MOST_LEVELS:
            # There are too many levels already; from now on, only missing values are counted.
            return np.array([np.nan if text is None else 0.0 for text in texts])
        return np.array([np.nan if text is None else levels.setdefault(text, len(levels)) for text in texts], dtype=np.float64)

    @property
    def counts(self) -> dict[str, Any]:
        """Counts so far, as plain values, from which another coder of the same columns can continue."""
        return {"levels": [list(each) for each in self._levels], "missing": self._missing.tolist(), "count": self._count}

    @counts.setter
    def counts(self, known: Mapping[str, Any]) -> None:
        self._levels = [{text: k for k, text in enumerate(each)} for each in known["levels"]]
        self._missing, self._count = np.array(known["missing"], dtype=np.int64), int(known["count"])

    def columns(self, address: str) -> tuple[Column, ...]:
        """The columns with their levels, sorted, and their missing values, as far as rows were counted."""
        return tuple(self._finished(k, column, address) for k, column in enumerate(self._columns))

    def _finished(self, k: int, column: Column, address: str) -> Column:
        column = replace(column, start=k, stop=k + 1, missing=int(self._missing[k]))
        if column.missing == self._count > 0:
            return replace(column, type=EMPTY)
        if column.type != CATEGORY:
            return column
        levels, present = sorted(self._levels[k]), self._count - column.missing
        many = len(levels) > MOST_LEVELS
        if many or len(levels) == present > _FEW:
            what = f"more than {MOST_LEVELS:,} different texts" if many else "a different text in every row"
            problem = f"{address}: the column {column.name!r} holds {what}, so it is not a category; {leave_out(column.name)}"
            return replace(column, type=TEXT, problem=problem)
        return replace(column, levels=tuple(levels))

    def ranked(self, rows: np.ndarray) -> np.ndarray:
        """Renumbers the levels of each category in sorted order, in place."""
        for k, levels in enumerate(self._levels):
            if levels and len(levels) <= MOST_LEVELS:
                rank = np.empty(len(levels))
                rank[[levels[text] for text in sorted(levels)]] = np.arange(len(levels))
                known = ~np.isnan(rows[:, k])
                rows[known, k] = rank[rows[known, k].astype(np.int64)]
        return rows


def leave_out(*names: str) -> str:
    """Advice for columns that cannot be compared."""
    return f"leave {'it' if len(names) == 1 else 'them'} out with ?without={','.join(names)}"


class TableRows(Protocol):
    """Rows of float64, shape (n, columns): in memory, or read on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows and of columns."""

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Some rows, in order."""


def stored_table(
    rows: TableRows,
    coder: Coder | None,
    columns: tuple[Column, ...] | None,
    name: str,
    notes: tuple[str, ...] = (),
    *,
    rows_together: int = 1,
    identity: Callable[[], str | None] = lambda: None,
) -> StoredArray:
    """A table as an array of float64."""

    def read_rows(start: int, stop: int) -> Tensor:
        part = np.array(rows[start:stop])
        return tensor_of(part if coder is None else coder.ranked(part), name)

    return StoredArray(
        shape=rows.shape,
        dtype="float64",
        itemsize=8,
        read_rows=read_rows,
        rows_together=rows_together,
        identity=identity,
        notes=notes,
        columns=columns,
    )


def held(blocks: Iterable[np.ndarray], nbytes: int) -> TableRows:
    """All rows, in memory if ``nbytes`` fit twice, else in a temporary file."""
    return np.concatenate(list(blocks)) if fits(2 * nbytes) else Spool(blocks)


def check_columns(columns: Sequence[Column] | None) -> None:
    """Refuses a table with columns whose values have no distance, in an error that explains the first and names all."""
    wrong = [column for column in columns or () if column.problem]
    if not wrong:
        return
    names = [column.name for column in wrong]
    why, _, way_out = wrong[0].problem.partition("; ")
    if len(wrong) > 1 and all(column.problem.endswith(f"; {way_out}") for column in wrong):
        raise SourceError(f"{why}, and likewise in {shortened(names[1:])}; {way_out}")
    if len(wrong) > 1:
        why = wrong[0].problem.removesuffix(f"; {leave_out(names[0])}")
        raise SourceError(f"{why}; nor can {shortened(names[1:])} be compared; {leave_out(*names)}")
    raise SourceError(wrong[0].problem)


def chosen_columns(address: Address, names: Sequence[str] | None, count: int) -> list[int] | None:
    """Positions of the columns that ``?columns=x,y`` names, in that order, or that ``?without=x,y`` leaves; None for all.

    Columns without names are called by their positions, as messages call them: ``?without=column 1``.

    Raises:
        SourceError: a name is unknown or given twice, the columns have no names, or no column is left.
    """
    if "columns" in address.options and "without" in address.options:
        raise SourceError(f"{address}: columns= and without= both choose columns; give only one of them")
    option = next((each for each in ("columns", "without") if each in address.options), None)
    if option is None:
        return None
    found = _positions(address, option, names or [position_name(k) for k in range(count)])
    if option == "columns":
        return found
    left = [k for k in range(count) if k not in found]
    if not left:
        raise SourceError(f"{address}: without= leaves no columns; name fewer")
    return left


def categories(address: Address, names: Sequence[str]) -> set[int]:
    """Positions of the columns that ``?categories=x,y`` names."""
    return set(_positions(address, "categories", names)) if "categories" in address.options else set()


def named_option(address: Address) -> bool | None:
    """Whether columns are taken by name: False for ``?names=no``, None if the address does not say."""
    return address.choice("names", ("yes", "no")) == "yes" if "names" in address.options else None


def _positions(address: Address, option: str, names: Sequence[str]) -> list[int]:
    # A name with a comma stands in quotes, as in the file.
    wanted = [name.strip() for name in next(csv.reader([address.options[option]], skipinitialspace=True))]
    for name in wanted:
        if name not in names:
            raise SourceError(f"{address}: there is no column {name!r}; {suggestion(name, names, 'the columns are')}")
    if len(set(wanted)) < len(wanted):
        raise SourceError(f"{address}: {option}={address.options[option]} names a column twice; name each once")
    return [list(names).index(name) for name in wanted]
