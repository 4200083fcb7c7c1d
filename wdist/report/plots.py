"""A result as a figure: the critics themselves in one and two dimensions, learning curves otherwise; of a comparison also bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wdist.report.figure_file import file_content
from wdist.report.look import FAINT, INK, MAIN, MUTED, OTHERS, SIDE_A, SIDE_B, SURFACE
from wdist.report.numbers import at_least, at_most, level, nearest
from wdist.report.terminal import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from numpy.typing import NDArray

    from wdist.result import Attempt, CriticResult, Estimate

    Area: TypeAlias = Figure | SubFigure

_DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
"""Where there are more critics than colours."""
_GRID_POINTS = 161
_DOTS = 300
_COLUMNS = 4
_PANEL = 3.3
"""Width of a panel in inches."""
_ELEVATION, _AZIMUTH = 32, 62


def figure_bytes(estimate: Estimate, *, suffix: str) -> bytes:
    """The figure as a file's content.

    Arguments:
        estimate: what is drawn.
        suffix: ``.png``, ``.svg`` or ``.pdf``.
    """
    return file_content(lambda: draw(estimate), suffix=suffix)


class Part(Protocol):
    """One part of a figure."""

    size: tuple[float, float]
    """Width and height in inches that suit it."""

    def draw_in(self, area: Area) -> None:
        """Fills an area of about that size."""
        ...


def draw(estimate: Estimate) -> Figure:
    """Functions where there is one dimension, surfaces where there are two, learning curves otherwise; of a comparison all.

    Below them, what a critic was chosen from.
    """
    pictures: dict[int, Callable[[Estimate], Part]] = {1: _Functions, 2: _Surfaces} if estimate.preview is not None else {}
    picture = pictures.get(estimate.critic.frozen.dim)
    parts: list[Part] = []
    if estimate.detailed or picture is None:
        parts += [_Bars(estimate), _LearningCurves(estimate)] if estimate.detailed else [_LearningCurves(estimate)]
    if picture is not None:
        parts.append(picture(estimate))
    parts += [_Tried(critic.tried) for critic in estimate.critics if critic.tried]
    widths, heights = [part.size[0] for part in parts], [part.size[1] for part in parts]
    figure = Figure(figsize=(max(widths), sum(heights) + 0.4 * (len(parts) > 1)), layout="constrained")
    figure.suptitle(_headline(estimate), fontsize=12, **({"x": 0.02, "ha": "left"} if len(parts) > 1 or picture is None else {}))
    areas: Any = [figure] if len(parts) == 1 else figure.subfigures(len(parts), 1, height_ratios=heights)
    for part, area in zip(parts, areas, strict=True):
        part.draw_in(area)
    return figure


def _critics(estimate: Estimate) -> list[CriticResult]:
    """Baselines from the worst to the best, then the main critic: the order in which the eye learns most."""
    return [*sorted(estimate.baselines, key=lambda critic: critic.population.estimate), estimate.critic]


def _colours(estimate: Estimate) -> dict[str, str]:
    return {critic.name: OTHERS[i % len(OTHERS)] for i, critic in enumerate(estimate.baselines)} | {estimate.critic.name: MAIN}


def _dashes(estimate: Estimate) -> dict[str, Any]:
    others = {critic.name: _DASHES[i // len(OTHERS) % len(_DASHES)] for i, critic in enumerate(estimate.baselines)}
    return others | {estimate.critic.name: _DASHES[0]}


def _value(critic: CriticResult) -> str:
    """The objective value of a critic, as it is named everywhere."""
    if not critic.certified:
        return f"{nearest(critic.population.estimate)}, not a bound"
    return f"held-out {nearest(critic.population.estimate)}"


def _panel_grid(panels: int) -> tuple[int, int]:
    columns = min(panels, _COLUMNS)
    return -(-panels // columns), columns


def _headline(estimate: Estimate) -> str:
    if estimate.truth is not None:
        population = estimate.population
        bound = f"$W_1 \\geq$ {at_least(max(population.lower, 0.0))}"
        if population.upper is not None:
            bound = f"{at_least(max(population.lower, 0.0))} $\\leq W_1 \\leq$ {at_most(population.upper)}"
        bound += f" with {level(population.confidence)} confidence"
        return f"{bound};  true $W_1$ = {nearest(estimate.truth)}"
    bound = f"$W_1 \\geq$ {at_least(max(estimate.samples.lower, 0.0))} between the samples"
    if estimate.samples.upper is not None:
        exact = estimate.samples.exact
        bound += f";  exact {nearest(estimate.samples.upper)}" if exact else f";  at most {at_most(estimate.samples.upper)}"
    return bound


class _Functions:
    """One panel a critic: its potential over the line, and where the samples of both sides lie."""

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate
        self._critics = _critics(estimate)
        self._panels = _panel_grid(len(self._critics))
        rows, columns = self._panels
        self.size = (max(2.75 * columns, 5.5), 2.7 * rows + 0.7)

    def draw_in(self, area: Area) -> None:
        estimate = self._estimate
        assert estimate.preview is not None
        a, b = (_dots(side)[:, 0] for side in estimate.preview)
        lowest, highest = min(a.min(), b.min()), max(a.max(), b.max())
        margin = 0.2 * (highest - lowest) or 1.0
        x = np.linspace(lowest - margin, highest + margin, 4 * _GRID_POINTS)
        curves = {critic.name: _potentials(critic, x[:, None], anchor=b[:, None]) for critic in self._critics}
        axes = area.subplots(*self._panels, sharex=True, sharey=True, squeeze=False)
        top = max(curve.max() for curve in curves.values())
        bottom = min(curve.min() for curve in curves.values())
        rug = bottom - 0.1 * (top - bottom)
        for panel, critic in zip(axes.flat, self._critics, strict=False):
            main = critic is estimate.critic
            panel.plot(x, curves[critic.name], color=MAIN if main else _colours(estimate)[critic.name], linewidth=2.2)
            for side, colour, height in ((a, SIDE_A, rug), (b, SIDE_B, rug - 0.07 * (top - bottom))):
                panel.plot(side, np.full(side.shape, height), "|", color=colour, markersize=7, alpha=0.5)
            _title(panel, critic, main=main)
            panel.set_ylim(rug - 0.14 * (top - bottom), top + 0.08 * (top - bottom))
            panel.grid(color=FAINT, linewidth=0.6)
            panel.set_axisbelow(True)
            panel.tick_params(length=0)
        for unused in axes.flat[len(self._critics) :]:
            unused.set_visible(False)
        first = axes[0, 0]
        first.set_ylabel("potential, mean 0 on B")
        right = x[-1]
        first.text(right, rug, "A ", color=SIDE_A, ha="right", va="center", fontsize=8.5, fontweight="bold")
        first.text(right, rug - 0.07 * (top - bottom), "B ", color=SIDE_B, ha="right", va="center", fontsize=8.5, fontweight="bold")


class _Surfaces:
    """Two panels a critic: its potential as a surface seen from the side, and from above with the samples of both sides.

    Where there are many, surfaces stand in several rows, and only the main critic is seen from above, in the last panel.
    """

    def __init__(self, estimate: Estimate) -> None:
        assert estimate.preview is not None
        self._estimate, self._critics = estimate, _critics(estimate)
        self._dots = [_dots(side) for side in estimate.preview]
        points = np.concatenate(self._dots)
        lowest, highest = points.min(axis=0), points.max(axis=0)
        margin = 0.15 * float((highest - lowest).max()) or 1.0
        self._sides = [np.linspace(lowest[i] - margin, highest[i] + margin, _GRID_POINTS) for i in range(2)]
        self._wide, self._deep = (float(np.ptp(side)) for side in self._sides)
        n = len(self._critics)
        # A map takes a panel's width times its own aspect; a lone critic has its map beside its surface, a few have theirs below.
        map_height = 3.0 * min(max(self._deep / self._wide, 0.45), 1.2)
        self._surface_height = max(1.5 + 0.3 * map_height, map_height if n == 1 else 0.0)
        if n == 1:
            self._columns, self._heights = 2, [self._surface_height]
            self._maps = {0: (0, 1)}
        elif n <= _COLUMNS:
            self._columns, self._heights = n, [self._surface_height, map_height]
            self._maps = {i: (1, i) for i in range(n)}
        else:
            rows, self._columns = _panel_grid(n + 1)
            self._heights = [self._surface_height] * (rows - 1) + [max(self._surface_height, map_height)]
            self._maps = {n - 1: divmod(n, self._columns)}
        self.size = (_PANEL * self._columns + (0.7 if n == 1 else 0.6), sum(self._heights) + 1.1)

    def draw_in(self, area: Area) -> None:
        a, b = self._dots
        x, y = np.meshgrid(*self._sides)
        grid = np.stack([x.ravel(), y.ravel()], axis=1)
        surfaces = [_potentials(critic, grid, anchor=b).reshape(x.shape) for critic in self._critics]
        bottom, top = min(surface.min() for surface in surfaces), max(surface.max() for surface in surfaces)
        wide, deep, tall = self._wide, self._deep, max(float(top - bottom), 0.25 * self._wide)
        layout = area.add_gridspec(len(self._heights), self._columns, height_ratios=self._heights)
        levels = MaxNLocator(nbins=18).tick_values(bottom, top)
        maps: list[Axes] = []
        for i, (critic, height) in enumerate(zip(self._critics, surfaces, strict=True)):
            solid: Any = area.add_subplot(layout[divmod(i, self._columns)], projection="3d")
            mesh = {"rcount": 81, "ccount": 81, "linewidth": 0.12, "edgecolor": (1, 1, 1, 0.25), "antialiased": True}
            solid.plot_surface(x, y, height, cmap=SURFACE, vmin=bottom, vmax=top, clip_on=False, **mesh)
            solid.set_zlim(bottom, top)
            # Equal units along all three axes: a slope of 1 is seen as 45 degrees.
            solid.set_box_aspect((wide, deep, tall), zoom=_zoom(wide, deep, tall, self._surface_height))
            solid.view_init(elev=_ELEVATION, azim=-_AZIMUTH)
            solid.set_axis_off()
            _title(solid, critic, main=critic is self._estimate.critic)
            if i not in self._maps:
                continue
            plane = area.add_subplot(layout[self._maps[i]])
            filled = plane.contourf(x, y, height, levels=levels, cmap=SURFACE)
            plane.contour(x, y, height, levels=levels, colors="white", linestyles="solid", linewidths=0.35, alpha=0.6)
            for side, colour in ((a, SIDE_A), (b, SIDE_B)):
                # A few points, each drawn many times, are worth a larger mark.
                few = len(np.unique(side, axis=0)) <= 20
                plane.plot(
                    *side.T,
                    "o",
                    color=colour,
                    markersize=4.5 if few else 2.2,
                    markeredgewidth=0.7 if few else 0,
                    markeredgecolor="white",
                )
            plane.set_aspect("equal")
            plane.tick_params(length=0)
            for spine in plane.spines.values():
                spine.set_visible(False)
            if maps:
                plane.set_yticklabels([])
            maps.append(plane)
        bar = area.colorbar(filled, ax=maps, shrink=0.9, aspect=18, pad=0.015, ticks=MaxNLocator(nbins=5))
        bar.set_label("potential, mean 0 on B")
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
        maps[0].set_xlabel("samples of A (orange) and of B (dark)", loc="left", fontsize=8.5)


def _zoom(wide: float, deep: float, tall: float, panel_height: float) -> float:
    """How far a box may be zoomed in until its outline, seen from our angle, fills a panel; calibrated by eye."""
    up, round_ = np.radians(_ELEVATION), np.radians(_AZIMUTH)
    across = wide * np.sin(round_) + deep * np.cos(round_)
    high = tall * np.cos(up) + np.sin(up) * (wide * np.cos(round_) + deep * np.sin(round_))
    fits = min(0.92 * _PANEL / across, 0.93 * panel_height / high)
    return float(fits * np.sqrt(wide**2 + deep**2 + tall**2) / (0.885 * min(_PANEL, panel_height)))


class _Bars:
    """A bar a critic, best on top: what it proves of the samples, and from where to where it is for the populations."""

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate
        self._critics = sorted(estimate.critics, key=lambda critic: (critic.certified, critic.samples.lower))
        self.size = (7.6, 0.27 * len(self._critics) + 1.1)

    def draw_in(self, area: Area) -> None:
        estimate = self._estimate
        axes = area.add_subplot()
        colours = _colours(estimate)
        bounds = [max(critic.samples.lower, 0.0) if critic.certified else 0.0 for critic in self._critics]
        reference = _reference(estimate)
        estimates = [critic.population.estimate for critic in self._critics if critic.certified]
        reach = 1.12 * max([*bounds, *estimates, reference[0] if reference else 0.0]) or 1.0
        for place, (critic, bound) in enumerate(zip(self._critics, bounds, strict=True)):
            axes.barh(place, bound, height=0.62, color=colours[critic.name], alpha=0.9 if critic is estimate.critic else 0.55)
            if critic.certified:
                ends = (max(critic.population.lower, 0.0), critic.population.estimate)
                axes.plot(ends, (place, place), color=INK, linewidth=1.4, solid_capstyle="butt", zorder=4)
                axes.plot(ends[0], place, "|", color=INK, markersize=7, markeredgewidth=1.4, zorder=4)
                axes.plot(ends[1], place, "o", color=INK, markersize=3.2, zorder=4)
            if critic.repeats is not None and critic.repeats.lower_deviation is not None:
                spread: Any = {"xerr": critic.repeats.lower_deviation, "fmt": "none", "elinewidth": 0.9, "capsize": 2.5}
                axes.errorbar(bound, place - 0.2, ecolor=colours[critic.name], zorder=3, **spread)
            if critic.raw_value is not None:
                inside = critic.raw_value <= reach
                shown = max(critic.raw_value, 0.0) if inside else reach
                axes.plot(shown, place, "D" if inside else ">", color="white", markeredgecolor=MUTED, markersize=4.5, zorder=5)
                words = f"raw {nearest(critic.raw_value)}, not a bound"
                left = shown > 0.55 * reach
                place_of_words: Any = {"xytext": (-7 if left else 7, 0), "textcoords": "offset points", "va": "center"}
                place_of_words["bbox"] = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
                axes.annotate(words, (shown, place), color=MUTED, fontsize=8, ha="right" if left else "left", **place_of_words)
        if reference is not None:
            axes.axvline(reference[0], color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
            axes.text(reference[0], len(self._critics) - 0.4, reference[1], fontsize=8.5, ha="center", va="bottom")
        axes.set_yticks(range(len(self._critics)), [critic.name for critic in self._critics])
        axes.get_yticklabels()[self._critics.index(estimate.critic)].set(fontweight="bold", color=MAIN)
        axes.set_xlim(0, reach)
        axes.set_ylim(-0.6, len(self._critics) - 0.4)
        words = "bar: bound for the samples;  |—•: from the bound for the populations to the held-out estimate"
        if any(critic.repeats for critic in self._critics):
            words += "\nwhisker: standard deviation over seeds"
        axes.set_xlabel(words, loc="left", fontsize=8.5)
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)


class _Tried:
    """A bar for each critic that was tried: what it reached on the validation split, the highest on top."""

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
        axes.set_xlabel("validation value and time of each critic that was tried", loc="left", fontsize=8.5)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)


class _LearningCurves:
    """The validation value of every critic over its steps, under the upper bound or the truth."""

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate
        self._critics = [critic for critic in _critics(estimate) if critic.history and critic.steps]
        self.size = (7.6, 4.3 + 0.22 * max(0, len(self._critics) - 8))

    def draw_in(self, area: Area) -> None:
        estimate = self._estimate
        axes = area.add_subplot()
        colours, dashes = _colours(estimate), _dashes(estimate)
        # Steps of unlike kinds cannot be compared; what was chosen from several stands against time.
        by_time = any(critic.tried for critic in estimate.critics)
        ends: list[_End] = []
        last = 0.0
        for critic in self._critics:
            main = critic is estimate.critic
            abscissae = [point.seconds if by_time else float(point.step) for point in critic.history]
            values = [point.validation for point in critic.history]
            width, style = 2.4 if main else 1.5, dashes[critic.name]
            axes.plot(abscissae, values, color=colours[critic.name], linewidth=width, linestyle=style, zorder=3 if main else 2)
            words = critic.name if _bounds(critic) else f"{critic.name}, not a bound"
            ends.append(_End(x=abscissae[-1], y=values[-1], words=words, colour=colours[critic.name]))
            last = max(last, abscissae[-1])
        last = last or 1.0
        if estimate.critic.history and not estimate.critic.steps:
            # It follows from a formula, and was there before any step of the others.
            value = estimate.critic.history[-1].validation
            axes.axhline(value, color=MAIN, linewidth=2.4, zorder=3)
            ends.append(_End(x=last, y=value, words=estimate.critic.name, colour=MAIN))
        reference = _reference(estimate)
        if reference is not None:
            height, words = reference
            axes.axhline(height, color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
            ends.append(_End(x=last, y=height, words=words, colour=INK))
        if estimate.truth is None and estimate.samples.upper is not None:
            # Between its ends lies W1 of the samples, whichever critic proves the lower one.
            axes.axhspan(estimate.samples.lower, estimate.samples.upper, color=FAINT, alpha=0.45, linewidth=0, zorder=0)
        # What is no bound may rise beyond all measure, and leaves the picture then.
        bounding = [critic for critic in (*self._critics, estimate.critic) if _bounds(critic)] or self._critics
        values = [value for critic in bounding for value in (point.validation for point in critic.history)]
        if values:
            # An early dive below zero would only squeeze what matters.
            lowest, highest = min(0.0, float(np.quantile(values, 0.02))), max([*values] + ([reference[0]] if reference else []))
            axes.set_ylim(lowest - 0.03 * (highest - lowest), highest + 0.08 * (highest - lowest) or 1.0)
        axes.set_xlim(0, last)
        axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 2.5, 5, 10], integer=not by_time))
        _label_ends(axes, ends, x=last, apart=0.062 * 4.3 / self.size[1])
        axes.set_xlabel("seconds of training" if by_time else "step")
        axes.set_ylabel(f"validation value ({METRICS.get(estimate.metric, estimate.metric)})")
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)


def _bounds(critic: CriticResult) -> bool:
    """Whether the critic's values in training are bounds already."""
    return critic.certified and critic.bound_by_construction


def _reference(estimate: Estimate) -> tuple[float, str] | None:
    if estimate.truth is not None:
        return estimate.truth, f"true $W_1$, {nearest(estimate.truth)}"
    if estimate.samples.upper is not None:
        if estimate.samples.exact:
            return estimate.samples.upper, f"exact $W_1$ of the samples, {nearest(estimate.samples.upper)}"
        return estimate.samples.upper, f"upper bound, {at_most(estimate.samples.upper)}"
    return None


@dataclass(frozen=True, kw_only=True)
class _End:
    """Where a curve ends, and what it is called."""

    x: float
    y: float
    words: str
    colour: str


def _label_ends(axes: Axes, ends: Sequence[_End], *, x: float, apart: float) -> None:
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


def _title(axes: Any, critic: CriticResult, *, main: bool) -> None:
    axes.set_title(f"{critic.name}\n{_value(critic)}", fontweight="bold" if main else "normal", color=MAIN if main else INK)


def _dots(side: Any) -> NDArray[np.float64]:
    array: NDArray[np.float64] = side.detach().cpu().to(torch.float64).numpy()
    return array[:_DOTS]


def _potentials(critic: CriticResult, points: NDArray[np.float64], *, anchor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Potentials of points (n, dim), shifted so that their mean over the samples of B is 0; the shift changes no dual value."""

    def evaluated(x: NDArray[np.float64]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = critic.frozen.potentials(torch.from_numpy(np.ascontiguousarray(x))).detach().cpu().numpy()
        return values / critic.lipschitz_bound if critic.certified else values

    return evaluated(points) - evaluated(anchor).mean()
