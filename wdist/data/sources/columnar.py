"""Parquet, Feather and Arrow files and folders of Parquet files, read by pyarrow, batch by batch.

Columns may hold numbers, booleans, dates, times or texts; columns of other types can only be left out.
"""

import importlib
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from wdist.data.memory import fits
from wdist.data.sources.address import Address
from wdist.data.sources.arrays import EXACT_INTEGERS, StoredArray, check_no_key, too_large
from wdist.data.sources.column import BOOLEAN, CATEGORY, DATE, DAYS, NUMBER, TEXT, Column
from wdist.data.sources.tables import Coder, categories, chosen_columns, held, leave_out, named_option, stored_table
from wdist.data.survey_cache import keep, key, recall
from wdist.errors import SourceError, explained_as
from wdist.files import FileVersion, identity_of

_ROWS_AT_ONCE, _BYTES_AT_ONCE = 1 << 16, 1 << 23
"""Most rows decoded at a time, and their bytes as float64; blocks that exceed the cache of a core are slower."""
_BUFFER = 1 << 16
"""Bytes of each column that are read at a time."""
_READAHEAD = {"batch_readahead": 1, "fragment_readahead": 1}
"""Batches and files that pyarrow reads ahead; by default 16 and 4."""
FORMATS = {".parquet": "parquet", ".pq": "parquet", ".feather": "feather", ".arrow": "feather"}
"""pyarrow's name for the format of each suffix."""
_CONTINUATION = b"\xff\xff\xff\xff"
"""First bytes of each message of an Arrow stream; files begin with ARROW1, FEA1 or PAR1."""


def library(name: str) -> Any:
    """Imports a module that ``wdist[tables]`` installs.

    Raises:
        SourceError: the module is not installed.
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


def open_columnar(address: Address, *, cache: bool = False, counted: bool = True) -> StoredArray:
    """All rows of a Parquet, Feather or Arrow file, or of the Parquet files of a folder, in the order of their names.

    With ``cache``, the levels and missing values of a large Parquet table are recalled if it is unchanged since an earlier run.
    Unless they must be ``counted``, the missing values of a large Parquet table without texts are not: that takes a pass over it.
    """
    check_no_key(address)
    name, folder = address.location, address.path.is_dir()
    arrow = library("pyarrow")
    kind = "parquet" if folder else FORMATS[address.suffix]
    fault = f"{name} is damaged, cut short, or not a {'folder of parquet files' if folder else f'{kind} file'}"
    reading = partial(explained_as, fault, "save it again")
    version: AbstractContextManager[None] = nullcontext() if folder else FileVersion.of(address.path, name).reading()
    with reading(), version:
        dataset = _dataset(address.path, kind)
        fields = _fields(dataset.schema, address)
        forced, named = categories(address, [field.name for field in fields]), named_option(address) is not False
        columns = [_column(field, k, name, arrow, category=k in forced, named=named) for k, field in enumerate(fields)]
        coder = Coder(columns)

        def decoded(parts: Sequence[Any]) -> np.ndarray:
            return coder.block([_values(part, column, arrow, name) for part, column in zip(parts, columns, strict=True)])

        count = dataset.count_rows()
        if not count or not fields:
            raise SourceError(f"{name} holds no rows; give a table with samples")
        nbytes = 8 * count * len(fields)
        if kind != "parquet":
            batches = dataset.to_batches(columns=[field.name for field in fields], batch_size=_ROWS_AT_ONCE, **_READAHEAD)
            rows = held((decoded(batch.columns) for batch in batches if batch.num_rows), nbytes)
            return stored_table(rows, coder, coder.columns(name), name)
        groups = RowGroups(dataset, fields, decoded, reading=reading)
        if fits(2 * nbytes):
            return stored_table(held(groups.blocks(), nbytes), coder, coder.columns(name), name)
        if counted or any(column.type in (CATEGORY, TEXT) for column in columns):
            _count(coder, groups, address.text if cache else None)
    return stored_table(groups, coder, coder.columns(name), name, rows_together=groups.largest, identity=groups.identity)


def _dataset(path: Path, kind: str) -> Any:
    """Opens a file or a folder with pyarrow; Hugging Face's datasets are Arrow files without a footer, streams of batches."""
    datasets = library("pyarrow.dataset")
    if path.is_dir():
        return datasets.dataset(path, format=kind, partitioning="hive")
    with path.open("rb") as file:
        streamed = file.read(len(_CONTINUATION)) == _CONTINUATION
    if not streamed:
        return datasets.dataset(path, format=kind)
    return datasets.dataset(library("pyarrow.ipc").open_stream(library("pyarrow").memory_map(str(path))).read_all())


def _fields(schema: Any, address: Address) -> list[Any]:
    """The fields of the wanted columns, in the requested order."""
    names = schema.names
    chosen = chosen_columns(address, names if len(set(names)) == len(names) else None, len(names))
    return [schema.field(k) for k in (range(len(names)) if chosen is None else chosen)]


def _count(coder: Coder, groups: "RowGroups", address: str | None) -> None:
    """Counts levels and missing values, or recalls them for an address whose files have not changed."""
    known = None if address is None else key(f"levels of {address}", groups.identity(), 8 * math.prod(groups.shape))
    if known is not None and (counts := recall(known)) is not None:
        coder.counts = counts
        return
    for _ in groups.blocks():
        pass
    if known is not None:
        keep(known, coder.counts)


@dataclass(frozen=True, kw_only=True)
class _File:
    """A Parquet file, with the values of columns given by the names of its folders."""

    version: FileVersion
    keys: Mapping[str, Any]


@dataclass(kw_only=True)
class _Place:
    """Position up to which a thread has read the rows."""

    blocks: Iterator[np.ndarray]
    begin: int
    block: np.ndarray


class RowGroups:
    """Rows of Parquet files that do not fit into memory: read by row groups, batch by batch, and in order where possible.

    A row group can only be read from its beginning, so each thread continues where its last read ended. However large the row
    groups are, only a few pages of each column are in memory at a time.

    Arguments:
        dataset: a dataset of pyarrow.
        fields: the columns to read; null in files that lack them.
        decoded: turns Arrow arrays, one for each field, into rows, float64, shape (n, columns).
        reading: makes a context that explains the errors of a damaged file.
    """

    def __init__(
        self,
        dataset: Any,
        fields: Sequence[Any],
        decoded: Callable[[Sequence[Any]], np.ndarray],
        *,
        reading: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._fields, self._decoded, self._reading = fields, decoded, reading
        self._groups: list[tuple[_File, int]] = []
        counts: list[int] = []
        keys_of = library("pyarrow.dataset").get_partition_keys
        for fragment in dataset.get_fragments():
            file = _File(version=FileVersion.of(Path(fragment.path)), keys=keys_of(fragment.partition_expression))
            self._groups += [(file, group.id) for group in fragment.row_groups]
            counts += [group.num_rows for group in fragment.row_groups]
        self._ends = np.cumsum(counts)
        self.shape, self.largest = (int(self._ends[-1]), len(fields)), max(counts)
        self._places = threading.local()

    def identity(self) -> str | None:
        """The files in their present versions, as :func:`~wdist.files.identity_of`."""
        return identity_of(dict.fromkeys(file.version for file, _ in self._groups))

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Some rows, float64."""
        start, stop, _ = rows.indices(self.shape[0])
        with self._reading():
            place = self._place_at(start)
            parts = []
            while start < stop:
                end = place.begin + len(place.block)
                if start < end:
                    parts.append(place.block[start - place.begin : stop - place.begin])
                    start += len(parts[-1])
                else:
                    place.begin, place.block = end, next(place.blocks)
        if stop == self.shape[0]:
            self._places.last = None  # no rows follow; this frees the pages
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _place_at(self, start: int) -> "_Place":
        """Where to read on from for row ``start``: where this thread last read, or at the start of the row group with that row."""
        place: _Place | None = getattr(self._places, "last", None)
        group = int(np.searchsorted(self._ends, start, side="right"))
        first = int(self._ends[group - 1]) if group else 0
        end = 0 if place is None else place.begin + len(place.block)
        if place is None or start < place.begin or (start >= end and end < first):
            place = self._places.last = _Place(blocks=self.blocks(group), begin=first, block=np.empty((0, len(self._fields))))
        return place

    def blocks(self, group: int = 0) -> Iterator[np.ndarray]:
        """The rows from a row group on, batch by batch, float64."""
        parquet = library("pyarrow.parquet")
        size = max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // (8 * len(self._fields))))
        for file, places in itertools.groupby(self._groups[group:], key=itemgetter(0)):
            with file.version.reading(), parquet.ParquetFile(file.version.path, buffer_size=_BUFFER, pre_buffer=False) as opened:
                there = [field.name for field in self._fields if field.name in opened.schema_arrow.names]
                numbers = [number for _, number in places]
                for batch in _ahead(opened.iter_batches(size, row_groups=numbers, columns=there, use_threads=False)):
                    file.version.check()
                    if batch.num_rows:
                        yield self._decoded([_part(batch, field, file.keys) for field in self._fields])


def _ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """The same batches; a thread decodes each while the one before it is used. (Threads for columns would gain nothing here.)"""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="wdist-decoder") as decoder:
        following = decoder.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = decoder.submit(next, batches, None)
            yield batch


def _part(batch: Any, field: Any, keys: Mapping[str, Any]) -> Any:
    """The values of a column in the type that it has in all files."""
    if field.name in keys or field.name not in batch.schema.names:
        arrow = library("pyarrow")
        return arrow.repeat(arrow.scalar(keys.get(field.name), field.type), batch.num_rows)
    part = batch.column(field.name)
    return part if part.type == field.type else part.cast(field.type)


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
            _check_exact(part, column, name)
        if types.is_boolean(part.type):
            part = part.cast(arrow.uint8())
        return np.asarray(part.cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    values, per_day = part
    return np.asarray(values.cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64) / per_day


def _integers(part: Any, arrow: Any, kind: Any) -> tuple[Any, float]:
    """Dates or times as whole numbers of a unit, and the number of such units in a day."""
    part = part if kind is None else part.cast(kind)
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[part.type.unit]
    narrow = arrow.types.is_time32(part.type)
    return (part.cast(arrow.int32()) if narrow else part).cast(arrow.int64()), 86_400.0 * per_second


def _check_exact(part: Any, column: Column, name: str) -> None:
    """Refuses integers that float64 would round."""
    ends = library("pyarrow.compute").min_max(part).as_py()
    for end in ends.values():
        if end is not None and abs(end) >= EXACT_INTEGERS:
            raise too_large(f"{name}, column {column.name!r}", end, first=leave_out(column.name))
