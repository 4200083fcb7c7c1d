"""From stored values to the units in which the distance is stated."""

from dataclasses import dataclass

from wdist.data.sources.address import Address
from wdist.errors import SourceError

OPTIONS = ("range", "stored")
"""Options of an address that speak of units."""

_TARGETS = {"unit": (0.0, 1.0), "symmetric": (-1.0, 1.0)}
_BY_TYPE = {"uint8": (0.0, 255.0), "bool": (0.0, 1.0)}


@dataclass(frozen=True, kw_only=True)
class Units:
    """Stored value * scale + offset = value in these units."""

    scale: float = 1.0
    offset: float = 0.0
    words: str = "as stored"
    bounds: tuple[float, float] | None = None
    """Interval that holds every value, by type or by the user's word."""
    notes: tuple[str, ...] = ()


def units_of(dtype: str, address: Address | None = None) -> Units:
    """Units of values stored as ``dtype``, with the options ``range`` and ``stored`` of an address.

    uint8 is scaled from 0..255 to [0, 1] unless ``range=raw`` or ``range=symmetric`` says otherwise. Other types keep their values;
    to scale them, ``stored=low:high`` says where they lie, because neither their type nor a glance at some of them does.

    Raises:
        SourceError: ``range`` asks to scale a type whose range is unknown.
    """
    wanted = None if address is None or "range" not in address.options else address.choice("range", ("raw", *_TARGETS))
    declared = None if address is None else address.interval("stored")
    stored = declared or _BY_TYPE.get(dtype)
    if wanted is None and dtype == "uint8":
        wanted = "unit"
        notes: tuple[str, ...] = ("uint8 values are scaled from 0..255 to [0, 1]; ?range=raw keeps them",)
    else:
        notes = ()
    if wanted is None or wanted == "raw":
        return Units(bounds=stored)
    if stored is None:
        raise SourceError(
            f"{address}: range={wanted} cannot scale {dtype} values, whose type does not say where they lie; "
            f"add &stored=0:255 (or wherever they do lie), or leave out the range"
        )
    low, high = _TARGETS[wanted]
    scale = (high - low) / (stored[1] - stored[0])
    words = f"{dtype} scaled from {stored[0]:g}..{stored[1]:g} to [{low:g}, {high:g}]"
    if dtype == "uint8" and declared is None:
        words = f"uint8 scaled to [{low:g}, {high:g}]"
    return Units(scale=scale, offset=low - stored[0] * scale, words=words, bounds=(low, high), notes=notes)
