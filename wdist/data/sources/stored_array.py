"""Arrays that lie in a file: a shape, a type, and rows that are read when asked for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wdist.data.sources.address import Address
from wdist.data.sources.source import FiniteSource, RowIndex, SourceInfo
from wdist.data.sources.units import Units
from wdist.errors import SourceError

_BYTES_BRIDGED = 1 << 16
"""Rows that lie nearer to each other than this are read in one piece: skipping them costs more than reading what lies between."""
_BYTES_AT_ONCE = 1 << 26


@dataclass(frozen=True, kw_only=True)
class StoredArray:
    """What a file format has to tell of one array."""

    shape: tuple[int, ...]
    dtype: str
    """As stored."""
    itemsize: int
    """Bytes of one value once it is read."""
    read_rows: Callable[[int, int], Tensor]
    """(start, stop) to the rows between them, of shape (stop - start, \\*event_shape)."""


class ArraySource(FiniteSource):
    """Rows of a :class:`StoredArray`."""

    def __init__(self, array: StoredArray, info: SourceInfo) -> None:
        self.info = info
        self._array = array

    @property
    def nbytes(self) -> int:
        return self.count * self.info.dim * self._array.itemsize

    def read(self, rows: RowIndex) -> Tensor:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(self.count)
            assert step == 1, "rows are read in order"
            return self._block(start, max(start, stop))
        pieces = [self._block(int(run[0]), int(run[-1]) + 1)[torch.from_numpy(run - run[0])] for run in self._runs(rows)]
        return torch.cat(pieces) if pieces else self._block(0, 0)

    def _block(self, start: int, stop: int) -> Tensor:
        return self._array.read_rows(start, stop).reshape(stop - start, self.info.dim)

    def _runs(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Splits sorted row numbers where a gap is too wide to read across, or a piece would become too large."""
        rows = np.asarray(rows, dtype=np.int64)
        if not len(rows):
            return
        row_bytes = max(1, self.info.dim * self._array.itemsize)
        gaps = np.diff(rows) > max(1, _BYTES_BRIDGED // row_bytes)
        pieces = np.diff(rows // max(1, _BYTES_AT_ONCE // row_bytes)) > 0
        yield from np.split(rows, np.flatnonzero(gaps | pieces) + 1)


def describe(
    array_shape: tuple[int, ...], dtype: str, address: str, kind: str, units: Units, notes: tuple[str, ...] = ()
) -> SourceInfo:
    """The description of an array whose first axis counts the samples; of shape (n,) it holds n numbers.

    Raises:
        SourceError: the array has no first axis, no rows, or rows without coordinates.
    """
    if not array_shape:
        raise SourceError(f"{address} holds a single number, not samples; give an array whose first axis counts the samples")
    if 0 in array_shape:
        raise SourceError(f"{address} holds no values (its shape is {shape_text(array_shape)}); give an array with samples")
    return SourceInfo(
        address=address,
        kind=kind,
        event_shape=tuple(array_shape[1:]),
        count=array_shape[0],
        dtype=dtype,
        scale=units.scale,
        offset=units.offset,
        units=units.words,
        bounds=units.bounds,
        notes=units.notes + notes,
    )


def shape_text(shape: tuple[int, ...]) -> str:
    """``(28, 28)``; a single number reads ``()``."""
    return str(tuple(int(n) for n in shape))


def check_no_key(address: Address) -> None:
    """Refuses a key behind a file that holds one array.

    Raises:
        SourceError: there is one.
    """
    if address.key is not None:
        raise SourceError(f"{address}: {address.location} holds one array without a name; leave out :{address.key}")


def choose(names: list[str], address: Address, what: str) -> str:
    """The one array that an address means.

    Raises:
        SourceError: it names none of them, or names none where there are several; lists them.
    """
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    if not names:
        raise SourceError(f"{address.location} holds no {what}; give a file that does")
    if address.key is not None and address.key in names:
        return address.key
    if address.key is not None:
        example = f"{address.location}:{names[0]}"
        raise SourceError(f"{address.location} has no {what} {address.key!r} (it holds {shown}); name one of these: {example}")
    if len(names) > 1:
        raise SourceError(f"{address.location} holds {len(names)} {what}s ({shown}); name one: {address.location}:{names[0]}")
    return names[0]
