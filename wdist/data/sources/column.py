"""Columns of a table: their types, and the coordinates of a sample that stand for them."""

from collections.abc import Sequence
from dataclasses import dataclass

NUMBER, BOOLEAN, DATE, CATEGORY, TEXT, EMPTY = "number", "boolean", "date", "category", "text", "empty"
"""Types of a column; the last two have no distance."""
DAYS = "days"
"""Unit of dates: days since 1970."""
_SPREADS = {"std": "standard deviations", "iqr": "interquartile ranges", "mad": "median absolute deviations", "range": "ranges"}
FITTED = tuple(_SPREADS)
"""Scalings whose units of length follow from samples."""
MOST_LEVELS = 1000
"""Most levels of a category: each is a coordinate."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table, and the coordinates that stand for it.

    In a single table, a category is one coordinate that numbers its levels, and a missing value is NaN. When tables are compared,
    each level has a coordinate of its own (:mod:`wdist.data.tables.encoding`).
    """

    name: str
    """Its name, or its position in words if the table gives none."""
    type: str = NUMBER
    """``number``, ``boolean`` (0 or 1), ``date``, ``category``, ``text`` if its values have no distance, or ``empty`` if all of
    them are missing."""
    unit: str = ""
    """Unit of a number; empty for that of the data. Dates count days since 1970."""
    start: int
    """The first of its coordinates."""
    stop: int
    """The coordinate after its last one."""
    levels: tuple[str, ...] = ()
    """Texts of a category, sorted; each has a coordinate, in this order."""
    scale: float = 1.0
    """Its unit of length, by which values were divided."""
    fill: float | None = None
    """The number that replaces a missing one, before division; None if there are no missing values, or if they are refused."""
    indicator: bool = False
    """Whether its last coordinate marks missing values."""
    missing: int = 0
    """Missing values of this column in its file or frame; 0 if they were not counted."""
    named: bool = True
    """Whether the table gives the name; columns without names are matched by position."""
    problem: str = ""
    """Why its values have no distance, and what to do, in a sentence; empty if they have one."""


def plain_columns(names: Sequence[str | None]) -> tuple[Column, ...]:
    """Columns of numbers, a coordinate each; None for a column without a name."""
    return tuple(
        Column(name=position_name(k) if name is None else name, named=name is not None, start=k, stop=k + 1)
        for k, name in enumerate(names)
    )


def units_in_words(scaling: str, reference: str = "A") -> str:
    """The units of distances between scaled tables, where the first one is called ``reference``."""
    if scaling in FITTED:
        return f"of the columns' {_SPREADS[scaling]} in {reference}"
    return f"of the columns' lengths in {scaling}"


def position_name(position: int) -> str:
    """The name of a column without one."""
    return f"column {position + 1}"
