"""Sources: a description with units, and rows to read, select (``?rows=0:5000``, ``?limit=10000``) and reorder, or draws."""

import math
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from wdist.data.sources.address import Address
from wdist.data.sources.column import FITTED, Column, units_in_words
from wdist.errors import SourceError

RowIndex: TypeAlias = slice | np.ndarray
"""Rows of a finite source: a slice with step 1, or a sorted array of distinct row numbers."""

SELECTION_OPTIONS = ("rows", "limit", "channels")
"""The options of an address that :func:`select` reads."""
_ORDERS = {"first": (2, 0, 1), "last": (1, 2, 0)}
_MOST_CHANNELS = 4
UNIT_OPTIONS = ("range", "stored")
"""The options of an address that :func:`units_of` reads."""
_TARGETS = {"unit": (0.0, 1.0), "symmetric": (-1.0, 1.0)}
_RANGE_OF_TYPE = {"uint8": (0.0, 255.0), "bool": (0.0, 1.0)}


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """Description of an open source."""

    address: str
    """Address as the user wrote it; ``<tensor>``, ``<array>``, ``<frame>`` or ``<dataset>`` for values passed in Python."""
    kind: str
    """``array``, ``image-folder``, ``tar-archive``, ``torchvision``, ``generator`` or ``synthetic``."""
    event_shape: tuple[int, ...]
    """Shape of one sample; critics see it flattened."""
    count: int | None
    """Number of samples; None if the source draws without end."""
    dtype: str
    """Stored type, for example ``uint8``."""
    scale: float = 1.0
    """Stored value * scale + offset = value in the units of the distance."""
    offset: float = 0.0
    units: str = "as stored"
    """The units in words, for example ``uint8 scaled to [0, 1]``."""
    bounds: tuple[float, float] | None = None
    """An interval in those units that contains every coordinate, guaranteed by the type and not by observation."""
    dropped: int = 0
    """Number of rows left out because they were not finite."""
    notes: tuple[str, ...] = ()
    """Sentences that tell the user how the source was read."""
    columns: tuple[Column, ...] | None = None
    """Columns of a table, with the coordinates that stand for each; None for other sources."""
    scaling: str = "none"
    """Where the units of length of the columns come from: ``none``, ``std``, ``iqr``, ``mad``, ``range`` or a file."""

    @property
    def addressed(self) -> bool:
        """Whether it has an address, which takes options; False for values passed in Python."""
        return not self.address.startswith("<")

    @property
    def fitted(self) -> bool:
        """Whether the ground metric depends on training samples of A, by units of length or by substitutes for missing numbers."""
        return self.scaling in FITTED or any(column.fill is not None for column in self.columns or ())

    @property
    def beside_reference(self) -> "SourceInfo":
        """The same facts with units that call A the reference."""
        called_a = self.units == units_in_words(self.scaling)
        return replace(self, units=units_in_words(self.scaling, "the reference")) if called_a else self

    @property
    def dim(self) -> int:
        """Number of coordinates of one flattened sample."""
        return math.prod(self.event_shape)


class FiniteSource(ABC):
    """A known number of rows, read by position."""

    info: SourceInfo
    itemsize: int
    """Bytes of one value in memory."""
    rows_together: int = 1
    """Rows that are stored in one piece, so that reading one of them costs as much as reading all."""
    decodes: bool = False
    """Whether reading rows decodes them, which takes much longer than copying them."""
    file: Address | None = None
    """The file from which rows are read; a temporary copy is removed when nothing holds this address any longer."""

    @property
    def count(self) -> int:
        assert self.info.count is not None
        return self.info.count

    @property
    def nbytes(self) -> int:
        """Bytes that all rows take in memory in their stored type."""
        return self.count * self.info.dim * self.itemsize

    @abstractmethod
    def read(self, rows: RowIndex) -> Tensor:
        """Reads rows in their stored type, flattened, as a tensor of shape (number of rows, :attr:`SourceInfo.dim`) on the CPU.

        The tensor must not be changed, because it may share memory with the source.
        """

    def identity(self) -> str | None:
        """Identifies the present versions of the files behind all rows; None without files, or if a change might go unnoticed."""
        return None

    @property
    def stored(self) -> "FiniteSource":
        """The rows that identify the data: those of a table before it is encoded."""
        return self

    def coordinates(self, stored: Tensor) -> Tensor:
        """Converts rows of :attr:`stored` to the same rows of this source."""
        return stored

    def slabs(self, rows_per_slab: int) -> Iterator[tuple[int, Tensor]]:
        """Yields all rows in order, as (position of the first row, rows) with at most ``rows_per_slab`` rows each."""
        for start in range(0, self.count, rows_per_slab):
            yield start, self.read(slice(start, min(start + rows_per_slab, self.count)))


class EndlessSource(ABC):
    """Draws without end, reproducible from a generator that the caller passes."""

    info: SourceInfo

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws ``n`` independent samples, floating point, shape (n, dim), in the source's units, on the generator's device."""


def random_stream(*numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for some numbers, such as a seed and a purpose; its draws are independent of those for other numbers."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as ``(28, 28)``; that of a single number is ``()``."""
    return str(tuple(int(n) for n in shape))


Source: TypeAlias = FiniteSource | EndlessSource


@dataclass(frozen=True, kw_only=True)
class Units:
    """A map from stored values to the units of the distance: stored value * scale + offset."""

    scale: float = 1.0
    offset: float = 0.0
    words: str = "as stored"
    bounds: tuple[float, float] | None = None
    """An interval that contains every value, by type or as the user declared."""
    notes: tuple[str, ...] = ()


def units_of(dtype: str, address: Address | None = None) -> Units:
    """Units of values stored as ``dtype``, with the options ``range`` and ``stored`` of an address.

    uint8 is scaled from 0..255 to [0, 1] unless ``range=raw`` or ``range=symmetric`` says otherwise. Other types keep their values;
    to scale them, the user has to state their interval as ``stored=low:high``, which neither the type nor a few samples reveal.
    """
    wanted = None if address is None or "range" not in address.options else address.choice("range", ("raw", *_TARGETS))
    declared = None if address is None else address.interval("stored")
    stored = declared or _RANGE_OF_TYPE.get(dtype)
    notes: tuple[str, ...] = ()
    if wanted is None and dtype == "uint8":
        kept = "floats keep their values" if address is None else "?range=raw keeps them"
        wanted, notes = "unit", (f"uint8 values are scaled from 0..255 to [0, 1]; {kept}",)
    if wanted is None or wanted == "raw":
        return Units(bounds=stored)
    if stored is None:
        raise SourceError(
            f"{address}: range={wanted} cannot scale {dtype} values, because their type does not fix their range; "
            f"add &stored=0:255 (or their actual range), or leave out range="
        )
    low, high = _TARGETS[wanted]
    scale = (high - low) / (stored[1] - stored[0])
    words = f"{dtype} scaled from {stored[0]:g}..{stored[1]:g} to [{low:g}, {high:g}]"
    if dtype == "uint8" and declared is None:
        words = f"uint8 scaled to [{low:g}, {high:g}]"
    return Units(scale=scale, offset=low - stored[0] * scale, words=words, bounds=(low, high), notes=notes)


class SelectedRows(FiniteSource):
    """Rows of another source at sorted distinct positions; ``dropped`` counts rows left out because they were not finite."""

    def __init__(self, source: FiniteSource, index: np.ndarray, *, notes: tuple[str, ...], dropped: int = 0) -> None:
        self.info = replace(source.info, count=len(index), notes=source.info.notes + notes, dropped=source.info.dropped + dropped)
        self.source, self.itemsize, self.rows_together = source, source.itemsize, source.rows_together
        self.decodes, self.index = source.decodes, index
        self._contiguous = len(index) > 0 and int(index[-1]) - int(index[0]) + 1 == len(index)

    def read(self, rows: RowIndex) -> Tensor:
        if isinstance(rows, slice) and self._contiguous:
            start, stop, _ = rows.indices(self.count)
            first = int(self.index[0])
            return self.source.read(slice(first + start, first + max(start, stop)))
        return self.source.read(self.index[rows])


class ReorderedRows(FiniteSource):
    """Rows of another source with the axes of each sample permuted."""

    def __init__(self, source: FiniteSource, order: tuple[int, ...]) -> None:
        shape = source.info.event_shape
        self.info = replace(source.info, event_shape=tuple(shape[axis] for axis in order))
        self.source, self.itemsize, self.rows_together = source, source.itemsize, source.rows_together
        self.decodes, self._order = source.decodes, order

    def read(self, rows: RowIndex) -> Tensor:
        return permuted(self.source.read(rows), self.source.info.event_shape, self._order)


class KeptRows(FiniteSource):
    """Rows of another source, which the first pass over all of them decodes and keeps in memory."""

    def __init__(self, source: FiniteSource) -> None:
        self.info, self.itemsize, self.rows_together, self.file = source.info, source.itemsize, source.rows_together, source.file
        self._source = source
        self._kept: Tensor | None = None

    @property
    def complete(self) -> bool:
        """Whether all rows are in memory."""
        return self._kept is not None

    def identity(self) -> str | None:
        return self._source.identity()

    def read(self, rows: RowIndex) -> Tensor:
        if self._kept is None:
            return self._source.read(rows)
        return self._kept[rows if isinstance(rows, slice) else torch.from_numpy(np.asarray(rows, dtype=np.int64))]

    def slabs(self, rows_per_slab: int) -> Iterator[tuple[int, Tensor]]:
        if self._kept is not None:
            yield from super().slabs(rows_per_slab)
            return
        kept = torch.empty(0)
        for start, rows in self._source.slabs(rows_per_slab):
            kept = kept if start else rows.new_empty(self.count, rows.shape[1])
            kept[start : start + len(rows)] = rows
            yield start, rows
        self._kept = kept


class SelectedColumns(FiniteSource):
    """Rows of a table that is not encoded, with only some of its columns or in another order."""

    def __init__(self, source: FiniteSource, order: Sequence[int], *, notes: tuple[str, ...] = ()) -> None:
        known = source.info.columns
        assert known is not None, "the source is a table"
        columns = tuple(replace(known[k], start=place, stop=place + 1) for place, k in enumerate(order))
        self.info = replace(source.info, event_shape=(len(columns),), columns=columns, notes=source.info.notes + notes)
        self.source, self.itemsize, self.rows_together = source, source.itemsize, source.rows_together
        self._order = list(order)

    def read(self, rows: RowIndex) -> Tensor:
        return self.source.read(rows)[:, self._order]


def select(source: FiniteSource, address: Address, seed: int) -> FiniteSource:
    """Applies the options ``channels=first|last``, ``rows=start:stop`` and ``limit=n``, which chooses rows without replacement.

    The random choice depends on ``seed`` and the address: the same address gives the same rows, other files other row numbers.
    """
    order = channel_order(source.info.event_shape, address)
    if order is not None:
        source = ReorderedRows(source, order)
    if "rows" in address.options:
        start, stop = _interval(address, source.count)
        source = SelectedRows(source, np.arange(start, stop), notes=(f"rows {start} to {stop - 1} of {source.count}",))
    if "limit" in address.options:
        limit = address.integer("limit")
        if limit < source.count:
            random = np.random.default_rng([seed, zlib.crc32(address.text.encode())])
            index = np.sort(random.choice(source.count, size=limit, replace=False))
            source = SelectedRows(source, index, notes=(f"{limit} of {source.count} rows, chosen at random with seed {seed}",))
    return source


def _interval(address: Address, count: int) -> tuple[int, int]:
    text = address.options["rows"]
    match = re.fullmatch(r"(\d{0,18}):(\d{0,18})", text)
    if match is None:
        raise SourceError(f"{address}: rows={text} is not start:stop; write for example rows=0:5000")
    start, stop = int(match[1] or 0), int(match[2] or count)
    if not start < stop <= count:
        fault = f"selects none of the {count} rows" if start >= min(stop, count) else f"goes beyond the last of {count} rows"
        raise SourceError(f"{address}: rows={text} {fault}; choose start < stop <= {count}")
    return start, stop


def channel_order(event_shape: tuple[int, ...], address: Address) -> tuple[int, ...] | None:
    """The permutation of axes for ``channels=first|last``, or None; channels are the first or last axis with at most 4 entries."""
    if "channels" not in address.options:
        return None
    wanted = address.choice("channels", tuple(_ORDERS))
    if len(event_shape) == 3:
        first, last = event_shape[0] <= _MOST_CHANNELS, event_shape[2] <= _MOST_CHANNELS
        if first != last:
            return None if (wanted == "first") == first else _ORDERS[wanted]
    raise SourceError(
        f"{address}: samples of shape {shape_text(event_shape)} do not show which axis holds channels; leave out channels="
    )


def permuted(rows: Tensor, event_shape: tuple[int, ...], order: tuple[int, ...]) -> Tensor:
    """Permutes the axes of flattened samples of ``event_shape`` and flattens them again."""
    return rows.reshape(len(rows), *event_shape).permute(0, *(axis + 1 for axis in order)).reshape(rows.shape)
