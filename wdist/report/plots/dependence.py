"""Dependences as figures: the rows, and what the critic finds in them beside what it finds in random orders."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wdist.dependences.dependence import Dependence
from wdist.report.numbers import nearest, p_value
from wdist.report.plots.figure import FAINT, MAIN, SIDE_A, drawable, tidy

_BINS = 40


def draw_dependence(found: Dependence) -> Figure:
    """Rows on the left, if both sides are single columns of numbers; the test on the right."""
    panels = 1 if found.shown is None else 2
    figure = Figure(figsize=(4.6 * panels + 0.4, 3.8), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    if found.shown is not None:
        _draw_rows(axes[0], found, *found.shown)
    _draw_test(axes[-1], found)
    return figure


def _draw_rows(axes: Axes, found: Dependence, x: np.ndarray, y: np.ndarray) -> None:
    axes.scatter(x, np.roll(y, 1), s=9, color=FAINT, linewidths=0, label="recombined")
    axes.scatter(x, y, s=9, color=SIDE_A, linewidths=0, alpha=0.7, label="rows")
    axes.set(xlabel=drawable(found.columns[0]), ylabel=drawable(found.with_[0]))
    axes.legend(frameon=False, fontsize=8.5, loc="upper right", bbox_to_anchor=(1, 1.13), ncols=2)
    tidy(axes)


def _draw_test(axes: Axes, found: Dependence) -> None:
    detected = found.detected
    axes.hist(detected.permuted, bins=_BINS, color=FAINT)
    axes.axvline(detected.estimate, color=MAIN, linewidth=1.6)
    axes.axvspan(detected.lower, detected.upper, color=MAIN, alpha=0.15, linewidth=0)
    axes.set_xlabel("what the critic finds, in random orders (grey) and in the rows", loc="left")
    axes.set_title(f"{nearest(detected.estimate)}, {p_value(detected.p_value)}", color=MAIN, fontweight="bold")
    axes.set_yticks([])
    tidy(axes)
