"""Parquet, Feather and Arrow files and folders of Parquet files, read by pyarrow.

Columns of numbers, booleans, dates, times and texts are read, batch by batch; columns of other types can only be left out.
"""

import importlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wdist.data.memory import fits
from wdist.data.sources.address import Address
from wdist.data.sources.arrays import EXACT_INTEGERS, StoredArray, check_no_key, too_large
from wdist.data.sources.column import BOOLEAN, CATEGORY, DATE, DAYS, NUMBER, TEXT, Column
from wdist.data.sources.tables import Coder, categories, chosen_columns, held, leave_out, named_option, stored_table
from wdist.errors import SourceError, explained, first_line
from wdist.files import FileVersion

_ROWS_AT_ONCE = 1 << 16
_READAHEAD = {"batch_readahead": 1, "fragment_readahead": 1}
"""By default pyarrow holds 16 batches and 4 files ahead."""
FORMATS = {".parquet": "parquet", ".pq": "parquet", ".feather": "feather", ".arrow": "feather"}
"""pyarrow's name for the format of each suffix."""


def library(name: str) -> Any:
    """A module of a library of ``wdist[tables]``.

    Raises:
        SourceError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        library = name.partition(".")[0]
        raise SourceError(
            f"tables of this kind are read by {library}, which is not installed; pip install 'wdist[tables]'"
        ) from error


def is_parquet_folder(address: Address) -> bool:
    """Whether a folder holds Parquet files, directly or in folders such as ``year=2024``."""
    return next(address.path.rglob("*.parquet"), None) is not None


def open_columnar(address: Address) -> StoredArray:
    """All rows of a Parquet, Feather or Arrow file, or of the Parquet files of a folder, in the order of their names."""
    check_no_key(address)
    name, folder = address.location, address.path.is_dir()
    datasets, arrow = library("pyarrow.dataset"), library("pyarrow")
    kind = "parquet" if folder else FORMATS[address.suffix]
    damaged = f"{name} is damaged, cut short, or not a {'folder of parquet' if folder else kind} file"

    def sentence(error: Exception) -> SourceError:
        return SourceError(f"{damaged} ({first_line(error)}); save it again")

    version: AbstractContextManager[None] = nullcontext() if folder else FileVersion.of(address.path, name).reading()
    with explained(sentence), version:
        dataset = datasets.dataset(address.path, format=kind, partitioning="hive" if folder else None)
        chosen = chosen_columns(
            address, dataset.schema.names if len(set(dataset.schema.names)) == len(dataset.schema.names) else None
        )
        fields = [dataset.schema.field(k) for k in (range(len(dataset.schema)) if chosen is None else chosen)]
        forced = categories(address, [field.name for field in fields], len(fields))
        named = named_option(address) is not False
        columns = [_column(field, k, name, arrow, category=k in forced, named=named) for k, field in enumerate(fields)]
        coder = Coder(columns)

        def values_of(batch: Any) -> list[np.ndarray]:
            return [_values(part, column, arrow, name) for part, column in zip(batch.columns, columns, strict=True)]

        def blocks() -> Iterator[np.ndarray]:
            for batch in dataset.to_batches(columns=[field.name for field in fields], batch_size=_ROWS_AT_ONCE, **_READAHEAD):
                if batch.num_rows:
                    yield coder.block(values_of(batch))

        count = dataset.count_rows()
        if not count or not fields:
            raise SourceError(f"{name} holds no rows; give a table with samples")
        nbytes = 8 * count * len(fields)
        if kind != "parquet" or fits(2 * nbytes):
            return stored_table(held(blocks(), nbytes), coder, coder.columns(name), name)
        for _ in blocks():  # counts levels and missing values
            pass
        names = [field.name for field in fields]
        groups = RowGroups(dataset, names, lambda batch: coder.block(values_of(batch)), explained_by=sentence)
    return stored_table(groups, coder, coder.columns(name), name, rows_together=groups.largest)


@dataclass(kw_only=True)
class _Place:
    """Position of a thread in the rows."""

    blocks: Iterator[np.ndarray]
    begin: int
    block: np.ndarray


class RowGroups:
    """Rows of Parquet files that do not fit into memory: read by row groups, batch by batch, and in order where possible.

    A row group can only be read from its beginning, so the next rows are taken from where the last reading of the thread ended: one
    that fills pools does not send another back to the beginning.

    Arguments:
        dataset: of pyarrow.
        names: of the columns to read.
        decoded: turns a batch into rows, float64, shape (n, columns).
        explained_by: the error for a file that is damaged.
    """

    def __init__(
        self,
        dataset: Any,
        names: Sequence[str],
        decoded: Callable[[Any], np.ndarray],
        *,
        explained_by: Callable[[Exception], SourceError],
    ) -> None:
        self._dataset, self._names, self._decoded, self._explained_by = dataset, list(names), decoded, explained_by
        self._groups = [
            (fragment, group.id, group.num_rows) for fragment in dataset.get_fragments() for group in fragment.row_groups
        ]
        counts = [count for _, _, count in self._groups]
        self._ends = np.cumsum(counts)
        self._versions = {fragment.path: FileVersion.of(Path(fragment.path)) for fragment, _, _ in self._groups}
        self.shape, self.largest = (int(self._ends[-1]), len(names)), max(counts)
        self._places = threading.local()

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Some rows, float64."""
        start, stop, _ = rows.indices(self.shape[0])
        with explained(self._explained_by):
            place = self._place_at(start)
            parts = []
            while start < stop:
                end = place.begin + len(place.block)
                if start < end:
                    parts.append(place.block[start - place.begin : stop - place.begin])
                    start += len(parts[-1])
                else:
                    place.begin, place.block = end, next(place.blocks)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _place_at(self, start: int) -> "_Place":
        """The position where this thread last read, or else the start of the row group with this row."""
        place: _Place | None = getattr(self._places, "last", None)
        group = int(np.searchsorted(self._ends, start, side="right"))
        first = int(self._ends[group - 1]) if group else 0
        end = 0 if place is None else place.begin + len(place.block)
        if place is None or start < place.begin or (start >= end and end < first):
            place = self._places.last = _Place(blocks=self._decoded_from(group), begin=first, block=np.empty((0, len(self._names))))
        return place

    def _decoded_from(self, group: int) -> Iterator[np.ndarray]:
        for fragment, number, _ in self._groups[group:]:
            part = fragment.subset(row_group_ids=[number])
            with self._versions[fragment.path].reading():
                only = type(self._dataset)([part], self._dataset.schema, self._dataset.format, self._dataset.filesystem)
                for batch in only.to_batches(columns=self._names, batch_size=_ROWS_AT_ONCE, **_READAHEAD):
                    if batch.num_rows:
                        yield self._decoded(batch)


def _column(field: Any, position: int, name: str, arrow: Any, *, category: bool, named: bool) -> Column:
    """The type of a column of an Arrow schema."""
    kind, unit = _kind(field.type, arrow)
    kind = CATEGORY if category and kind in (NUMBER, BOOLEAN) else kind
    problem = ""
    if kind == TEXT:
        problem = f"{name}: the column {field.name!r} is of type {field.type}, which has no distance; {leave_out(field.name)}"
    return Column(name=field.name, type=kind, unit=unit, start=position, stop=position + 1, named=named, problem=problem)


def _kind(kind: Any, arrow: Any) -> tuple[str, str]:
    """The type and the unit of values of an Arrow type."""
    types = arrow.types
    if types.is_dictionary(kind):
        return _kind(kind.value_type, arrow)
    if types.is_boolean(kind):
        return BOOLEAN, ""
    if types.is_date(kind) or types.is_timestamp(kind):
        return DATE, DAYS
    if types.is_duration(kind) or types.is_time(kind):
        return NUMBER, DAYS
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind):
        return NUMBER, ""
    texts = (types.is_string, types.is_large_string, getattr(types, "is_string_view", types.is_string))
    return (CATEGORY, "") if any(known(kind) for known in texts) else (TEXT, "")


def _values(part: Any, column: Column, arrow: Any, name: str) -> np.ndarray:
    """The values of one batch of a column, as :meth:`Coder.block` takes them."""
    types = arrow.types
    if types.is_dictionary(part.type):
        part = part.dictionary_decode()
    if column.type in (CATEGORY, TEXT):
        if column.type == TEXT:
            return np.array([None if missing else "" for missing in part.is_null().to_pylist()], dtype=object)
        return np.array([None if each is None else str(each) for each in part.to_pylist()], dtype=object)
    if types.is_date(part.type) or types.is_timestamp(part.type):
        part = _integers(part, arrow, arrow.timestamp("us") if types.is_date(part.type) else None)
    elif types.is_duration(part.type) or types.is_time(part.type):
        part = _integers(part, arrow, None)
    else:
        if types.is_integer(part.type):
            _check_exact(part, arrow, name)
        if types.is_boolean(part.type):
            part = part.cast(arrow.uint8())
        return np.array(part.cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    values, per_day = part
    return np.array(values.cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64) / per_day


def _integers(part: Any, arrow: Any, kind: Any) -> tuple[Any, float]:
    """Counts of a unit of time, and how many of them make a day."""
    part = part if kind is None else part.cast(kind)
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[part.type.unit]
    narrow = arrow.types.is_time32(part.type)
    return (part.cast(arrow.int32()) if narrow else part).cast(arrow.int64()), 86_400.0 * per_second


def _check_exact(part: Any, arrow: Any, name: str) -> None:
    """Refuses integers that float64 would round."""
    ends = library("pyarrow.compute").min_max(part).as_py()
    for end in ends.values():
        if end is not None and abs(end) >= EXACT_INTEGERS:
            raise too_large(name, end)
