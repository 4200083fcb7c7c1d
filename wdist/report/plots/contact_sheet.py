"""Contact sheets: for each source, the images that its critic separates most clearly from the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from wdist.comparison.witnesses import image_axes
from wdist.report.numbers import nearest
from wdist.report.plots.figure import INK, MUTED, drawable, figure_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from wdist.comparison.ranking import Comparison


PER_STRIP = 16
"""Images in one strip."""
_WIDTH = 8.4
_GUTTER = 0.08
"""Between two images, as a share of their width."""


def draw_contact_sheet(comparison: Comparison) -> Figure | None:
    """Two strips for each source, the nearest on top: samples of the reference, and below them samples of the source.

    None if the comparison has no witnesses.
    """
    strips = list(_strips(comparison))
    if not strips:
        return None
    height, width = strips[0][1].shape[:2]
    inches = (_WIDTH - 0.2) * height / width
    figure = Figure(figsize=(_WIDTH, len(strips) * (inches + 0.3) + 0.75), layout="constrained")
    figure.suptitle(
        "Samples with the most extreme potentials (up to a constant), the most extreme first", fontsize=11, x=0.02, ha="left"
    )
    low, high = _brightness(comparison)
    for axes, (title, images, colour) in zip(figure.subplots(len(strips), 1, squeeze=False).flat, strips, strict=True):
        shades = np.clip((images - low) / (high - low), 0.0, 1.0)
        axes.imshow(np.where(np.isnan(shades), 1.0, shades), interpolation="nearest")
        axes.set_title(title, fontsize=8.5, loc="left", color=colour, pad=3)
        axes.set_axis_off()
    return figure


contact_sheet_bytes = figure_file(draw_contact_sheet)


def _strips(comparison: Comparison) -> Iterator[tuple[str, NDArray[np.float64], str]]:
    """Title, images in a row, and colour of the title."""
    for entry in comparison.ranking:
        found = entry.witnesses
        if found is not None:
            words = f"reference, against {entry.name}: highest potentials"
            yield _titled(words, found.reference_potentials), mosaic(found.reference, PER_STRIP), INK
            words = f"{entry.name}: lowest potentials"
            yield _titled(words, found.source_potentials), mosaic(found.source, PER_STRIP), MUTED


def _titled(words: str, potentials: tuple[float, ...]) -> str:
    span = f"{nearest(potentials[0], 3)} to {nearest(potentials[-1], 3)}" if potentials else "none"
    return f"{drawable(words)}, {span}"


def mosaic(images: Tensor, columns: int) -> NDArray[np.float64]:
    """At most ``columns`` gray or RGB images, shape (k, \\*event shape), in a row of shape (h, w, 3), NaN where there are none."""
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
