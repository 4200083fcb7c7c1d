"""The joint encoding of tables: matched columns, one union of levels, one unit of length for each column."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np
import torch

from wdist.data.access import LEVEL, Access
from wdist.data.features.space import FeatureRows
from wdist.data.measure import split
from wdist.data.rows import evenly, in_units
from wdist.data.sources.arrays import shortened
from wdist.data.sources.column import BOOLEAN, CATEGORY, EMPTY, FITTED, NUMBER, Column, plain_columns
from wdist.data.sources.source import FiniteSource, SelectedColumns, SelectedRows, Source
from wdist.data.survey import MINIMUM_ROWS
from wdist.data.tables.encoding import EncodedRows, is_plain, joint_columns, matched
from wdist.data.tables.profile import SampledTable, advice
from wdist.data.tables.scales import NONE, check_scale, fitted_length, is_fitted, stated_lengths
from wdist.errors import SourceError
from wdist.ground_metric import L2, GroundMetric

_FIT_ROWS = 100_000
"""Most training rows to which units of length are fitted."""
_ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Fixed rules by which the columns of all tables become coordinates."""

    columns: tuple[Column, ...]
    scaling: str

    @property
    def fitted(self) -> bool:
        """Whether the encoding depends on samples."""
        return self.scaling in FITTED or any(column.fill is not None for column in self.columns)


@dataclass(frozen=True, kw_only=True)
class Joint:
    """Sources whose samples are points of one space."""

    sources: tuple[Source, ...]
    warnings: tuple[str, ...] = ()


def jointly_encoded(sources: Sequence[Source], access: Access, *, seed: int, metric: GroundMetric = L2) -> Joint:
    """Matches the columns of tables by name, and encodes them unless all are plain numbers without units of length.

    Units of length and substitutes for missing numbers are fitted to training rows of the first table only, so that they depend on
    no held-out row. Sources that are not tables, and tables that are already encoded, stay as they are.

    Raises:
        SourceError: the columns do not match, or a table has to be encoded but another source is not a table.
        UsageError: the scale is unknown.
    """
    check_scale(access.scale)
    if any(map(is_encoded, sources)):
        return Joint(sources=tuple(sources))
    tables = [source for source in sources if _may_be_table(source)]
    ordered = [matched(tables[0], table) for table in tables]
    wanted = access.scale != NONE
    if len(tables) < len(sources):
        _check_none_needed(sources, tables, wanted=wanted)
        return Joint(sources=tuple(sources))
    own = [_own_columns(table, access) for table in ordered]
    if other := next((k for k, each in enumerate(own) if len(each) != len(own[0])), 0):
        if access.missing != LEVEL and all(table.info.columns is None for table in tables):
            return Joint(sources=tuple(sources))  # the check of shapes refuses them
        # Encoded separately, they might have equally many coordinates with different meanings.
        names = [table.info.address for table in ordered]
        raise SourceError(
            f"{names[0]} has {len(own[0])} columns but {names[other]} {len(own[other])}; give tables with the same columns, or "
            "leave out columns that only one has with ?without="
        )
    columns = joint_columns(own, [table.info.address for table in ordered], indicators=access.missing == LEVEL)
    plain = not wanted and is_plain(columns)
    warnings: tuple[str, ...] = ()
    if not plain:
        columns, warnings = _fitted(ordered[0], own[0], columns, access, seed=seed, metric=metric)
    halves = len({id(_origin(table)) for table in ordered}) < len(ordered)  # of one table, about which all was said
    if len(ordered) > 1 and not halves and all(table.info.columns is not None for table in ordered):
        warnings += advice([SampledTable.of(table) for table in ordered], columns, scaled=wanted)
    if plain:
        return Joint(sources=tuple(ordered), warnings=warnings)
    scaling = access.scale if isinstance(access.scale, str) else "the lengths given"
    encoded = (EncodedRows(table, each, columns, metric=metric, scaling=scaling) for table, each in zip(ordered, own, strict=True))
    return Joint(sources=tuple(encoded), warnings=warnings)


def encoded_as(sources: Sequence[Source], encoding: Encoding, *, metric: GroundMetric) -> Joint:
    """Encodes tables by a fixed encoding.

    Raises:
        SourceError: a source is not a table, or has other columns.
    """
    encoded = []
    for source in sources:
        own = source.info.columns or plain_columns([None] * source.info.dim)
        if _may_be_table(source) and source.info.columns and all(column.named for column in (*own, *encoding.columns)):
            names = [column.name for column in own]
            order = [names.index(column.name) for column in encoding.columns if column.name in names]
            source = source if order == list(range(len(names))) else SelectedColumns(source, order)
            own = source.info.columns or own
        fits = _may_be_table(source) and len(own) == len(encoding.columns)
        if not (fits and all(_can_be(column, given) for column, given in zip(own, encoding.columns, strict=True))):
            wanted = shortened([column.name for column in encoding.columns], 5)
            raise SourceError(f"{source.info.address} does not have the columns {wanted}; give the sources of the proof")
        assert isinstance(source, FiniteSource)
        encoded.append(EncodedRows(source, own, encoding.columns, metric=metric, scaling=encoding.scaling))
    return Joint(sources=tuple(encoded))


def _can_be(own: Column, wanted: Column) -> bool:
    return own.type in (wanted.type, EMPTY) or (wanted.type == NUMBER and own.type == BOOLEAN)


def is_encoded(source: Source) -> bool:
    """Whether the rows of a source are already points: those of an encoded table, or features."""
    return isinstance(_origin(source), EncodedRows | FeatureRows)


def _origin(source: Source) -> Source:
    """The source from which rows are chosen."""
    while isinstance(source, SelectedRows):
        source = source.source
    return source


def _may_be_table(source: Source) -> TypeGuard[FiniteSource]:
    return isinstance(source, FiniteSource) and len(source.info.event_shape) <= 1 and source.info.kind == "array"


def _check_none_needed(sources: Sequence[Source], tables: Sequence[FiniteSource], *, wanted: bool) -> None:
    """Raises SourceError if a table has to be encoded but another source is not a table."""
    other = next(source for source in sources if source not in tables)
    if wanted:
        raise SourceError(f"{other.info.address} is not a table, but --scale sets the units of table columns; leave it out")
    typed = next((table for table in tables if not is_plain(table.info.columns or ())), None)
    if typed is not None:
        raise SourceError(
            f"{typed.info.address} has categories, but {other.info.address} is not a table; give two tables, or choose columns of "
            f"numbers with ?columns="
        )


def _own_columns(table: FiniteSource, access: Access) -> tuple[Column, ...]:
    """The columns of a table; those of an array have no names."""
    if table.info.columns is not None:
        return table.info.columns
    columns = plain_columns([None] * table.info.dim)
    if access.missing != LEVEL:
        return columns
    missing = sum(torch.isnan(rows).sum(dim=0) for _, rows in table.slabs(_ROWS_AT_ONCE))
    return tuple(replace(column, missing=int(count)) for column, count in zip(columns, torch.as_tensor(missing), strict=True))


def _fitted(
    table: FiniteSource, own: Sequence[Column], columns: tuple[Column, ...], access: Access, *, seed: int, metric: GroundMetric
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """The columns with units of length and substitutes for missing numbers, and warnings about columns without a spread."""
    columns = tuple(replace(column, fill=0.0 if column.indicator and column.type != CATEGORY else None) for column in columns)
    lengths: list[float | None] = [1.0] * len(columns)
    if not is_fitted(access.scale) and access.scale != NONE:
        lengths = list(stated_lengths(access.scale, columns))
    if is_fitted(access.scale) or any(column.fill is not None for column in columns):
        values = _training_values(table, EncodedRows(table, own, columns, metric=metric), columns, seed=seed)
        columns = tuple(
            replace(column, fill=None if column.fill is None else _median(values[k])) for k, column in enumerate(columns)
        )
        if is_fitted(access.scale):
            lengths = [fitted_length(values[k], str(access.scale), column) for k, column in enumerate(columns)]
    without = [column.name for column, length in zip(columns, lengths, strict=True) if length is None]
    warnings = (_no_spread(without, str(access.scale)),) if without else ()
    scaled = (replace(column, scale=1.0 if length is None else length) for column, length in zip(columns, lengths, strict=True))
    return tuple(scaled), warnings


def _training_values(table: FiniteSource, encoded: EncodedRows, columns: Sequence[Column], *, seed: int) -> list[np.ndarray]:
    """Values of each column in training rows of a table, NaN where one is missing; empty for categories.

    They are rows that :func:`~wdist.data.measure.split` trains on, also if it holds out fewer because they are streamed.
    """
    finite = [torch.isfinite(rows).all(dim=1) for _, rows in encoded.slabs(_ROWS_AT_ONCE)]
    kept = np.flatnonzero(torch.cat(finite).numpy())
    if len(kept) < MINIMUM_ROWS:  # too few for an estimate, which says so
        return [np.empty(0) for _ in columns]
    training = kept[split(len(kept), seed=seed).train]
    chosen = training[evenly(len(training), _FIT_ROWS).numpy()]
    values = in_units(table.read(chosen), table.info).numpy()
    return [np.empty(0) if column.type == CATEGORY else values[:, k] for k, column in enumerate(columns)]


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0


def _no_spread(names: Sequence[str], scaling: str) -> str:
    one = len(names) == 1
    shown = shortened([repr(name) for name in names], 5)
    return (
        f"the column{'' if one else 's'} {shown} {'has' if one else 'have'} no spread ({scaling}) over the training rows of A and "
        f"{'keeps its' if one else 'keep their'} own units; leave {'it' if one else 'them'} out with ?without=, or state lengths "
        f"with --scale FILE"
    )
