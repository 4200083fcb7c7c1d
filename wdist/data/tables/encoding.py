r"""Tables as points of one space: each column has coordinates of its own, the same for all tables that are compared.

Numbers, booleans (0 and 1) and dates (in days) are one coordinate, divided by the column's unit of length. Categories have a
coordinate for each level that occurs in any of the tables:

.. math:: 2^{-1/p}

for the level of the sample and 0 for all others, so that two levels are 1 apart in the norm p of the ground metric; these
coordinates are divided by the unit of length as well. A missing category is one more level. A missing number is replaced by the
column's ``fill``, and a further coordinate is 1 for missing values and 0 for others.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from wdist.data.sources.arrays import shortened
from wdist.data.sources.column import BOOLEAN, CATEGORY, EMPTY, NUMBER, Column, units_in_words
from wdist.data.sources.source import FiniteSource, RowIndex, SelectedColumns
from wdist.data.sources.tables import leave_out
from wdist.errors import SourceError
from wdist.ground_metric import GroundMetric

_BY_NAME = "leave out columns that only one has with ?without=, or compare columns by position with ?names=no"


class EncodedRows(FiniteSource):
    """Rows of a table as points: float64, shape (n, sum of the coordinates of all columns)."""

    itemsize = 8

    def __init__(
        self, source: FiniteSource, own: Sequence[Column], columns: Sequence[Column], *, metric: GroundMetric, scaling: str = "none"
    ) -> None:
        self.source, self._columns, self.rows_together = source, laid_out(columns), source.rows_together
        columns = self._columns
        counted = tuple(replace(column, missing=each.missing) for column, each in zip(columns, own, strict=True))
        units = source.info.units if scaling == "none" else units_in_words(scaling)
        shape = (columns[-1].stop,)
        self.info = replace(
            source.info, event_shape=shape, columns=counted, scale=1.0, offset=0.0, bounds=None, scaling=scaling, units=units
        )
        self._one = 1 / metric.of_ones(2)
        self._places = [_places(known, column) for known, column in zip(own, columns, strict=True)]

    @property
    def stored(self) -> FiniteSource:
        return self.source

    def read(self, rows: RowIndex) -> Tensor:
        return self.coordinates(self.source.read(rows))

    def coordinates(self, stored: Tensor) -> Tensor:
        x = stored.double()
        points = torch.zeros(len(x), self.info.dim, dtype=torch.float64)
        for k, (column, places) in enumerate(zip(self._columns, self._places, strict=True)):
            own = points[:, column.start : column.stop]
            if column.type == CATEGORY:
                self._write_levels(x[:, k], own, column, places)
            else:
                self._write_numbers(x[:, k], own, column)
        return points

    def _write_levels(self, codes: Tensor, own: Tensor, column: Column, places: Tensor) -> None:
        missing = torch.isnan(codes)
        place = places[torch.where(missing, 0, codes).long()] if len(places) else torch.zeros(len(codes), dtype=torch.int64)
        if column.indicator:
            place = torch.where(missing, own.shape[1] - 1, place)
        own.scatter_(1, place.unsqueeze(1), self._one / column.scale)
        if not column.indicator:
            own[missing] = torch.nan

    def _write_numbers(self, values: Tensor, own: Tensor, column: Column) -> None:
        units = self.source.info
        if column.type == NUMBER and (units.scale, units.offset) != (1.0, 0.0):
            values = values * units.scale + units.offset
        if column.indicator:
            missing = torch.isnan(values)
            own[:, 1] = missing.double()
            values = torch.where(missing, column.fill or 0.0, values)
        own[:, 0] = values if column.scale == 1.0 else values / column.scale


def _places(own: Column, column: Column) -> Tensor:
    """The coordinate of each level of a table, counted from the first coordinate of the column."""
    place = {level: k for k, level in enumerate(column.levels)}
    if unknown := [level for level in own.levels if level not in place]:
        raise SourceError(
            f"the column {column.name!r} has the level {unknown[0]!r}, which its encoding does not have; give the same tables"
        )
    return torch.tensor([place[level] for level in own.levels], dtype=torch.int64)


def is_plain(columns: Sequence[Column]) -> bool:
    """Whether every coordinate is the stored value of its column."""
    return all(column.type != CATEGORY and column.scale == 1.0 and not column.indicator for column in columns)


def laid_out(columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns, laid out so that their coordinates follow each other."""
    placed, start = [], 0
    for column in columns:
        width = len(column.levels) + column.indicator if column.type == CATEGORY else 1 + column.indicator
        placed.append(replace(column, start=start, stop=start + max(1, width)))
        start = placed[-1].stop
    return tuple(placed)


def matched(reference: FiniteSource, other: FiniteSource) -> FiniteSource:
    """The other table with its columns in the order of the reference, if both tables name their columns.

    Raises:
        SourceError: the tables do not have the same columns.
    """
    wanted, found = reference.info.columns, other.info.columns
    if wanted is None or found is None:
        return other
    names, others = [each.name for each in wanted], [each.name for each in found]
    if all(each.named for each in (*wanted, *found)) and names != others:
        if missing := sorted(set(names) - set(others)) or sorted(set(others) - set(names)):
            has, lacks = (reference, other) if set(missing) <= set(names) else (other, reference)
            them = f"column{'' if len(missing) == 1 else 's'} {shortened([repr(name) for name in missing], 3)}"
            raise SourceError(f"{lacks.info.address} has no {them}, unlike {has.info.address}; {_BY_NAME}")
        note = f"columns are taken by name, in the order of {reference.info.address}"
        return SelectedColumns(other, [others.index(name) for name in names], notes=(note,))
    return other


def joint_columns(tables: Sequence[Sequence[Column]], addresses: Sequence[str], *, indicators: bool) -> tuple[Column, ...]:
    """Columns for all tables, given those of each in the same order: the union of their levels, and one type.

    With ``indicators``, a coordinate marks the missing values of each column that has any.

    Raises:
        SourceError: a column has different types.
    """
    joint = []
    for same in zip(*tables, strict=True):
        known = [k for k, column in enumerate(same) if column.type != EMPTY]
        first = same[known[0]] if known else replace(same[0], type=NUMBER)
        types = {same[k].type for k in known}
        if len(types) > 1 and types != {NUMBER, BOOLEAN}:
            other = next(k for k in known if same[k].type != first.type)
            raise SourceError(
                f"the column {first.name!r} is a {first.type} in {addresses[known[0]]} but a {same[other].type} in "
                f"{addresses[other]}; write both alike, or {leave_out(first.name)}"
            )
        levels = sorted({level for column in same for level in column.levels})
        missing = indicators and any(column.missing for column in same)
        kind = first.type if len(types) <= 1 else NUMBER
        joint.append(replace(first, type=kind, levels=tuple(levels), indicator=missing, fill=None))
    return laid_out(joint)
