"""Potentials of critics: functions of the line, or surfaces and maps of the plane, with the samples of both sides."""

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from wdist.estimation.result import CriticResult, Estimate
from wdist.report.plots.figure import (
    AZIMUTH,
    ELEVATION,
    MAIN,
    SIDE_A,
    SIDE_B,
    Area,
    Grid,
    add_title,
    colours,
    critics_in_order,
    draw_map,
    draw_scale,
    draw_surface,
)

_COLUMNS = 4
_LINE_POINTS, _PLANE_POINTS = 644, 161
_PANEL = 3.3
"""Width of a panel of the plane in inches."""
_DOTS = 300
"""Samples of a side that are drawn; more would hide one another."""


class Functions:
    """One panel for each critic: its potential over the line, and the samples of both sides."""

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate
        self._critics = critics_in_order(estimate)
        self._panels = _grid(len(self._critics))
        rows, columns = self._panels
        self.size = (max(2.75 * columns, 5.5), 2.7 * rows + 0.7)

    def draw_in(self, area: Area) -> None:
        estimate = self._estimate
        assert estimate.preview is not None
        a, b = (dots(side)[:, 0] for side in estimate.preview)
        lowest, highest = min(a.min(), b.min()), max(a.max(), b.max())
        margin = 0.2 * (highest - lowest) or 1.0
        x = np.linspace(lowest - margin, highest + margin, _LINE_POINTS)
        curves = {critic.name: potentials(critic, x[:, None], anchor=b[:, None]) for critic in self._critics}
        axes = area.subplots(*self._panels, sharex=True, sharey=True, squeeze=False)
        top = max(curve.max() for curve in curves.values())
        bottom = min(curve.min() for curve in curves.values())
        rug = bottom - 0.1 * (top - bottom)
        for panel, critic in zip(axes.flat, self._critics, strict=False):
            main = critic is estimate.critic
            panel.plot(x, curves[critic.name], color=MAIN if main else colours(estimate)[critic.name], linewidth=2.2)
            for side, colour, height in ((a, SIDE_A, rug), (b, SIDE_B, rug - 0.07 * (top - bottom))):
                panel.plot(side, np.full(side.shape, height), "|", color=colour, markersize=7, alpha=0.5)
            add_title(panel, critic, main=main)
            panel.set_ylim(rug - 0.14 * (top - bottom), top + 0.08 * (top - bottom))
            panel.grid()
        for unused in axes.flat[len(self._critics) :]:
            unused.set_visible(False)
        first = axes[0, 0]
        first.set_ylabel("potential, mean 0 on B")
        right = x[-1]
        first.text(right, rug, "A ", color=SIDE_A, ha="right", va="center", fontsize=8.5, fontweight="bold")
        first.text(right, rug - 0.07 * (top - bottom), "B ", color=SIDE_B, ha="right", va="center", fontsize=8.5, fontweight="bold")


def _grid(panels: int) -> tuple[int, int]:
    """Rows and columns for a number of panels."""
    columns = min(panels, _COLUMNS)
    return -(-panels // columns), columns


class Surfaces:
    """Two panels for each critic: its potential as a surface, and as a map with the samples of both sides.

    Many surfaces take several rows, and only the main critic gets a map, in the last panel.
    """

    def __init__(self, estimate: Estimate) -> None:
        assert estimate.preview is not None
        self._estimate, self._critics = estimate, critics_in_order(estimate)
        self._dots = [dots(side) for side in estimate.preview]
        points = np.concatenate(self._dots)
        lowest, highest = points.min(axis=0), points.max(axis=0)
        margin = 0.15 * float((highest - lowest).max()) or 1.0
        self._sides = [np.linspace(lowest[i] - margin, highest[i] + margin, _PLANE_POINTS) for i in range(2)]
        self._wide, self._deep = (float(np.ptp(side)) for side in self._sides)
        n = len(self._critics)
        # A map is as wide as a panel; a lone critic has its map beside its surface, a few have theirs below.
        map_height = 3.0 * min(max(self._deep / self._wide, 0.45), 1.2)
        self._surface_height = max(1.5 + 0.3 * map_height, map_height if n == 1 else 0.0)
        if n == 1:
            self._columns, self._heights = 2, [self._surface_height]
            self._maps = {0: (0, 1)}
        elif n <= _COLUMNS:
            self._columns, self._heights = n, [self._surface_height, map_height]
            self._maps = {i: (1, i) for i in range(n)}
        else:
            rows, self._columns = _grid(n + 1)
            self._heights = [self._surface_height] * (rows - 1) + [max(self._surface_height, map_height)]
            self._maps = {n - 1: divmod(n, self._columns)}
        self.size = (_PANEL * self._columns + (0.7 if n == 1 else 0.6), sum(self._heights) + 1.1)

    def draw_in(self, area: Area) -> None:
        x, y = np.meshgrid(*self._sides)
        grid = np.stack([x.ravel(), y.ravel()], axis=1)
        heights = [potentials(critic, grid, anchor=self._dots[1]).reshape(x.shape) for critic in self._critics]
        bottom, top = min(height.min() for height in heights), max(height.max() for height in heights)
        layout = area.add_gridspec(len(self._heights), self._columns, height_ratios=self._heights)
        levels = MaxNLocator(nbins=18).tick_values(bottom, top)
        maps: list[Axes] = []
        for i, (critic, height) in enumerate(zip(self._critics, heights, strict=True)):
            solid: Any = area.add_subplot(layout[divmod(i, self._columns)], projection="3d")
            # Equal units along all three axes.
            box = (self._wide, self._deep, max(float(top - bottom), 0.25 * self._wide))
            zoom = _zoom(*box, self._surface_height)
            draw_surface(solid, x, y, height, ends=(bottom, top), box=box, zoom=zoom, mesh=(81, 81))
            add_title(solid, critic, main=critic is self._estimate.critic)
            if i in self._maps:
                plane = area.add_subplot(layout[self._maps[i]])
                filled = draw_map(plane, x, y, height, levels=levels)
                self._mark_samples(plane)
                if maps:
                    plane.set_yticklabels([])
                maps.append(plane)
        draw_scale(area, filled, maps, label="potential, mean 0 on B", aspect=18, ticks=5)
        maps[0].set_xlabel("samples of A (orange) and of B (dark)", loc="left", fontsize=8.5)

    def _mark_samples(self, plane: Axes) -> None:
        for side, colour in zip(self._dots, (SIDE_A, SIDE_B), strict=True):
            # A few points, each drawn many times, are worth a larger mark.
            few = len(np.unique(side, axis=0)) <= 20
            marks: Any = {"markersize": 4.5 if few else 2.2, "markeredgewidth": 0.7 if few else 0, "markeredgecolor": "white"}
            plane.plot(*side.T, "o", color=colour, **marks)


def _zoom(wide: float, deep: float, tall: float, panel_height: float) -> float:
    """Zoom at which the outline of a box, seen from our angle, fills a panel; calibrated by eye."""
    up, round_ = np.radians(ELEVATION), np.radians(AZIMUTH)
    across = wide * np.sin(round_) + deep * np.cos(round_)
    high = tall * np.cos(up) + np.sin(up) * (wide * np.cos(round_) + deep * np.sin(round_))
    fits = min(0.92 * _PANEL / across, 0.93 * panel_height / high)
    return float(fits * np.sqrt(wide**2 + deep**2 + tall**2) / (0.885 * min(_PANEL, panel_height)))


def dots(side: torch.Tensor) -> Grid:
    """The first samples of one side, shape (at most 300, dim)."""
    array: Grid = side.detach().cpu().to(torch.float64).numpy()
    return array[:_DOTS]


def potentials(critic: CriticResult, points: Grid, *, anchor: Grid) -> Grid:
    """Potentials of points (n, dim), shifted so that their mean over the samples of B is 0; the shift changes no dual value."""

    def evaluated(x: Grid) -> Grid:
        values: Grid = critic.frozen.potentials(torch.from_numpy(np.ascontiguousarray(x))).detach().cpu().numpy()
        return values / critic.lipschitz_bound

    return evaluated(points) - evaluated(anchor).mean()
