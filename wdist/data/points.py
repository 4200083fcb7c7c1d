"""A table as points: all its rows, with the columns that their coordinates stand for."""

from dataclasses import dataclass

import numpy as np

from wdist.data.access import Access
from wdist.data.comparable import surveyed
from wdist.data.rows import in_units
from wdist.data.sources.column import Column, plain_columns
from wdist.data.sources.source import FiniteSource, SelectedRows, Source, SourceInfo
from wdist.errors import SourceError


@dataclass(frozen=True, kw_only=True, eq=False)
class TablePoints:
    """All rows of one table."""

    info: SourceInfo
    columns: tuple[Column, ...]
    points: np.ndarray
    """float64, shape (n, dim)."""
    numbers: np.ndarray
    """Number of each row in its table, the first being 1, shape (n,)."""
    digest: str | None
    """SHA-256 of the stored values."""


def checked_table(source: Source) -> FiniteSource:
    """Returns the source if it is a table.

    Raises:
        SourceError: the source is drawn without end, or its samples are not rows.
    """
    if not isinstance(source, FiniteSource) or len(source.info.event_shape) > 1:
        raise SourceError(f"{source.info.address} is not a table of rows and columns; compare it with `wdist estimate`")
    return source


def table_points(source: Source, access: Access, *, seed: int) -> TablePoints:
    """Reads all usable rows of an open table, which the caller has encoded if necessary.

    Raises:
        SourceError: the source is drawn without end, or is not a table.
    """
    usable, found = surveyed(source, access, seed=seed)
    rows = checked_table(usable)
    return TablePoints(
        info=rows.info,
        columns=source.info.columns or plain_columns([None] * rows.info.dim),
        points=in_units(rows.read(slice(0, rows.count)), rows.info).numpy(),
        numbers=1 + (rows.index if isinstance(rows, SelectedRows) else np.arange(rows.count)),
        digest=None if found is None else found.digest,
    )
