"""Parts and order of a source: ``?rows=0:5000``, ``?limit=10000``, ``?channels=first``, or the rows that are finite."""

import re
import zlib
from dataclasses import replace

import numpy as np
from torch import Tensor

from wdist.data.sources.address import Address
from wdist.data.sources.arrays import shape_text
from wdist.data.sources.source import FiniteSource, RowIndex
from wdist.errors import SourceError

SELECTION_OPTIONS = ("rows", "limit", "channels")
"""The options of an address that :func:`select` reads."""
_ORDERS = {"first": (2, 0, 1), "last": (1, 2, 0)}
_MOST_CHANNELS = 4


class SelectedRows(FiniteSource):
    """Rows of another source at sorted distinct positions; ``dropped`` counts rows left out because they were not finite."""

    def __init__(self, source: FiniteSource, index: np.ndarray, *, notes: tuple[str, ...] = (), dropped: int = 0) -> None:
        self.info = replace(source.info, count=len(index), notes=source.info.notes + notes, dropped=source.info.dropped + dropped)
        self.source = source
        self.index = index
        self._contiguous = len(index) > 0 and int(index[-1]) - int(index[0]) + 1 == len(index)

    @property
    def nbytes(self) -> int:
        return self.source.nbytes // max(1, self.source.count) * self.count

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
        self.source = source
        self._order = order

    @property
    def nbytes(self) -> int:
        return self.source.nbytes

    def read(self, rows: RowIndex) -> Tensor:
        return permuted(self.source.read(rows), self.source.info.event_shape, self._order)


def select(source: FiniteSource, address: Address, seed: int) -> FiniteSource:
    """Applies the options ``channels=first|last``, ``rows=start:stop`` and ``limit=n``, a random choice without replacement.

    The choice depends on ``seed`` and the address: the same address gives the same rows, and two files do not share row numbers.
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
    start, stop = int(match[1] or 0), min(int(match[2] or count), count)
    if start >= stop:
        raise SourceError(f"{address}: rows={text} selects none of the {count} rows; choose start < stop <= {count}")
    return start, stop


def channel_order(event_shape: tuple[int, ...], address: Address) -> tuple[int, ...] | None:
    """The permutation of axes for ``channels=first|last``, or None; the channels are the outer axis with at most 4 entries."""
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
