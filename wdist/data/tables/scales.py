"""Units of length of the columns of a table: fitted to the training rows of A, or read from a file."""

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wdist.data.sources.address import expanded, near_miss
from wdist.data.sources.column import DATE, FITTED, NUMBER, Column
from wdist.errors import SourceError, UsageError

NONE = "none"
SPREADS: dict[str, Callable[[np.ndarray], Any]] = {
    "std": np.std,
    "iqr": lambda x: np.subtract(*np.quantile(x, (0.75, 0.25))),
    "mad": lambda x: np.median(np.abs(x - np.median(x))),
    "range": np.ptp,
}
assert tuple(SPREADS) == FITTED
"""Fitted spreads: standard deviation, interquartile range, median absolute deviation, largest minus smallest."""
SPREAD_TYPES = (NUMBER, DATE)
"""Types of columns that are divided by a spread; values of other types are 1 apart."""


def is_fitted(scale: str | Mapping[str, float]) -> bool:
    """Whether units of length follow from samples."""
    return isinstance(scale, str) and scale in SPREADS


def check_scale(scale: str | Mapping[str, float]) -> None:
    """Checks that a scale is a known word, a file, or a mapping of lengths by name.

    Raises:
        UsageError: the scale is neither a known word nor a file.
    """
    if isinstance(scale, str) and scale not in (NONE, *SPREADS) and not expanded(scale).is_file():
        way_out = near_miss(scale, (NONE, *SPREADS)) or f"choose {', '.join(SPREADS)} or none, or name a file of lengths"
        raise UsageError(f"--scale {scale} is neither a known spread nor a file; {way_out}")


def stated_lengths(scale: str | Mapping[str, float], columns: Sequence[Column]) -> list[float]:
    """The unit of length of each column, from a file or by name; 1 for those that are not named.

    Raises:
        SourceError: the file cannot be read, names a column that is not there, or holds a length that is not positive.
    """
    subject = f"--scale {scale}" if isinstance(scale, str) else "scale"
    given: dict[str, Any] = _read(scale, subject) if isinstance(scale, str) else dict(scale)
    names = [column.name for column in columns]
    if unknown := [name for name in given if name not in names]:
        near = near_miss(str(unknown[0]), names) or f"the columns are {', '.join(names[:12])}"
        raise SourceError(f"{subject} names the column {unknown[0]!r}, which does not exist; {near}")
    for name, length in given.items():
        if isinstance(length, bool) or not isinstance(length, int | float) or not 0 < length < math.inf:
            raise SourceError(f"{subject} gives {name!r} the length {length!r}; give a positive number")
    return [float(given.get(name, 1)) for name in names]


def _read(scale: str, subject: str) -> dict[str, Any]:
    """Lengths by column, from a JSON object or a text table of two columns."""
    path = Path(expanded(scale))
    form = 'write {"age": 10, "income": 5000}, or lines such as age,10 into a .csv file'
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            found = json.loads(text)
            if not isinstance(found, dict):
                raise ValueError("no object")
            return found
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if row]
        if any(len(row) != 2 for row in rows) or len({row[0] for row in rows}) < len(rows):
            raise ValueError("it does not have two columns, or names a column twice")
        return {name: _number(length) for number, (name, length) in enumerate(rows) if number or _number(length) is not None}
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise SourceError(f"{subject} cannot be read ({error}); {form}") from error


def _number(text: str) -> float | None:
    """The number in a cell; None for a header."""
    try:
        return float(text)
    except ValueError:
        return None


def fitted_length(values: np.ndarray, scaling: str, column: Column) -> float | None:
    """The spread of a column over some of its values, shape (n,); 1 for categories and booleans, None if it is 0."""
    if column.type not in SPREAD_TYPES:
        return 1.0
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    # Divided first: the squares of values up to 1e300 would overflow.
    largest = float(np.abs(known).max())
    spread = float(SPREADS[scaling](known / largest)) * largest if largest else 0.0
    return spread if 0 < spread < math.inf else None
