"""Some rows of a source: ``?rows=0:5000``, ``?limit=10000``, or those that are finite."""

import re
import zlib
from dataclasses import replace

import numpy as np
from torch import Tensor

from wdist.data.sources.address import Address
from wdist.data.sources.source import FiniteSource, RowIndex
from wdist.data.sources.stored_array import shape_text
from wdist.errors import SourceError

OPTIONS = ("rows", "limit", "channels")
"""Options of an address that :func:`select` heeds."""


class SelectedRows(FiniteSource):
    """Rows of another source, in their order there."""

    def __init__(self, source: FiniteSource, index: np.ndarray, *, notes: tuple[str, ...] = (), dropped: int = 0) -> None:
        """``index``: sorted distinct row numbers of ``source``."""
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


def select(source: FiniteSource, address: Address, seed: int) -> FiniteSource:
    """Applies the options ``rows=start:stop``, ``limit=n``, a random choice without replacement, and ``channels=first|last``.

    The choice follows from ``seed`` and the address: the same address gives the same rows, two files do not share row numbers.

    Raises:
        SourceError: the options are malformed or select nothing.
    """
    source = with_channels(source, address)
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


# MERGED sources.axes: The order of an image's axes: ``?channels=first`` or ``?channels=last`` moves the colours there.


_ORDERS = {"first": (2, 0, 1), "last": (1, 2, 0)}
_MOST_CHANNELS = 4


def channel_order(event_shape: tuple[int, ...], address: Address) -> tuple[int, ...] | None:
    """How the axes of one sample are to be permuted; None where they stay.

    The channels are the axis of at most 4 that is first or last.

    Raises:
        SourceError: the address asks for it and the samples are no images with channels, or may be read in both ways.
    """
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


def with_channels(source: FiniteSource, address: Address) -> FiniteSource:
    """The source with its channels where the address wants them.

    Raises:
        SourceError: as :func:`channel_order`.
    """
    order = channel_order(source.info.event_shape, address)
    return source if order is None else ReorderedRows(source, order)


class ReorderedRows(FiniteSource):
    """Rows of another source with their axes permuted."""

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


def permuted(rows: Tensor, event_shape: tuple[int, ...], order: tuple[int, ...]) -> Tensor:
    """Flattened samples of ``event_shape`` with their axes permuted, flattened again."""
    return rows.reshape(len(rows), *event_shape).permute(0, *(axis + 1 for axis in order)).reshape(rows.shape)
