"""The order of an image's axes: ``?channels=first`` or ``?channels=last`` moves the colours there."""

from dataclasses import replace

from torch import Tensor

from wdist.errors import SourceError
from wdist.sources.address import Address
from wdist.sources.source import FiniteSource, RowIndex
from wdist.sources.stored_array import shape_text

OPTIONS = ("channels",)
"""Options of an address that speak of axes."""

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
