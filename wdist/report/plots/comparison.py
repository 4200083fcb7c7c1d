"""Comparisons as figures: the intervals of all sources on one scale, the nearest on top, over the noise floor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wdist.report.numbers import level
from wdist.report.plots.figure import FAINT, INK, MAIN, MUTED, OTHERS, drawable, figure_file, tidy
from wdist.report.sentences import METRICS, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wdist.comparison.ranking import Comparison, Entry


_NAME = 34
"""Most characters of a name; the middle of a longer one is left out."""
_SAMPLES = OTHERS[0]


def draw_comparison(comparison: Comparison) -> Figure:
    """One row for each source and one for the noise floor."""
    entries = comparison.entries[::-1]
    figure = Figure(figsize=(7.6, 0.46 * len(entries) + 1.75), layout="constrained")
    axes = figure.subplots()
    reach = 1.06 * _largest(comparison) or 1.0
    for height, entry in enumerate(entries):
        _draw_entry(axes, entry, height, reach=reach, ranked=entry is not comparison.noise_floor)
    floor = comparison.noise_floor
    if floor is not None and floor.population.upper is not None:
        axes.axvspan(0, floor.population.upper, color=FAINT, alpha=0.35, linewidth=0, zorder=0)
    labels = [f"{place(comparison, entry)}  {_short(entry.name)}".strip() for entry in entries]
    axes.set_yticks(range(len(entries)), labels)
    for label, entry in zip(axes.get_yticklabels(), entries, strict=True):
        label.set(color=MUTED if entry is comparison.noise_floor else INK)
    axes.set_xlim(0, reach)
    axes.set_ylim(-0.6, len(entries) - 0.4)
    space = "" if comparison.features is None else f", features {drawable(comparison.features.spec)}"
    metric = METRICS.get(comparison.metric, comparison.metric)
    axes.set_xlabel(f"$W_1$ from {_short(comparison.reference.address, 60)} ({metric}{space})", loc="left")
    tidy(axes, grid="x")
    _explain(figure, comparison)
    return figure


comparison_bytes = figure_file(draw_comparison)


def _draw_entry(axes: Axes, entry: Entry, height: int, *, reach: float, ranked: bool) -> None:
    population, samples = entry.population, entry.samples
    colour = MAIN if ranked else MUTED
    upper = reach if population.upper is None else population.upper
    axes.plot((max(population.lower, 0.0), upper), (height, height), color=colour, linewidth=5, solid_capstyle="butt", zorder=3)
    if population.upper is None:
        axes.plot(0.985 * reach, height, ">", color=colour, markersize=8, zorder=3)
    axes.plot(max(population.estimate, 0.0), height, "o", color="white", markeredgecolor=colour, markersize=6, zorder=4)
    below = height - 0.26
    end = reach if samples.upper is None else samples.upper
    axes.plot((samples.lower, end), (below, below), color=_SAMPLES, linewidth=1.6, zorder=3)
    for edge in (samples.lower, samples.upper):
        if edge is not None:
            axes.plot(edge, below, "|", color=_SAMPLES, markersize=6, markeredgewidth=1.6, zorder=3)


def _largest(comparison: Comparison) -> float:
    values = [0.0]
    for entry in comparison.entries:
        ends = (entry.population.lower, entry.population.estimate, entry.population.upper, entry.samples.lower, entry.samples.upper)
        values += [end for end in ends if end is not None]
    return max(values)


def _explain(figure: Figure, comparison: Comparison) -> None:
    confidence = level(comparison.confidence)
    handles: list[Any] = [
        Line2D([], [], color=MAIN, linewidth=5, label=f"distributions, {confidence} jointly"),
        Line2D([], [], color="white", marker="o", markeredgecolor=MAIN, label="held-out estimate"),
        Line2D([], [], color=_SAMPLES, linewidth=1.6, marker="|", markersize=6, markeredgewidth=1.6, label="sample sets, certain"),
    ]
    if comparison.noise_floor is not None and comparison.noise_floor.population.upper is not None:
        handles.append(Line2D([], [], color=FAINT, linewidth=8, label="noise floor"))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=8.5, handlelength=1.8)


def _short(text: str, most: int = _NAME) -> str:
    return drawable(text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-(most // 2) :]}")
