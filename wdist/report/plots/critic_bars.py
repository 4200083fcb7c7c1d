"""Critics as bars: those of an estimate, and those that one was chosen from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wdist.report.numbers import nearest
from wdist.report.plots.figure import FAINT, INK, LIMIT, MAIN, MUTED, colours, reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from wdist.estimation.result import Attempt, CriticResult, Estimate
    from wdist.report.plots.figure import Area


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
        axes.set_yticks(range(len(critics)), [critic.name for critic in critics])
        axes.get_yticklabels()[critics.index(estimate.critic)].set(fontweight="bold", color=MAIN)
        axes.set_xlim(0, reach)
        axes.set_ylim(-0.6, len(critics) - 0.4)
        words = "bar: lower bound for the samples;  |—•: from the lower bound for the populations to the held-out estimate"
        if any(critic.repeats for critic in critics):
            words += "\nwhisker: standard deviation over seeds"
        axes.set_xlabel(words, loc="left", fontsize=8.5)
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)

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
    """Marks a value that could be taken for a bound; an arrow where it lies outside the picture."""
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

    def __init__(self, tried: Sequence[Attempt]) -> None:
        self._tried = sorted(tried, key=lambda attempt: attempt.validation)
        self.size = (7.6, 0.27 * len(tried) + 1.0)

    def draw_in(self, area: Area) -> None:
        axes = area.add_subplot()
        for place, attempt in enumerate(self._tried):
            colour = MAIN if attempt.chosen else MUTED
            axes.barh(place, max(attempt.validation, 0.0), height=0.62, color=colour, alpha=0.9 if attempt.chosen else 0.4)
            words = f" {nearest(attempt.validation)}, {attempt.seconds:.1f} s"
            axes.text(max(attempt.validation, 0.0), place, words, color=colour, fontsize=8.5, va="center")
        axes.set_yticks(range(len(self._tried)), [attempt.name for attempt in self._tried])
        for label, attempt in zip(axes.get_yticklabels(), self._tried, strict=True):
            if attempt.chosen:
                label.set(fontweight="bold", color=MAIN)
        axes.set_xlim(0, 1.16 * max(0.0, self._tried[-1].validation) or 1.0)
        axes.set_ylim(-0.6, len(self._tried) - 0.4)
        axes.set_xlabel("validation value and training time of each critic that was tried", loc="left", fontsize=8.5)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
