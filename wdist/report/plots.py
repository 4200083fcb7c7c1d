"""A result as a figure: the critics themselves in one and two dimensions, learning curves otherwise."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wdist.report.numbers import at_least, at_most, level, nearest
from wdist.report.terminal import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from wdist.result import CriticResult, Estimate

INK, MUTED, FAINT = "#22313f", "#7a8793", "#d9dee3"
MAIN = "#0b6e8e"
OTHERS = ("#c8643c", "#8a6bb0", "#8f8f2f", "#b3477d", "#5b7f5b", "#6f6f6f")
SIDE_A, SIDE_B = "#c8643c", "#22313f"
SURFACE = LinearSegmentedColormap.from_list("potential", ["#0c2c47", "#0b6e8e", "#5fb3b3", "#cfe3cf", "#fbf6e4"])
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10.5,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "wdist",
}
_GRID_POINTS = 161
_DOTS = 300
_COLUMNS = 4
_DPI = 160
_PANEL = 3.3
"""Width of a panel in inches."""
_ELEVATION, _AZIMUTH = 32, 62


def figure_bytes(estimate: Estimate, *, suffix: str) -> bytes:
    """The figure as a file's content.

    Arguments:
        estimate: what is drawn.
        suffix: ``.png``, ``.svg`` or ``.pdf``.
    """
    with matplotlib.rc_context(_STYLE):
        figure = draw(estimate)
        FigureCanvasAgg(figure)
        content = io.BytesIO()
        # No date inside, so that the same result gives the same file.
        undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix, {})
        figure.savefig(content, format=suffix.removeprefix("."), dpi=_DPI, facecolor="white", metadata=undated)
    return content.getvalue()


def draw(estimate: Estimate) -> Figure:
    """Functions where there is one dimension, surfaces where there are two, learning curves otherwise."""
    if estimate.preview is not None and estimate.critic.frozen.dim == 1:
        return _functions(estimate)
    if estimate.preview is not None and estimate.critic.frozen.dim == 2:
        return _surfaces(estimate)
    return _learning_curves(estimate)


def _critics(estimate: Estimate) -> list[CriticResult]:
    """Baselines from the worst to the best, then the main critic: the order in which the eye learns most."""
    return [*sorted(estimate.baselines, key=lambda critic: critic.population.estimate), estimate.critic]


def _colours(estimate: Estimate) -> dict[str, str]:
    return {critic.name: OTHERS[i % len(OTHERS)] for i, critic in enumerate(estimate.baselines)} | {estimate.critic.name: MAIN}


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
        bound = f"$W_1 \\geq$ {at_least(max(population.lower, 0.0))} with {level(population.confidence)} confidence"
        return f"{bound};  true $W_1$ = {nearest(estimate.truth)}"
    bound = f"$W_1 \\geq$ {at_least(max(estimate.samples.lower, 0.0))} between the samples"
    if estimate.samples.upper is not None:
        exact = estimate.samples.exact
        bound += f";  exact {nearest(estimate.samples.upper)}" if exact else f";  at most {at_most(estimate.samples.upper)}"
    return bound


def _functions(estimate: Estimate) -> Figure:
    """One panel a critic: its potential over the line, and where the samples of both sides lie."""
    assert estimate.preview is not None
    a, b = (_dots(side)[:, 0] for side in estimate.preview)
    lowest, highest = min(a.min(), b.min()), max(a.max(), b.max())
    margin = 0.2 * (highest - lowest) or 1.0
    x = np.linspace(lowest - margin, highest + margin, 4 * _GRID_POINTS)
    critics = _critics(estimate)
    curves = {critic.name: _potentials(critic, x[:, None], anchor=b[:, None]) for critic in critics}
    rows, columns = _panel_grid(len(critics))
    figure = Figure(figsize=(max(2.75 * columns, 5.5), 2.7 * rows + 0.7), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    top = max(curve.max() for curve in curves.values())
    bottom = min(curve.min() for curve in curves.values())
    rug = bottom - 0.1 * (top - bottom)
    for panel, critic in zip(axes.flat, critics, strict=False):
        main = critic is estimate.critic
        panel.plot(x, curves[critic.name], color=MAIN if main else _colours(estimate)[critic.name], linewidth=2.2)
        for side, colour, height in ((a, SIDE_A, rug), (b, SIDE_B, rug - 0.07 * (top - bottom))):
            panel.plot(side, np.full(side.shape, height), "|", color=colour, markersize=7, alpha=0.5)
        _title(panel, critic, main=main)
        panel.set_ylim(rug - 0.14 * (top - bottom), top + 0.08 * (top - bottom))
        panel.grid(color=FAINT, linewidth=0.6)
        panel.set_axisbelow(True)
        panel.tick_params(length=0)
    for unused in axes.flat[len(critics) :]:
        unused.set_visible(False)
    first = axes[0, 0]
    first.set_ylabel("potential, mean 0 on B")
    right = x[-1]
    first.text(right, rug, "A ", color=SIDE_A, ha="right", va="center", fontsize=8.5, fontweight="bold")
    first.text(right, rug - 0.07 * (top - bottom), "B ", color=SIDE_B, ha="right", va="center", fontsize=8.5, fontweight="bold")
    figure.suptitle(_headline(estimate), fontsize=12)
    return figure


def _surfaces(estimate: Estimate) -> Figure:
    """Two panels a critic: its potential as a surface seen from the side, and from above with the samples of both sides."""
    assert estimate.preview is not None
    a, b = (_dots(side) for side in estimate.preview)
    points = np.concatenate([a, b])
    lowest, highest = points.min(axis=0), points.max(axis=0)
    margin = 0.15 * float((highest - lowest).max()) or 1.0
    sides = [np.linspace(lowest[i] - margin, highest[i] + margin, _GRID_POINTS) for i in range(2)]
    x, y = np.meshgrid(*sides)
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    critics = _critics(estimate)
    heights = [_potentials(critic, grid, anchor=b).reshape(x.shape) for critic in critics]
    bottom, top = min(height.min() for height in heights), max(height.max() for height in heights)
    wide, deep = float(np.ptp(sides[0])), float(np.ptp(sides[1]))
    tall = max(float(top - bottom), 0.25 * wide)
    # A map takes a panel's width times its own aspect; a lone critic has its map beside its surface, several have theirs below.
    map_height = 3.0 * min(max(deep / wide, 0.45), 1.2)
    surface_height = max(1.5 + 0.3 * map_height, map_height) if len(critics) == 1 else 1.5 + 0.3 * map_height
    if len(critics) == 1:
        figure = Figure(figsize=(2 * _PANEL + 0.7, surface_height + 1.1), layout="constrained")
        layout = figure.add_gridspec(1, 2)
        places = [(layout[0, 0], layout[0, 1])]
    else:
        figure = Figure(figsize=(_PANEL * len(critics) + 0.6, surface_height + map_height + 1.1), layout="constrained")
        layout = figure.add_gridspec(2, len(critics), height_ratios=[surface_height, map_height])
        places = [(layout[0, i], layout[1, i]) for i in range(len(critics))]
    levels = MaxNLocator(nbins=18).tick_values(bottom, top)
    maps = []
    for i, (critic, height) in enumerate(zip(critics, heights, strict=True)):
        solid: Any = figure.add_subplot(places[i][0], projection="3d")
        mesh = {"rcount": 81, "ccount": 81, "linewidth": 0.12, "edgecolor": (1, 1, 1, 0.25), "antialiased": True}
        solid.plot_surface(x, y, height, cmap=SURFACE, vmin=bottom, vmax=top, clip_on=False, **mesh)
        solid.set_zlim(bottom, top)
        # Equal units along all three axes: a slope of 1 is seen as 45 degrees.
        solid.set_box_aspect((wide, deep, tall), zoom=_zoom(wide, deep, tall, surface_height))
        solid.view_init(elev=_ELEVATION, azim=-_AZIMUTH)
        solid.set_axis_off()
        _title(solid, critic, main=critic is estimate.critic)
        plane = figure.add_subplot(places[i][1])
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
        if i:
            plane.set_yticklabels([])
        maps.append(plane)
    bar = figure.colorbar(filled, ax=maps, shrink=0.9, aspect=18, pad=0.015, ticks=MaxNLocator(nbins=5))
    bar.set_label("potential, mean 0 on B")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    maps[0].set_xlabel("samples of A (orange) and of B (dark)", loc="left", fontsize=8.5)
    figure.suptitle(_headline(estimate), fontsize=12)
    return figure


def _zoom(wide: float, deep: float, tall: float, panel_height: float) -> float:
    """How far a box may be zoomed in until its outline, seen from our angle, fills a panel; calibrated by eye."""
    up, round_ = np.radians(_ELEVATION), np.radians(_AZIMUTH)
    across = wide * np.sin(round_) + deep * np.cos(round_)
    high = tall * np.cos(up) + np.sin(up) * (wide * np.cos(round_) + deep * np.sin(round_))
    fits = min(0.92 * _PANEL / across, 0.93 * panel_height / high)
    return float(fits * np.sqrt(wide**2 + deep**2 + tall**2) / (0.885 * min(_PANEL, panel_height)))


def _learning_curves(estimate: Estimate) -> Figure:
    """The validation bound of every critic over its steps, under the upper bound or the truth."""
    figure = Figure(figsize=(7.6, 4.3), layout="constrained")
    axes = figure.add_subplot()
    colours = _colours(estimate)
    ends: list[tuple[float, str, str]] = []
    last = 1
    for critic in _critics(estimate):
        main = critic is estimate.critic
        steps = [point.step for point in critic.history]
        values = [point.validation for point in critic.history]
        if not steps:
            continue
        axes.plot(steps, values, color=colours[critic.name], linewidth=2.4 if main else 1.5, zorder=3 if main else 2)
        ends.append((values[-1], critic.name if critic.certified else f"{critic.name}, not a bound", colours[critic.name]))
        last = max(last, steps[-1])
    reference = _reference(estimate)
    if reference is not None:
        height, words = reference
        axes.axhline(height, color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
        ends.append((height, words, INK))
    values = [value for critic in _critics(estimate) for value in (point.validation for point in critic.history)]
    if values:
        # An early dive below zero would only squeeze what matters.
        lowest, highest = min(0.0, float(np.quantile(values, 0.02))), max([*values] + [height for height, _, _ in ends])
        axes.set_ylim(lowest - 0.03 * (highest - lowest), highest + 0.08 * (highest - lowest) or 1.0)
    axes.set_xlim(0, last)
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    _label_ends(axes, ends, x=last)
    axes.set_xlabel("step")
    axes.set_ylabel(f"validation bound ({METRICS.get(estimate.metric, estimate.metric)})")
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    figure.suptitle(_headline(estimate), fontsize=12, x=0.02, ha="left")
    return figure


def _reference(estimate: Estimate) -> tuple[float, str] | None:
    if estimate.truth is not None:
        return estimate.truth, f"true $W_1$, {nearest(estimate.truth)}"
    if estimate.samples.upper is not None:
        if estimate.samples.exact:
            return estimate.samples.upper, f"exact $W_1$ of the samples, {nearest(estimate.samples.upper)}"
        return estimate.samples.upper, f"upper bound, {at_most(estimate.samples.upper)}"
    return None


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]], *, x: float) -> None:
    """Names each curve at its right end, moved apart where ends lie close together."""
    bottom, top = axes.get_ylim()
    apart = 0.062 * (top - bottom)
    ends = sorted(ends, key=lambda end: end[0])
    places = [height for height, _, _ in ends]
    for _ in range(200):
        for i in range(len(places) - 1):
            overlap = apart - (places[i + 1] - places[i])
            if overlap > 0:
                places[i] -= overlap / 2
                places[i + 1] += overlap / 2
    for (height, words, colour), place in zip(ends, places, strict=True):
        axes.annotate(
            words,
            xy=(x, height),
            xytext=(x * 1.03, place),
            color=colour,
            va="center",
            fontsize=9,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)},
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
