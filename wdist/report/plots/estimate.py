"""An estimate as a figure: its critics as functions or surfaces, or their learning curves; compared critics also as bars."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wdist.estimation.result import CriticResult, Estimate
from wdist.estimation.verification import Verification
from wdist.report.numbers import at_most, level, lower_bound, nearest
from wdist.report.plots.figure import (
    FAINT,
    INK,
    LIMIT,
    MAIN,
    MUTED,
    Area,
    Part,
    colours,
    critics_in_order,
    dashes,
    reference,
    tidy,
)
from wdist.report.plots.potentials import Functions, Surfaces
from wdist.report.sentences import METRICS, chosen_by_folds

_NAME, _LINE = 30, 80
"""Characters of a line of a critic's name beside its bar, and of a line below the bars."""


def _on_lines(name: str) -> str:
    return "\n".join(wrap(name, _NAME, break_on_hyphens=False))


def draw(estimate: Estimate) -> Figure:
    """Functions in one dimension, surfaces in two, learning curves otherwise, and bars if critics are compared or none was trained.

    Below them, the candidates that a critic was chosen from.
    """
    pictures: dict[int, Callable[[Estimate], Part]] = {1: Functions, 2: Surfaces} if estimate.preview is not None else {}
    picture = pictures.get(estimate.critic.frozen.dim)
    parts: list[Part] = []
    trained = any(_has_curve(critic) for critic in estimate.critics)
    if estimate.detailed or (picture is None and not trained):
        parts.append(CriticBars(estimate))
    if trained and (estimate.detailed or picture is None):
        parts.append(LearningCurves(estimate))
    if picture is not None:
        parts.append(picture(estimate))
    parts += [TriedCritics(critic) for critic in estimate.critics if critic.tried]
    widths, heights = [part.size[0] for part in parts], [part.size[1] for part in parts]
    figure = Figure(figsize=(max(widths), sum(heights) + 0.4 * (len(parts) > 1)), layout="constrained")
    figure.suptitle(_headline(estimate), fontsize=12, **({"x": 0.02, "ha": "left"} if len(parts) > 1 or picture is None else {}))
    areas: Any = [figure] if len(parts) == 1 else figure.subfigures(len(parts), 1, height_ratios=heights)
    for part, area in zip(parts, areas, strict=True):
        part.draw_in(area)
    return figure


def draw_verified(verification: Verification) -> Figure:
    """The estimate that was proved again."""
    return draw(verification.estimate)


def _headline(estimate: Estimate) -> str:
    if estimate.truth is not None:
        population = estimate.population
        bound = f"$W_1 \\geq$ {lower_bound(population.lower)}"
        if population.upper is not None:
            bound = f"{lower_bound(population.lower)} $\\leq W_1 \\leq$ {at_most(population.upper)}"
        bound += f" with {level(population.confidence)} confidence"
        return f"{bound};  true $W_1$ = {nearest(estimate.truth)}"
    lower, upper = lower_bound(estimate.samples.lower), estimate.samples.upper
    if upper is None:
        return f"$W_1 \\geq$ {lower} between the samples"
    if estimate.samples.exact:
        return f"$W_1$ = {nearest(upper)} between the samples"
    return f"{lower} $\\leq W_1 \\leq$ {at_most(upper)} between the samples"


class CriticBars:
    """One bar for each critic, best on top: its bound for the samples, and over it the range for the populations."""

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate
        self._critics = sorted(estimate.critics, key=lambda critic: critic.samples.lower)
        self.size = (7.6, 0.27 * len(self._critics) + 1.1)

    def draw_in(self, area: Area) -> None:
        estimate, critics = self._estimate, self._critics
        axes = area.add_subplot()
        limit = reference(estimate)
        bounds = [max(critic.samples.lower, 0.0) for critic in critics]
        estimates = [critic.population.estimate for critic in critics]
        reach = 1.12 * max([*bounds, *estimates, limit[0] if limit else 0.0]) or 1.0
        for place, (critic, bound) in enumerate(zip(critics, bounds, strict=True)):
            self._draw_critic(axes, critic, bound, place)
            if critic.raw_value is not None:
                _draw_raw_value(axes, critic.raw_value, place, reach=reach)
        if limit is not None:
            axes.axvline(limit[0], **LIMIT)
            axes.text(limit[0], len(critics) - 0.4, limit[1], fontsize=8.5, ha="center", va="bottom")
        axes.set_yticks(range(len(critics)), [_on_lines(critic.name) for critic in critics])
        axes.get_yticklabels()[critics.index(estimate.critic)].set(fontweight="bold", color=MAIN)
        axes.set(xlim=(0, reach), ylim=(-0.6, len(critics) - 0.4))
        words = "bar: lower bound for the samples;  |—•: from the lower bound for the populations to the held-out estimate"
        if any(critic.repeats for critic in critics):
            words += "\nwhisker: standard deviation over seeds"
        axes.set_xlabel(words, loc="left", fontsize=8.5)
        tidy(axes, grid="x")

    def _draw_critic(self, axes: Axes, critic: CriticResult, bound: float, place: int) -> None:
        colour = colours(self._estimate)[critic.name]
        axes.barh(place, bound, height=0.62, color=colour, alpha=0.9 if critic is self._estimate.critic else 0.55)
        ends = (max(critic.population.lower, 0.0), critic.population.estimate)
        axes.plot(ends, (place, place), color=INK, linewidth=1.4, solid_capstyle="butt", zorder=4)
        axes.plot(ends[0], place, "|", color=INK, markersize=7, markeredgewidth=1.4, zorder=4)
        axes.plot(ends[1], place, "o", color=INK, markersize=3.2, zorder=4)
        if critic.repeats is not None and critic.repeats.lower_deviation is not None:
            spread: Any = {"xerr": critic.repeats.lower_deviation, "fmt": "none", "elinewidth": 0.9, "capsize": 2.5}
            axes.errorbar(bound, place - 0.2, ecolor=colour, zorder=3, **spread)


def _draw_raw_value(axes: Axes, value: float, place: int, *, reach: float) -> None:
    """Marks a value that could be mistaken for a bound; with an arrow if it lies outside the picture."""
    inside = value <= reach
    shown = max(value, 0.0) if inside else reach
    axes.plot(shown, place, "D" if inside else ">", color="white", markeredgecolor=MUTED, markersize=4.5, zorder=5)
    left = shown > 0.55 * reach
    place_of_words: Any = {"xytext": (-7 if left else 7, 0), "textcoords": "offset points", "va": "center"}
    place_of_words["bbox"] = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    words = f"raw {nearest(value)}, not a bound"
    axes.annotate(words, (shown, place), color=MUTED, fontsize=8, ha="right" if left else "left", **place_of_words)


class TriedCritics:
    """One bar for each critic that was tried: its validation value, the highest on top."""

    def __init__(self, critic: CriticResult) -> None:
        self._tried = sorted(critic.tried, key=lambda attempt: attempt.validation)
        kinds = chosen_by_folds(critic)
        self._reading = ["validation value and training time of each critic that was tried"]
        if kinds:
            self._reading[0] += " in the best fold"
            self._reading += wrap(f"the folds chose {kinds}", _LINE, break_on_hyphens=False)
        self.size = (7.6, 0.27 * len(critic.tried) + 0.8 + 0.2 * len(self._reading))

    def draw_in(self, area: Area) -> None:
        axes = area.add_subplot()
        for place, attempt in enumerate(self._tried):
            colour = MAIN if attempt.chosen else MUTED
            axes.barh(place, max(attempt.validation, 0.0), height=0.62, color=colour, alpha=0.9 if attempt.chosen else 0.4)
            words = f" {nearest(attempt.validation)}, {attempt.seconds:.1f} s"
            axes.text(max(attempt.validation, 0.0), place, words, color=colour, fontsize=8.5, va="center")
        axes.set_yticks(range(len(self._tried)), [_on_lines(attempt.name) for attempt in self._tried])
        for label, attempt in zip(axes.get_yticklabels(), self._tried, strict=True):
            if attempt.chosen:
                label.set(fontweight="bold", color=MAIN)
        axes.set(xlim=(0, 1.16 * max(0.0, self._tried[-1].validation) or 1.0), ylim=(-0.6, len(self._tried) - 0.4))
        axes.set_xlabel("\n".join(self._reading), loc="left", fontsize=8.5)
        tidy(axes)


class LearningCurves:
    """The validation value of every critic over its steps, under the upper bound or the truth."""

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate
        self._critics = [critic for critic in critics_in_order(estimate) if _has_curve(critic)]
        self.size = (7.6, 4.3 + 0.22 * max(0, len(self._critics) - 8))
        # Steps of different kinds of critics cannot be compared, so a critic chosen from several is shown over time.
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
        axes.set(xlabel="seconds of training" if self._by_time else "step", ylabel=f"validation value ({METRICS[estimate.metric]})")
        tidy(axes, grid="y")

    def _draw_curves(self, axes: Axes) -> "list[CurveEnd]":
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
        """Sets the vertical range by values that are bounds; others may rise far above them, out of the picture."""
        bounding = [critic for critic in (*self._critics, self._estimate.critic) if critic.bound_by_construction] or self._critics
        values = [value for critic in bounding for value in (point.validation for point in critic.history)]
        values += [level for level in [_level(self._estimate.critic)] if level is not None]
        if values:
            # An early dive below zero would squeeze the rest of the curves.
            lowest, highest = min(0.0, float(np.quantile(values, 0.02))), max([*values, *limits])
            axes.set_ylim(lowest - 0.03 * (highest - lowest), highest + 0.08 * (highest - lowest) or 1.0)


def _has_curve(critic: CriticResult) -> bool:
    return bool(critic.history and critic.steps)


def _level(critic: CriticResult) -> float | None:
    """Validation value of a critic that is given by a formula and thus has no curve; None for a trained critic."""
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
    """Names each curve to the right of ``x``; names are at least ``apart`` (a fraction of the height) from each other."""
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
