"""Data frames of pandas, polars, and all other libraries that narwhals supports."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from wdist.data.sources.arrays import EXACT_INTEGERS, ArraySource, describe, open_values, too_large
from wdist.data.sources.column import BOOLEAN, CATEGORY, DATE, DAYS, NUMBER, TEXT, Column
from wdist.data.sources.source import Units
from wdist.data.sources.tables import Coder, check_columns, days, stored_table
from wdist.errors import SourceError, explained, explained_as

_MICROSECONDS = 86_400 * 10**6
"""Microseconds in a day."""
_NAME = "<frame>"


def open_frame(values: Any, *, strict: bool) -> ArraySource | None:
    """Opens a data frame or a series, whose values keep their type if all are plain numbers; None for anything else.

    Raises:
        SourceError: a column has no distance, unless ``strict`` is false.
    """
    try:
        import narwhals
    except ImportError:
        return None

    def unreadable(error: Exception) -> SourceError:
        return SourceError(f"{_NAME} cannot be read ({' '.join(str(error).split())}); rename such columns, or leave them out")

    with explained(unreadable):
        frame = narwhals.from_native(values, pass_through=True, allow_series=True)
        if isinstance(frame, narwhals.LazyFrame):
            frame = frame.collect()
        alone = isinstance(frame, narwhals.Series)
        if isinstance(frame, narwhals.Series):
            frame = frame.to_frame()
        if not isinstance(frame, narwhals.DataFrame):
            return None
        series = list(frame.iter_columns())  # not by label: frame[0] is a row, and a label with several levels is a tuple
    if not len(frame):
        raise SourceError(f"{_NAME} holds no rows; give a frame with samples")
    complete = all(each.dtype.is_numeric() and not each.is_null().any() for each in series)
    if complete and np.asarray(frame.head(1).to_native()).dtype != object:  # as of decimals and of nullable types
        return open_values(values, Units()) if alone else open_values(frame.to_native(), Units(), address=_NAME)
    with explained_as(f"{_NAME} cannot be read", "leave such columns out"):
        read = [_of_series(each, k) for k, each in enumerate(series)]
    columns, parts = zip(*read, strict=True)
    if alone:
        columns = (replace(columns[0], named=False),)  # df["before"] may be compared with df["after"]
    coder = Coder(columns)
    rows = coder.block(parts)
    stored = stored_table(rows, coder, coder.columns(_NAME), _NAME)
    if strict:
        check_columns(stored.columns)
    info = describe(stored.shape, stored.dtype, _NAME, "array", Units())
    return ArraySource(stored, replace(info, columns=stored.columns))


def _of_series(series: Any, position: int) -> tuple[Column, np.ndarray]:
    """The type and the values of a column of a frame of narwhals."""
    import narwhals as nw

    kind, label = series.dtype, str(series.name)
    missing = series.is_null().to_numpy()
    unit = ""
    if kind == nw.Duration:
        found, unit, values = NUMBER, DAYS, _numbers(series.dt.total_nanoseconds(), missing) / (1000 * _MICROSECONDS)
    elif kind in (nw.Date, nw.Datetime):
        times = series.cast(nw.Datetime("us")) if kind == nw.Date else series
        found, unit, values = DATE, DAYS, _numbers(times.dt.timestamp("us"), missing) / _MICROSECONDS
    elif kind.is_numeric() or kind == nw.Boolean:
        found, values = BOOLEAN if kind == nw.Boolean else NUMBER, _numbers(series, missing)
        if kind.is_integer() and (np.abs(values) >= EXACT_INTEGERS).any():
            raise too_large(f"{_NAME}, column {label!r}", float(np.nanmax(np.abs(values))), first="leave it out")
    else:
        objects = [None if none else each for each, none in zip(series.to_list(), missing, strict=True)]
        found, values = _of_objects(objects, texts=kind in (nw.String, nw.Categorical, nw.Enum))
        unit = DAYS if found == DATE else ""
    stored = getattr(series.to_native(), "dtype", kind)  # narwhals calls types that it does not know Unknown
    problem = f"{_NAME}: the column {label!r} is of type {stored}, which has no distance; leave it out" if found == TEXT else ""
    return Column(name=label, type=found, unit=unit, start=position, stop=position + 1, problem=problem), values


def _of_objects(objects: Sequence[Any], *, texts: bool) -> tuple[str, np.ndarray]:
    """The type and the values of a column of Python objects, None for missing ones."""
    present = [each for each in objects if each is not None]
    if texts or (present and all(isinstance(each, str) for each in present)):
        return CATEGORY, np.array([None if each is None else str(each) for each in objects], dtype=object)
    if all(isinstance(each, bool | np.bool_) for each in present):
        return BOOLEAN, np.array([np.nan if each is None else float(each) for each in objects])
    if all(isinstance(each, date) for each in present):
        return DATE, np.array([np.nan if each is None else days(each) for each in objects])
    if all(isinstance(each, int | float | Decimal) for each in present):
        return NUMBER, np.array([np.nan if each is None else float(each) for each in objects])
    return TEXT, np.array([None if each is None else "" for each in objects], dtype=object)


def _numbers(series: Any, missing: np.ndarray) -> np.ndarray:
    """A column as float64, NaN where a value is missing."""
    if not missing.any():
        return np.array(series.to_numpy(), dtype=np.float64)
    return np.array([np.nan if none else float(each) for each, none in zip(series.to_list(), missing, strict=True)])
