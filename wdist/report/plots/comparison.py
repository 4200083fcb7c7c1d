"""Comparisons as figures: intervals on one scale over the noise floor, and the images that each critic separates most clearly."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from torch import Tensor

from wdist.comparison.entry import Entry
from wdist.comparison.ranking import Comparison
from wdist.comparison.witnesses import image_axes
from wdist.report.numbers import level
from wdist.report.plots.figure import FAINT, INK, MAIN, MUTED, OTHERS, drawable, figure_file, tidy
from wdist.report.rankings import place, strongest
from wdist.report.sentences import METRICS, units

_NAME, _REFERENCE = 34, 50
"""Most characters of a name, and of the address below the bars; the middle of longer ones is left out."""
_SAMPLES = OTHERS[0]
PER_STRIP = 16
"""Images in one strip."""
_SHEET_WIDTH = 8.4
_GUTTER = 0.08
"""Gap between two images, as a fraction of their width."""


def draw_comparison(comparison: Comparison) -> Figure:
    """One row for each source and one for the noise floor."""
    entries = comparison.entries[::-1]
    figure = Figure(figsize=(7.6, 0.46 * len(entries) + 1.75), layout="constrained")
    axes = figure.subplots()
    reach = 1.06 * _largest(comparison) or 1.0
    for height, entry in enumerate(entries):
        _draw_entry(
            axes, entry, height, detected=comparison.detected(entry), reach=reach, ranked=entry is not comparison.noise_floor
        )
    floor = comparison.noise_floor
    if floor is not None and floor.population.upper is not None:
        axes.axvspan(0, floor.population.upper, color=FAINT, alpha=0.35, linewidth=0, zorder=0)
    labels = [f"{place(comparison, entry)}  {drawable(entry.name, _NAME)}".strip() for entry in entries]
    axes.set_yticks(range(len(entries)), labels)
    for label, entry in zip(axes.get_yticklabels(), entries, strict=True):
        label.set(color=MUTED if entry is comparison.noise_floor else INK)
    for number, (near, far) in enumerate(pairwise(comparison.ranking)):
        between = len(entries) - 1.5 - number
        words = f"order: {strongest(comparison, near, far)}"
        axes.annotate(
            words, (0.995, between), xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=7.5, color=MUTED
        )
    least = min(0.0, *(comparison.detected(entry) for entry in entries))
    axes.set(xlim=(least - 0.02 * reach if least else 0.0, reach), ylim=(-0.6, len(entries) - 0.4))
    measured = METRICS[comparison.metric]
    if comparison.features is None:
        measured += f", {units(comparison.reference)}"
    else:
        measured += f", features {drawable(comparison.features.spec, _NAME)}"
    axes.set_xlabel(f"$W_1$ from {drawable(comparison.reference.address, _REFERENCE)}\n({measured})", loc="left")
    tidy(axes, grid="x")
    _explain(figure, comparison)
    return figure


def _draw_entry(axes: Axes, entry: Entry, height: int, *, detected: float, reach: float, ranked: bool) -> None:
    population, samples = entry.population, entry.samples
    colour = MAIN if ranked else MUTED
    upper = reach if population.upper is None else population.upper
    axes.plot((max(population.lower, 0.0), upper), (height, height), color=colour, linewidth=5, solid_capstyle="butt", zorder=3)
    if population.upper is None:
        axes.plot(0.985 * reach, height, ">", color=colour, markersize=8, zorder=3)
    axes.plot(detected, height, "o", color="white", markeredgecolor=colour, markersize=6, zorder=4)
    below = height - 0.26
    end = reach if samples.upper is None else samples.upper
    axes.plot((samples.lower, end), (below, below), color=_SAMPLES, linewidth=1.6, zorder=3)
    for edge in (samples.lower, samples.upper):
        if edge is not None:
            axes.plot(edge, below, "|", color=_SAMPLES, markersize=6, markeredgewidth=1.6, zorder=3)


def _largest(comparison: Comparison) -> float:
    values = [0.0]
    for entry in comparison.entries:
        ends = (
            entry.population.lower,
            comparison.detected(entry),
            entry.population.upper,
            entry.samples.lower,
            entry.samples.upper,
        )
        values += [end for end in ends if end is not None]
    return max(values)


def _explain(figure: Figure, comparison: Comparison) -> None:
    confidence = level(comparison.confidence)
    handles: list[Any] = [
        Line2D([], [], color=MAIN, linewidth=5, label=f"distributions, {confidence} jointly"),
        Line2D([], [], color="white", marker="o", markeredgecolor=MAIN, label="detected"),
        Line2D([], [], color=_SAMPLES, linewidth=1.6, marker="|", markersize=6, markeredgewidth=1.6, label="sample sets, certain"),
    ]
    if comparison.noise_floor is not None and comparison.noise_floor.population.upper is not None:
        handles.append(Line2D([], [], color=FAINT, linewidth=8, label="noise floor"))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=8.5, handlelength=1.8)


def draw_contact_sheet(comparison: Comparison) -> Figure | None:
    """Two strips for each source, the nearest on top: samples of the reference, and below them samples of the source.

    None if the comparison has no witnesses.
    """
    strips = list(_strips(comparison))
    if not strips:
        return None
    height, width = strips[0][1].shape[:2]
    inches = (_SHEET_WIDTH - 0.2) * height / width
    figure = Figure(figsize=(_SHEET_WIDTH, len(strips) * (inches + 0.3) + 0.75), layout="constrained")
    figure.suptitle(
        "What tells them apart: the images that each critic separates most clearly, clearest first", fontsize=11, x=0.02, ha="left"
    )
    low, high = _brightness(comparison)
    for axes, (title, images, colour) in zip(figure.subplots(len(strips), 1, squeeze=False).flat, strips, strict=True):
        shades = np.clip((images - low) / (high - low), 0.0, 1.0)
        axes.imshow(np.where(np.isnan(shades), 1.0, shades), interpolation="nearest")
        axes.set_title(title, fontsize=8.5, loc="left", color=colour, pad=3)
        axes.set_axis_off()
    return figure


def contact_sheet_bytes(comparison: Comparison, *, suffix: str) -> bytes | None:
    """The contact sheet as a file of the kind that the suffix names; None if no source holds images."""
    return figure_file(draw_contact_sheet, comparison, suffix=suffix)


def _strips(comparison: Comparison) -> Iterator[tuple[str, NDArray[np.float64], str]]:
    """Title, images in a row, and colour of the title."""
    for entry in comparison.ranking:
        found = entry.witnesses
        if found is not None:
            name = drawable(entry.name)
            yield f"reference images least like those of {name}", mosaic(found.reference, PER_STRIP), INK
            yield f"images of {name} least like the reference", mosaic(found.source, PER_STRIP), MUTED


def mosaic(images: Tensor, columns: int) -> NDArray[np.float64]:
    """At most ``columns`` grey or RGB images, shape (k, \\*event shape), side by side in one of shape (h, w, 3), NaN in gaps."""
    order = image_axes(tuple(images.shape[1:]))
    assert order is not None, "only images have a mosaic"
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
    """Values shown as black and as white on the whole sheet: the bounds of the reference if known, else the range of its images."""
    if comparison.reference.bounds is not None:
        return comparison.reference.bounds
    shown = [entry.witnesses.reference for entry in comparison.ranking if entry.witnesses]
    low, high = min(float(side.min()) for side in shown), max(float(side.max()) for side in shown)
    return low, high if high > low else low + 1
