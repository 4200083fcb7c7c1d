"""Drifts as figures: the distance of each column, and the distributions of those with the most evidence of drift."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from wdist.data.sources.column import BOOLEAN, DATE
from wdist.drifts.columns import ColumnDrift, ColumnSamples
from wdist.drifts.drift import Drift
from wdist.report.numbers import nearest, p_value
from wdist.report.plots.figure import FAINT, INK, MAIN, MUTED, SIDE_A, SIDE_B, drawable_apart, tidy

_MOST_COLUMNS, _MOST_PANELS, _MOST_LEVELS = 24, 6, 8
_NAME, _LEVEL = 28, 14
_SHOWN = (0.005, 0.995)
"""Quantiles between which a distribution function is drawn, so that a few outliers do not squeeze it."""


def draw_drift(drift: Drift) -> Figure:
    """Bars of all columns on the left; on the right, both distributions of those with the most evidence."""
    shown = drift.ranked[:_MOST_COLUMNS]
    panels = shown[:_MOST_PANELS]
    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(10.5, max(2.2 * rows, 0.26 * len(shown) + 1.2)), layout="constrained")
    bars, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 1.6))[0]
    names = drawable_apart([column.name for column in shown], _NAME)
    _draw_bars(bars.subplots(), drift, shown, names)
    samples = {each.name: each for each in drift.samples}
    grid = right.subplots(rows, 2, squeeze=False).ravel()
    for axes, column, name in zip(grid, panels, names, strict=False):
        _draw_distributions(axes, column, samples[column.name], title=name, drifted=column in drift.drifted)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    handles, labels = grid[0].get_legend_handles_labels()
    right.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False, fontsize=8.5)
    return figure


def _draw_bars(axes: Axes, drift: Drift, shown: Sequence[ColumnDrift], names: Sequence[str]) -> None:
    heights = range(len(shown))[::-1]
    colours = [MAIN if column in drift.drifted else FAINT for column in shown]
    axes.barh(heights, [column.scaled for column in shown], color=colours, height=0.7)
    axes.set_yticks(heights, names)
    for label, column in zip(axes.get_yticklabels(), shown, strict=True):
        label.set(color=INK if column in drift.drifted else MUTED)
    axes.set_xlabel("$W_1$ over the standard deviation\nof the reference; in colour: drift", loc="left")
    tidy(axes, grid="x")


def _draw_distributions(axes: Axes, column: ColumnDrift, samples: ColumnSamples, *, title: str, drifted: bool) -> None:
    """Draws distribution functions of numbers, or frequencies of levels."""
    levels = ("false", "true") if samples.type == BOOLEAN else samples.levels
    if levels is None:
        for values, colour, name in ((samples.reference, SIDE_A, "reference"), (samples.current, SIDE_B, "current")):
            heights = np.linspace(*_SHOWN, min(len(values), 400))
            points: Any = np.quantile(values, heights, method="inverted_cdf")
            if samples.type == DATE:
                points = np.round(points * 86_400).astype("datetime64[s]")
            axes.step(points, heights, where="post", color=colour, linewidth=1.4, label=name)
        axes.set_ylim(-0.02, 1.02)
        if samples.type == DATE:
            ticks = AutoDateLocator(maxticks=5)
            axes.xaxis.set_major_locator(ticks)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(ticks))
        else:
            axes.locator_params(axis="x", nbins=5)
    else:
        sides = (np.rint(side).astype(np.int64) for side in (samples.reference, samples.current))
        shares = [np.bincount(side, minlength=len(levels)) / len(side) for side in sides]
        chosen = np.argsort(-np.abs(shares[0] - shares[1]), kind="stable")[:_MOST_LEVELS]
        for share, colour, name, offset in ((shares[0], SIDE_A, "reference", -0.2), (shares[1], SIDE_B, "current", 0.2)):
            axes.barh(np.arange(len(chosen)) + offset, share[chosen], height=0.38, color=colour, label=name)
        axes.set_yticks(range(len(chosen)), drawable_apart([levels[level] for level in chosen], _LEVEL))
        axes.invert_yaxis()
    axes.set_title(
        f"{title}\n$W_1$ = {nearest(column.distance, 3)}, {p_value(column.adjusted)}",
        fontweight="bold" if drifted else "normal",
        fontsize=9,
    )
    tidy(axes, grid="y" if levels is None else "x")
