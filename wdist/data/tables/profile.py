"""Contents of the columns of a table, columns that look like identifiers, and the share of each column in a distance."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wdist.data.rows import evenly, in_units
from wdist.data.sources.arrays import shortened
from wdist.data.sources.column import BOOLEAN, CATEGORY, DATE, EMPTY, NUMBER, TEXT, Column
from wdist.data.sources.source import FiniteSource
from wdist.data.sources.tables import leave_out

SAMPLED = 20_000
"""Evenly spread rows from which shares and warnings are computed."""
_PROFILED = 200_000
"""Evenly spread rows from which quantiles and counts are computed."""
_PLACES = 16
"""Parts of a table from which these rows are read if many rows are stored together."""
_MOSTLY = 0.9
_SPREADS_APART = 20
_INDEX_NAMES = ("unnamed: 0", "index", "level_0", "rowid", "row_id", "id", "uuid", "guid")
_ID = re.compile(r".*([_\W](?i:id)|[a-z]I[dD])")
"""``customer_id``, ``user id`` and ``orderId``, but not ``paid``."""
_FEW_TEXTS, _HARDLY_REPEATED = 20, 0.8
"""Number of different texts, and their fraction of the rows, up to which a category does not look like an identifier."""
_MEASURED = re.compile(r"[$€£¥] ?[+-]?\d[\d.,]*|[+-]?\d[\d.,]* ?(%|[$€£¥]|[a-z]{1,3})", re.IGNORECASE)
"""Numbers with a unit: ``$25``, ``12 %`` and ``5 kg``."""


@dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """Contents of one column of a table; quantiles and spreads describe its numbers, in their units."""

    name: str
    type: str
    unit: str
    missing: int
    """Missing values in the whole file."""
    distinct: int | None
    """Number of different values; None if they were not counted."""
    low: float | None = None
    """5 % of the values lie below."""
    median: float | None = None
    high: float | None = None
    """5 % of the values lie above."""
    deviation: float | None = None
    """Standard deviation."""
    quartiles: float | None = None
    """Distance between the quartiles."""
    levels: tuple[str, ...] = ()
    """The most frequent levels of a category, with their frequencies."""
    share: float | None = None
    """Share in the sum of all columns' one-dimensional W1 between two tables; None for a single table."""
    problem: str = ""
    """Reason why its values have no distance, and how to fix it."""


def profiles(table: FiniteSource) -> tuple[ColumnProfile, ...]:
    """Describes each column of a table that is not encoded."""
    columns = table.info.columns or ()
    rows = _some_rows(table, _PROFILED)
    return tuple(_profile(column, rows[:, k]) for k, column in enumerate(columns))


def _profile(column: Column, values: np.ndarray) -> ColumnProfile:
    known = values[np.isfinite(values)]
    facts = ColumnProfile(
        name=column.name, type=column.type, unit=column.unit, missing=column.missing, distinct=None, problem=column.problem
    )
    if column.type == TEXT:
        return facts
    facts = replace(facts, distinct=len(np.unique(known)))
    if column.type in (CATEGORY, BOOLEAN) and len(known):
        names = column.levels if column.type == CATEGORY else ("false", "true")
        counts = np.bincount(known.astype(np.int64), minlength=len(names))
        order = [k for k in np.argsort(-counts, kind="stable")[:3] if counts[k]]
        return replace(facts, levels=tuple(f"{names[k]} {100 * counts[k] / len(known):.3g} %" for k in order))
    if not len(known):
        return facts
    low, first, median, third, high = np.quantile(known, (0.05, 0.25, 0.5, 0.75, 0.95)).tolist()
    return replace(facts, low=low, median=median, high=high, deviation=_deviation(known), quartiles=third - first)


def _deviation(values: np.ndarray) -> float:
    """Standard deviation of the finite values; 0 if there are none."""
    known = values[np.isfinite(values)]
    # Divided first: the squares of values up to 1e300 would overflow.
    largest = float(np.abs(known).max(initial=0.0))
    return float(np.std(known / largest)) * largest if largest > 0 else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledTable:
    """At most 20,000 evenly spread rows of a table, read once for all statements about its columns."""

    columns: tuple[Column, ...]
    """Not encoded."""
    rows: np.ndarray
    """In the units of the table, float64, shape (n, columns)."""

    @classmethod
    def of(cls, table: FiniteSource) -> "SampledTable":
        """A table that is not encoded."""
        return cls(columns=table.info.columns or (), rows=_some_rows(table, SAMPLED))


def shares(a: SampledTable, b: SampledTable, columns: Sequence[Column]) -> list[float]:
    """Each column's share in the sum of all columns' one-dimensional W1, in their units of length.

    Arguments:
        a, b: tables with the same columns in the same order.
        columns: the columns as they are encoded.
    """
    parts = [
        _column_distance(a.rows[:, k], b.rows[:, k], column, (a.columns[k].levels, b.columns[k].levels))
        for k, column in enumerate(columns)
    ]
    whole = sum(parts)
    return [part / whole if whole > 0 else 0.0 for part in parts]


def _column_distance(x: np.ndarray, y: np.ndarray, column: Column, levels: tuple[tuple[str, ...], tuple[str, ...]]) -> float:
    """W1 between the values of a column on both sides, without missing ones, in its unit of length."""
    known = [values[np.isfinite(values)] for values in (x, y)]
    if not all(map(len, known)):
        return 0.0
    if column.type == CATEGORY:
        place = {level: k for k, level in enumerate(column.levels)}
        weights = []
        for values, own in zip(known, levels, strict=True):
            there = np.array([place[level] for level in own])[values.astype(np.int64)]
            weights.append(np.bincount(there, minlength=len(place)) / len(values))
        return float(np.abs(weights[0] - weights[1]).sum() / 2) / column.scale
    from scipy.stats import wasserstein_distance  # imported late, because it takes half a second

    return float(wasserstein_distance(known[0] / column.scale, known[1] / column.scale))


def advice(tables: Sequence[SampledTable], columns: Sequence[Column], *, scaled: bool) -> tuple[str, ...]:
    """Warnings about columns that look like identifiers or hold numbers with a unit, and about a column that outweighs all others.

    Arguments:
        tables: the reference and others, with the same columns in the same order.
        columns: the columns as they are encoded.
        scaled: whether the columns have units of length.
    """
    names = [
        column.name for k, column in enumerate(columns) if any(_looks_like_identifier(column, table.rows[:, k]) for table in tables)
    ]
    warnings = []
    if names:
        shown = shortened([repr(name) for name in names], 5)
        finding = (
            f"the column {shown} looks like an identifier, which has no meaning as a distance"
            if len(names) == 1
            else f"the columns {shown} look like identifiers, which have no meaning as distances"
        )
        warnings.append(f"{finding}; {leave_out(*names)}")
    warnings += [_measured_as_levels(column) for column in columns if _measures(column)]
    if len(columns) > 1:
        warnings += _outweighing(tables, columns, scaled=scaled)
    return tuple(warnings)


def _outweighing(tables: Sequence[SampledTable], columns: Sequence[Column], *, scaled: bool) -> list[str]:
    way_out = (
        "leave it out with ?without=, or give it a length with --scale FILE"
        if scaled
        else ("weigh the columns with --scale std, or leave it out with ?without=")
    )
    each = [shares(tables[0], other, columns) for other in tables[1:]]
    largest = np.max(each, axis=0) if each else np.zeros(len(columns))
    k = int(np.argmax(largest))
    if largest[k] > _MOSTLY:
        share = f"the column {columns[k].name!r} makes up {100 * largest[k]:.3g} % of the distance (of the sum over columns)"
        return [f"{share}, so the others hardly count; {way_out}"]
    numbers = {k: _deviation(tables[0].rows[:, k]) for k, column in enumerate(columns) if column.type in (NUMBER, DATE)}
    spreads = {k: spread for k, spread in numbers.items() if 0 < spread < np.inf}
    if not scaled and spreads and max(spreads.values()) > _SPREADS_APART * min(spreads.values()):
        wide, narrow = max(spreads, key=lambda k: spreads[k]), min(spreads, key=lambda k: spreads[k])
        return [
            f"the columns have very different spreads, from {columns[narrow].name!r} ({spreads[narrow]:.3g}) to "
            f"{columns[wide].name!r} ({spreads[wide]:.3g}), and the widest counts most; weigh them with --scale std"
        ]
    return []


def _measures(column: Column) -> bool:
    """Whether most levels of a category are numbers with a unit."""
    return len(column.levels) > 2 and 2 * sum(map(bool, map(_MEASURED.fullmatch, column.levels))) > len(column.levels)


def _measured_as_levels(column: Column) -> str:
    example = next(level for level in column.levels if _MEASURED.fullmatch(level))
    return (
        f"the column {column.name!r} holds numbers with a unit ({example!r}), which are read as a category, so that any two are 1 "
        "apart; write the numbers alone"
    )


def _looks_like_identifier(column: Column, values: np.ndarray) -> bool:
    """Whether a column looks like an identifier: texts that hardly repeat, or whole numbers that count rows or have such a name."""
    if column.type == CATEGORY:
        known = values[np.isfinite(values)]
        return len(np.unique(known)) > max(_FEW_TEXTS, _HARDLY_REPEATED * len(known))
    if column.type != NUMBER or column.unit or not np.isfinite(values).all() or (values != np.floor(values)).any():
        return False
    named = column.name.lower() in _INDEX_NAMES or _ID.fullmatch(column.name) is not None
    rising = len(values) > 1 and bool((np.diff(values) > 0).all())
    return (column.named and named and len(np.unique(values)) > len(values) / 2) or rising


def _some_rows(table: FiniteSource, most: int) -> np.ndarray:
    numbers, together = evenly(table.count, most), table.rows_together
    places = max(_PLACES, most // together)
    if table.count > places * together:
        # A row group is read from its beginning, so reading rows from all of them would take as long as the whole table.
        starts = together * evenly(table.count // together, places)
        numbers = (starts.unsqueeze(1) + evenly(together, most // places)).flatten()
    rows = table.read(numbers.numpy())
    columns = table.info.columns or ()
    plain = all(column.type in (NUMBER, BOOLEAN, DATE, EMPTY) for column in columns)
    return in_units(rows, table.info).numpy() if plain else rows.double().numpy()
