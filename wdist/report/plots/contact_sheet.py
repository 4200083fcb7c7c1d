"""Contact sheets: for each source, the images that its critic separates most clearly from the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from wdist.comparison.witnesses import image_axes
from wdist.report.numbers import nearest
from wdist.report.plots.figure import INK, MUTED, drawable, file_content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from torch import Tensor

    from wdist.comparison.ranking import Comparison


PER_STRIP = 16
"""Images in one strip."""
_WIDTH = 8.4
_GUTTER = 0.08
"""Between two images, as a share of their width."""


def contact_sheet_bytes(comparison: Comparison, *, suffix: str) -> bytes | None:
    """The sheet as a file's content; None if the comparison has no witnesses.

    Arguments:
        comparison: of images.
        suffix: ``.png``, ``.svg`` or ``.pdf``.
    """
    if not any(entry.witnesses for entry in comparison.ranking):
        return None
    return file_content(lambda: draw_contact_sheet(comparison), suffix=suffix)


def draw_contact_sheet(comparison: Comparison) -> Figure:
    """Two strips for each source, the nearest on top: samples of the reference, and below them samples of the source."""
    strips = list(_strips(comparison))
    images = [strip.mosaic for strip in strips]
    height, width = images[0].shape[:2]
    inches = (_WIDTH - 0.2) * height / width
    figure = Figure(figsize=(_WIDTH, len(strips) * (inches + 0.3) + 0.75), layout="constrained")
    figure.suptitle(
        "Samples with the most extreme potentials (up to a constant), the most extreme first", fontsize=11, x=0.02, ha="left"
    )
    low, high = _brightness(comparison)
    for axes, strip in zip(figure.subplots(len(strips), 1, squeeze=False).flat, strips, strict=True):
        _draw(axes, strip, low=low, high=high)
    return figure


class _Strip:
    """Images in a row, and what they are."""

    def __init__(self, words: str, images: Tensor, potentials: tuple[float, ...], *, first: bool) -> None:
        self.words, self.first = words, first
        self.mosaic = mosaic(images, PER_STRIP)
        self.range = f"{nearest(potentials[0], 3)} to {nearest(potentials[-1], 3)}" if potentials else "none"


def _strips(comparison: Comparison) -> Iterator[_Strip]:
    for entry in comparison.ranking:
        found = entry.witnesses
        if found is None:
            continue
        words = f"reference, against {entry.name}: highest potentials"
        yield _Strip(words, found.reference, found.reference_potentials, first=True)
        yield _Strip(f"{entry.name}: lowest potentials", found.source, found.source_potentials, first=False)


def mosaic(images: Tensor, columns: int) -> NDArray[np.float64]:
    """Images in a row, white where there are none.

    Arguments:
        images: shape (k, \\*event shape), gray or RGB, k <= ``columns``.
        columns: how many fit in the row.

    Returns:
        Shape (h, w, 3), NaN in the gutters.
    """
    order = image_axes(tuple(images.shape[1:]))
    assert order is not None, "only images are asked for"
    arrays = images.permute(0, *(axis + 1 for axis in order)).numpy()
    if arrays.ndim == 3:
        arrays = arrays[..., None]
    arrays = np.broadcast_to(arrays, (*arrays.shape[:3], 3))
    _, h, w, _ = arrays.shape
    gutter = max(1, round(_GUTTER * w))
    sheet = np.full((h, columns * (w + gutter) - gutter, 3), np.nan)
    for number, image in enumerate(arrays[:columns]):
        left = number * (w + gutter)
        sheet[:, left : left + w] = image
    return sheet


def _brightness(comparison: Comparison) -> tuple[float, float]:
    """Black and white, for the whole sheet: the bounds of the reference where they are known, else its range as shown."""
    if comparison.reference.bounds is not None:
        return comparison.reference.bounds
    shown = [entry.witnesses.reference for entry in comparison.ranking if entry.witnesses]
    low, high = min(float(side.min()) for side in shown), max(float(side.max()) for side in shown)
    return low, high if high > low else low + 1


def _draw(axes: Axes, strip: _Strip, *, low: float, high: float) -> None:
    shades = np.clip((strip.mosaic - low) / (high - low), 0.0, 1.0)
    axes.imshow(np.where(np.isnan(shades), 1.0, shades), interpolation="nearest")
    axes.set_title(f"{drawable(strip.words)}, {strip.range}", fontsize=8.5, loc="left", color=INK if strip.first else MUTED, pad=3)
    axes.set_axis_off()
