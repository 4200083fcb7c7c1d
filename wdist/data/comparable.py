"""Whether two sources can stand against each other."""

import torch

from wdist.data.sources.source import EndlessSource, Source, SourceInfo
from wdist.data.sources.stored_array import shape_text
from wdist.errors import SourceError

Range = tuple[float, float]
"""Least and greatest value, in the units of the source."""


def check_comparable(a: Source, b: Source, range_a: Range | None = None, range_b: Range | None = None) -> tuple[str, ...]:
    """Refuses two sources whose samples are not points of one space, or plainly not in one unit.

    Arguments:
        range_a: observed range of ``a``; None where nothing was observed, as for synthetic sources.
        range_b: observed range of ``b``.

    Returns:
        Warnings, each a sentence: what was let pass but should be known.

    Raises:
        SourceError: the event shapes differ in more than flattening, or one side lies in 0..255 and the other in 0..1 or -1..1 and
            neither address says by ``range=`` that this is meant.
    """
    return (*_check_shapes(a.info, b.info), *check_scales(a, b, range_a, range_b))


def drawn_range(source: EndlessSource, n: int = 256) -> Range | None:
    """Range of a few draws of a generator; None for a synthetic source, which is what its definition says it is."""
    if source.info.kind == "synthetic":
        return None
    rows = source.draw(n, torch.Generator().manual_seed(0))
    return float(rows.min()), float(rows.max())


def _check_shapes(a: SourceInfo, b: SourceInfo) -> tuple[str, ...]:
    if a.event_shape == b.event_shape:
        return ()
    shapes = f"{a.address} has samples of shape {shape_text(a.event_shape)}, {b.address} of shape {shape_text(b.event_shape)}"
    if a.dim != b.dim:
        raise SourceError(f"{shapes}; give two sources whose samples have the same shape")
    # An axis of length 1 changes no order: (1, 28, 28), (28, 28) and (28, 28, 1) are the same images.
    kept_a, kept_b = (tuple(n for n in info.event_shape if n != 1) for info in (a, b))
    if kept_a == kept_b:
        return ()
    if min(len(kept_a), len(kept_b)) == 1:
        return (f"{shapes}; they are compared flattened, row by row",)
    colours = sorted(kept_a) == sorted(kept_b) and len(kept_a) == 3
    way_out = "move the channels with ?channels=last or ?channels=first" if colours else "bring the axes into the same order"
    raise SourceError(f"{shapes}, as many coordinates in another order; {way_out}")


def check_scales(source_a: Source, source_b: Source, range_a: Range | None, range_b: Range | None) -> tuple[str, ...]:
    """The part of :func:`check_comparable` that looks at ranges, whatever the shapes."""
    a, b = source_a.info, source_b.info
    if range_a is None or range_b is None or _range_chosen(a) or _range_chosen(b):
        return ()
    for wide, wide_range, narrow, narrow_range in ((a, range_a, b, range_b), (b, range_b, a, range_a)):
        if _looks_like_bytes(wide_range) and _looks_like_unit(narrow_range):
            ends = f"{wide_range[0]:g}..{wide_range[1]:g}", f"{narrow_range[0]:g}..{narrow_range[1]:g}"
            raise SourceError(
                f"{wide.address} lies in {ends[0]} and {narrow.address} in {ends[1]}, which looks like two scalings of one thing; "
                f"bring the first to the scale of the second with ?stored=0:255&range=unit, or say with ?range=raw that it is meant"
            )
    images = min(len(a.event_shape), len(b.event_shape)) >= 2
    units = _looks_like_unit(range_a) and _looks_like_unit(range_b)
    if images and units and _looks_symmetric(range_a) != _looks_symmetric(range_b):
        former, latter = (a, b) if _looks_symmetric(range_a) else (b, a)
        return (
            f"{former.address} looks like images in -1..1, {latter.address} like images in 0..1; "
            f"if that is not meant, add ?stored=-1:1&range=unit to the former",
        )
    return ()


def _range_chosen(info: SourceInfo) -> bool:
    _, _, query = info.address.partition("?")
    return any(part.startswith("range=") for part in query.split("&"))


def _looks_like_bytes(ends: Range) -> bool:
    """Within 0..255, and far above what an image in [0, 1] reaches by overshoot."""
    return ends[0] >= -0.5 and 20 < ends[1] <= 255.5


def _looks_like_unit(ends: Range) -> bool:
    return ends[0] >= -1.1 and ends[0] < ends[1] <= 1.1


def _looks_symmetric(ends: Range) -> bool:
    return ends[0] < -0.2
