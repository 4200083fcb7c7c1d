"""A verdict as a figure: the interval that was judged, and the limits, on one scale."""

from typing import Any

from matplotlib.figure import Figure

from wdist.gates.gate import GateResult
from wdist.report.numbers import at_least, at_most, nearest
from wdist.report.plots.figure import INK, LIMIT, MAIN, tidy
from wdist.report.sentences import ESTIMANDS, METRICS, marks, units

_COLOURS = {"pass": "#3d7d4f", "fail": "#b03a2e", "inconclusive": "#b8860b"}
_BEYOND = 1.12
_BESIDE: Any = {"textcoords": "offset points", "zorder": 2, "bbox": {"facecolor": "white", "linewidth": 0, "pad": 1}}
"""Words beside the interval, over the lines of limits."""


def draw_gate(result: GateResult) -> Figure:
    """One bar for the interval, open to the right without an upper bound, and a line for each limit."""
    interval, limits = result.interval, list(marks(result))
    ends = [interval.lower, interval.upper or 0.0, interval.estimate or 0.0, *(value for _, value, _ in limits)]
    reach = _BEYOND * max(ends) or 1.0
    figure = Figure(figsize=(7.6, 2.3 + 0.2 * len(limits)), layout="constrained")
    axes = figure.subplots()
    upper = reach if interval.upper is None else interval.upper
    axes.plot((interval.lower, upper), (0, 0), color=MAIN, linewidth=7, solid_capstyle="butt", zorder=3)
    axes.plot(interval.lower, 0, "|", color=MAIN, markersize=14, markeredgewidth=2, zorder=3)
    if interval.upper is None:
        axes.plot(0.985 * reach, 0, ">", color=MAIN, markersize=9, zorder=3)
    else:
        axes.plot(interval.upper, 0, "|", color=MAIN, markersize=14, markeredgewidth=2, zorder=3)
    beyond = "or more" if interval.upper is None else f"to {at_most(interval.upper)}"
    axes.annotate(f"{at_least(interval.lower)} {beyond}", (interval.lower, 0), xytext=(0, -18), color=MAIN, fontsize=9, **_BESIDE)
    if interval.estimate is not None:
        axes.plot(interval.estimate, 0, "o", color="white", markeredgecolor=MAIN, markersize=6, zorder=4)
        words = f"estimate {nearest(interval.estimate)}"
        axes.annotate(words, (interval.estimate, 0), xytext=(6, 9), fontsize=8.5, **_BESIDE)
    for number, (label, value, words) in enumerate(limits):
        axes.axvline(value, **LIMIT)
        axes.text(value, 1.02 + 0.16 * number, f"{label} {words}", ha="center", va="bottom", fontsize=9, color=INK)
    axes.set(xlim=(_BEYOND * min(0.0, *ends), reach), ylim=(-1, 1), yticks=[])
    measured = f"{METRICS[result.estimate.metric]}, {units(result.estimate.a, result.estimate.b)}"
    axes.set_xlabel(f"{ESTIMANDS[result.on].replace('W1', '$W_1$')}\n({measured})", loc="left")
    tidy(axes, grid="x")
    answer = result.answer.value
    figure.suptitle(answer.upper(), x=0.02, ha="left", fontsize=12, fontweight="bold", color=_COLOURS[answer])
    return figure
