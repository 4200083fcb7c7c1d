"""Learning curves: the validation value of each critic during its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from wdist.report.plots.figure import FAINT, INK, LIMIT, MAIN, colours, critics_in_order, dashes, reference
from wdist.report.sentences import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from wdist.estimation.result import CriticResult, Estimate
    from wdist.report.plots.figure import Area


class LearningCurves:
    """The validation value of every critic over its steps, under the upper bound or the truth."""

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate
        self._critics = [critic for critic in critics_in_order(estimate) if critic.history and critic.steps]
        self.size = (7.6, 4.3 + 0.22 * max(0, len(self._critics) - 8))
        # Steps of different kinds of critics cannot be compared; a critic chosen from several is shown over time.
        self._by_time = any(critic.tried for critic in estimate.critics)

    def draw_in(self, area: Area) -> None:
        estimate = self._estimate
        axes = area.add_subplot()
        ends = self._draw_curves(axes)
        last = max((end.x for end in ends), default=0.0) or 1.0
        value = _level(estimate.critic)
        if value is not None:
            axes.axhline(value, color=MAIN, linewidth=2.4, zorder=3)
            ends.append(CurveEnd(x=last, y=value, words=estimate.critic.name, colour=MAIN))
        limit = reference(estimate)
        if limit is not None:
            axes.axhline(limit[0], **LIMIT)
            ends.append(CurveEnd(x=last, y=limit[0], words=limit[1], colour=INK))
        if estimate.truth is None and estimate.samples.upper is not None:
            # Between its ends lies W1 of the samples, whichever critic proves the lower one.
            axes.axhspan(estimate.samples.lower, estimate.samples.upper, color=FAINT, alpha=0.45, linewidth=0, zorder=0)
        self._set_height(axes, [] if limit is None else [limit[0]])
        axes.set_xlim(0, last)
        axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 2.5, 5, 10], integer=not self._by_time))
        name_curves(axes, ends, x=last, apart=0.062 * 4.3 / self.size[1])
        axes.set_xlabel("seconds of training" if self._by_time else "step")
        axes.set_ylabel(f"validation value ({METRICS.get(estimate.metric, estimate.metric)})")
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)

    def _draw_curves(self, axes: Axes) -> list[CurveEnd]:
        colour, dash = colours(self._estimate), dashes(self._estimate)
        ends = []
        for critic in self._critics:
            main = critic is self._estimate.critic
            abscissae = [point.seconds if self._by_time else float(point.step) for point in critic.history]
            values = [point.validation for point in critic.history]
            width, style = 2.4 if main else 1.5, dash[critic.name]
            axes.plot(abscissae, values, color=colour[critic.name], linewidth=width, linestyle=style, zorder=3 if main else 2)
            words = critic.name if critic.bound_by_construction else f"{critic.name}, not a bound"
            ends.append(CurveEnd(x=abscissae[-1], y=values[-1], words=words, colour=colour[critic.name]))
        return ends

    def _set_height(self, axes: Axes, limits: list[float]) -> None:
        """Values that are not bounds may rise far above the others, and then leave the picture."""
        bounding = [critic for critic in (*self._critics, self._estimate.critic) if critic.bound_by_construction] or self._critics
        values = [value for critic in bounding for value in (point.validation for point in critic.history)]
        values += [level for level in [_level(self._estimate.critic)] if level is not None]
        if values:
            # An early dive below zero would only squeeze what matters.
            lowest, highest = min(0.0, float(np.quantile(values, 0.02))), max([*values, *limits])
            axes.set_ylim(lowest - 0.03 * (highest - lowest), highest + 0.08 * (highest - lowest) or 1.0)


def _level(critic: CriticResult) -> float | None:
    """Validation value of a critic that follows from a formula, and so has no curve."""
    if critic.steps:
        return None
    values = [attempt.validation for attempt in critic.tried if attempt.chosen]
    return next(iter([*values, *(point.validation for point in critic.history[-1:])]), None)


@dataclass(frozen=True, kw_only=True)
class CurveEnd:
    """End of a curve, and its name."""

    x: float
    y: float
    words: str
    colour: str


def name_curves(axes: Axes, ends: Sequence[CurveEnd], *, x: float, apart: float) -> None:
    """Names each curve to the right of ``x``, moved apart (as a share of the height) where ends lie close together."""
    bottom, top = axes.get_ylim()
    apart *= top - bottom
    heights = [min(max(end.y, bottom), top) for end in ends]
    order = sorted(range(len(ends)), key=lambda i: heights[i])
    places = [heights[i] for i in order]
    for _ in range(200):
        for i in range(len(places) - 1):
            overlap = apart - (places[i + 1] - places[i])
            if overlap > 0:
                places[i] -= overlap / 2
                places[i + 1] += overlap / 2
    for i, place in zip(order, places, strict=True):
        end = ends[i]
        axes.annotate(
            end.words,
            xy=(end.x, heights[i]),
            xytext=(x * 1.03, place),
            color=end.colour,
            va="center",
            fontsize=9,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": end.colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)},
        )
