"""Sources that can be compared: rows from which distances can be computed, of one shape and plausibly in the same units."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from wdist.data.access import Access
from wdist.data.features.space import Ends, FeatureDraws, FeatureRows
from wdist.data.memory import fits, planned_memory
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import EndlessSource, FiniteSource, KeptRows, ReorderedRows, Source, SourceInfo, shape_text
from wdist.data.survey import Survey, finite_rows, survey
from wdist.data.tables.joint import jointly_encoded
from wdist.errors import SourceError

_CHANNELS, _FIRST, _LAST = (3, 4), (2, 0, 1), (1, 2, 0)
"""Numbers of channels of colour images, and the orders of axes that move the channels to the front and to the back."""
_AROUND_UNIT = 2
"""Largest magnitude of floating-point images in [0, 1] or [-1, 1], overshoot included."""
_LARGEST = 1e300
"""Largest magnitude that leaves room in float64 for distances between samples."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparableSource:
    """A source that was surveyed and checked against the first of several."""

    given: Source
    """The source as it was opened, with its channels where the first source has them."""
    source: Source
    """Its usable rows."""
    survey: Survey | None
    """None for draws."""
    ends: Ends | None
    """Smallest and largest observed value; None if nothing was observed."""
    warnings: tuple[str, ...]

    @property
    def digest(self) -> str | None:
        """SHA-256 of the rows; None for draws."""
        return None if self.survey is None else self.survey.digest


def comparable(
    sources: Sequence[Source],
    access: Access,
    *,
    seed: int,
    mapped: bool,
    keep: bool = False,
    progress: Callable[[int, float], None] = lambda number, fraction: None,
) -> list[ComparableSource]:
    """Surveys open sources and checks all against the first; sources that will be ``mapped`` to features may differ in shape.

    With ``keep``, the survey keeps rows that it decodes, such as images, for those who read them next, if they fit into memory.
    ``progress`` receives the number of a source and the fraction of it that was read.

    Raises:
        SourceError: a source has no usable rows, or cannot be compared with the first.
    """
    found: list[ComparableSource] = []
    for number, each in enumerate(sources):
        given = each if mapped else _with_channels_of(sources[0], each)
        kept = KeptRows(given) if keep and isinstance(given, FiniteSource) and given.decodes and _fits(given) else given
        source, known = surveyed(kept, access, seed=seed, progress=partial(progress, number))
        ends, first = observed_range(source, known), found[0] if found else None
        check = _check_scales if mapped else check_comparable
        warnings = () if first is None else check(first.source, source, first.ends, ends)
        found.append(ComparableSource(given=given, source=source, survey=known, ends=ends, warnings=warnings))
    return found


def _fits(source: FiniteSource) -> bool:
    """Whether :func:`~wdist.data.measure.make_measure` would keep all rows in memory."""
    return fits(source.nbytes) and source.nbytes <= planned_memory()


def _with_channels_of(reference: Source, other: Source) -> Source:
    """The other source with its channels where those of the reference are, if both are clearly colour images."""
    wanted, found = reference.info.event_shape, other.info.event_shape
    if wanted == found or len(wanted) != 3 or len(found) != 3 or not isinstance(other, FiniteSource):
        return other
    first, last = tuple(found[axis] for axis in _FIRST), tuple(found[axis] for axis in _LAST)
    # With fewer channels than rows and columns, neither side can be an image in another order.
    if wanted == first and found[2] in _CHANNELS and min(found[:2]) > max(_CHANNELS):
        order, words = _FIRST, "first"
    elif wanted == last and found[0] in _CHANNELS and min(found[1:]) > max(_CHANNELS):
        order, words = _LAST, "last"
    else:
        return other
    moved = ReorderedRows(other, order)
    said = f"channels are moved {words}, as in {reference.info.address}"
    moved.info = replace(moved.info, notes=(*moved.info.notes, said))
    return moved


def surveyed(
    address: Any, access: Access, *, seed: int = 0, progress: Callable[[float], None] = lambda fraction: None
) -> tuple[Source, Survey | None]:
    """Opens a source of rows from which a distance can be computed, and surveys them; no survey if they are drawn."""
    (source,) = jointly_encoded([open_source(address, access, seed=seed)], access, seed=seed).sources
    if not isinstance(source, FiniteSource):
        return source, None
    found = survey(source, progress, cache=access.cache)
    if found.minimum is not None and found.maximum is not None and max(-found.minimum, found.maximum) > _LARGEST:
        raise SourceError(
            f"{source.info.address} ranges from {found.minimum:g} to {found.maximum:g}, too wide for distances in float64; "
            f"divide both sides by the same number and save them again"
        )
    kept = finite_rows(source, found, access)
    if found.constant:
        what = "samples" if not isinstance(source, FeatureRows) else "rows of features"
        raise SourceError(
            f"all {kept.count} {what} of {source.info.address} are equal, which looks like a failed export; give others, "
            f"or synthetic:dirac?dim={source.info.dim} for a single point"
        )
    return kept, found


def observed_range(source: Source, found: Survey | None) -> Ends | None:
    """Smallest and largest observed value, in the units of the source; None for features and synthetic sources."""
    if isinstance(source, FeatureRows | FeatureDraws):
        return None  # features may have any range
    if isinstance(source, EndlessSource):
        if source.info.kind == "synthetic":
            return None  # its scale is known by definition
        rows = source.draw(256, torch.Generator().manual_seed(0))
        return float(rows.min()), float(rows.max())
    return None if found is None or found.minimum is None or found.maximum is None else (found.minimum, found.maximum)


def check_comparable(a: Source, b: Source, range_a: Ends | None = None, range_b: Ends | None = None) -> tuple[str, ...]:
    """Refuses two sources whose samples are not points of one space, or clearly have different units; returns warnings.

    A range is the observed one of a source, or None if nothing was observed. Event shapes may differ by flattening; one side in
    0..255 and the other in 0..1 or -1..1 is refused unless an address has ``range=``, or neither side has an address.
    """
    return (*_check_shapes(a.info, b.info), *_check_scales(a, b, range_a, range_b))


def _check_shapes(a: SourceInfo, b: SourceInfo) -> tuple[str, ...]:
    if a.event_shape == b.event_shape:
        return ()
    shapes = f"{a.address} has samples of shape {shape_text(a.event_shape)}, {b.address} of shape {shape_text(b.event_shape)}"
    if a.dim != b.dim:
        # Images of one size whose channels differ in number: grey, RGB, or RGB with transparency.
        kinds = {a.kind, b.kind}
        images = "image-folder" in kinds and kinds <= {"image-folder", "tar-archive"}
        modes = images and a.event_shape[:2] == b.event_shape[:2]
        way_out = "read both in one mode, ?mode=RGB or ?mode=L" if modes else "give two sources whose samples have the same shape"
        raise SourceError(f"{shapes}; {way_out}")
    # An axis of length 1 does not change the order: (1, 28, 28), (28, 28) and (28, 28, 1) are the same images.
    kept_a, kept_b = (tuple(n for n in info.event_shape if n != 1) for info in (a, b))
    if kept_a == kept_b:
        return ()
    if min(len(kept_a), len(kept_b)) == 1:
        return (f"{shapes}; they are compared flattened, row by row",)
    colours = sorted(kept_a) == sorted(kept_b) and len(kept_a) == 3
    colour_way = "move the channels with ?channels=last or ?channels=first, or x.permute(0, 3, 1, 2) of a tensor"
    way_out = colour_way if colours else "bring the axes into the same order"
    raise SourceError(f"{shapes}, the same number of coordinates in another order; {way_out}")


def _check_scales(source_a: Source, source_b: Source, range_a: Ends | None, range_b: Ends | None) -> tuple[str, ...]:
    """Checks the ranges of two sources of any shape, as :func:`check_comparable` does."""
    a, b = source_a.info, source_b.info
    if range_a is None or range_b is None or _range_chosen(a) or _range_chosen(b):
        return ()
    for wide, wide_range, narrow, narrow_range in ((a, range_a, b, range_b), (b, range_b, a, range_a)):
        if _looks_like_bytes(wide_range) and _looks_like_unit(narrow_range):
            ranges = f"{wide.address} is in {_interval(wide_range)} and {narrow.address} in {_interval(narrow_range)}"
            seen = f"{ranges}, which looks like two scalings of the same data"
            if not (a.addressed or b.addressed):
                return (f"{seen}; if so, rescale the first",)
            raise SourceError(
                f"{seen}; rescale the first with ?stored=0:255&range=unit, or confirm the difference with ?range=raw in an address"
            )
    for scaled, other, ends in ((source_a, source_b, range_b), (source_b, source_a, range_a)):
        if (
            scaled.info.scale != 1
            and other.info.scale == 1
            and isinstance(other, FiniteSource)
            and max(map(abs, ends)) > _AROUND_UNIT
        ):
            return (_one_is_scaled(scaled.info, other.info, ends),)
    images = min(len(a.event_shape), len(b.event_shape)) >= 2
    units = _looks_like_unit(range_a) and _looks_like_unit(range_b)
    if images and units and _looks_symmetric(range_a) != _looks_symmetric(range_b):
        former, latter = (a, b) if _looks_symmetric(range_a) else (b, a)
        way_out = "add ?stored=-1:1&range=unit to the former" if former.addressed else "rescale the former"
        return (f"{former.address} looks like images in -1..1, {latter.address} like images in 0..1; if unintended, {way_out}",)
    return ()


def _one_is_scaled(scaled: SourceInfo, other: SourceInfo, ends: Ends) -> str:
    """A warning that only one side was scaled, which the user did not request."""
    former = "add ?range=raw to the former" if scaled.addressed else "convert the former to float"
    latter = "add ?stored=LOW:HIGH&range=unit to the latter" if other.addressed else "divide the latter"
    seen = f"{scaled.address} is {scaled.units}, and {other.address} is in {_interval(ends)} as stored"
    return f"{seen}; if equal stored values mean the same, {former}; if not, {latter}"


def _interval(ends: Ends) -> str:
    return f"{ends[0]:g}..{ends[1]:g}"


def _range_chosen(info: SourceInfo) -> bool:
    _, _, query = info.address.partition("?")
    return any(part.startswith("range=") for part in query.split("&"))


def _looks_like_bytes(ends: Ends) -> bool:
    """True for values within 0..255 that go far beyond any overshoot of an image in [0, 1]."""
    return ends[0] >= -0.5 and 20 < ends[1] <= 255.5


def _looks_like_unit(ends: Ends) -> bool:
    return ends[0] >= -1.1 and ends[0] < ends[1] <= 1.1


def _looks_symmetric(ends: Ends) -> bool:
    return ends[0] < -0.2
