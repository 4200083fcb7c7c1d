"""A reproduced table or figure as a picture: curves, histograms and surfaces, a panel each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wdist.report.plots.figure import FAINT, INK, MAIN, OTHERS, SIDE_A, SURFACE, file_content
from wdist.studies.reproduce.reproduction import Curves, Surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wdist.studies.reproduce.reproduction import Reproduction, Series


_COLUMNS = 3
_WIDTH, _HEIGHT = 3.5, 2.9
"""Of a panel, in inches."""
_ELEVATION, _AZIMUTH = 32, 62


def reproduction_bytes(reproduction: Reproduction, *, suffix: str) -> bytes:
    """The figure as a file's content.

    Arguments:
        reproduction: what is drawn.
        suffix: ``.png``, ``.svg`` or ``.pdf``.
    """
    return file_content(lambda: draw_reproduction(reproduction), suffix=suffix)


def draw_reproduction(reproduction: Reproduction) -> Figure:
    """Surfaces above their maps, or a grid of curves."""
    surfaces = [panel for panel in reproduction.panels if isinstance(panel, Surface)]
    curves = [panel for panel in reproduction.panels if isinstance(panel, Curves)]
    figure = _surfaces(surfaces) if surfaces else _curves(curves)
    form = "  (quick form)" if reproduction.quick and reproduction.reduced else ""
    figure.suptitle(f"{reproduction.what}: {reproduction.title}{form}", fontsize=12)
    return figure


def _curves(panels: list[Curves]) -> Figure:
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns) if columns else 1
    alone = len(panels) == 1
    figure = Figure(figsize=(7.6, 4.3) if alone else (_WIDTH * columns + 0.4, _HEIGHT * rows + 0.6), layout="constrained")
    if not panels:
        return figure
    axes = figure.subplots(rows, columns, squeeze=False)
    for plane, panel in zip(axes.flat, panels, strict=False):
        _draw_curves(plane, panel)
    for unused in axes.flat[len(panels) :]:
        unused.set_visible(False)
    return figure


def _draw_curves(plane: Axes, panel: Curves) -> None:
    colours = _colours(panel.series)
    solid = [series for series in panel.series if not series.dashed]
    for series in panel.series:
        style: dict[str, Any] = {"color": colours[series.name], "label": series.name}
        if panel.steps:
            plane.stairs(series.y[:-1], series.x, fill=True, alpha=0.35, **style)
            plane.stairs(series.y[:-1], series.x, color=style["color"], linewidth=1.2)
        elif series.dashed:
            plane.plot(series.x, series.y, linewidth=1.3, linestyle=(0, (4, 3)), zorder=4, **style)
        else:
            few = len(series.x) <= 8
            plane.plot(series.x, series.y, linewidth=2.0, marker="o" if few else None, markersize=4, zorder=3, **style)
    plane.set_title(panel.title)
    plane.set_xlabel(panel.x_label)
    plane.set_ylabel(panel.y_label)
    if panel.ticks:
        plane.set_xticks(range(len(panel.ticks)), panel.ticks)
    elif panel.log_x:
        plane.set_xscale("log")
    elif all(float(x).is_integer() for series in solid for x in series.x):
        plane.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    plane.grid(color=FAINT, linewidth=0.6)
    plane.set_axisbelow(True)
    plane.tick_params(length=0)
    if len(panel.series) > 1:
        # Many names stand beside the panel, where they hide nothing.
        many = len(panel.series) > 4
        place: Any = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)} if many else {"ncols": 2 if len(panel.series) > 3 else 1}
        plane.legend(framealpha=0.8, edgecolor="none", fontsize=8, handlelength=1.6, **place)


def _colours(series: tuple[Series, ...]) -> dict[str, str]:
    """The last result in the main colour; a reference in the colour of the result whose name it begins with, else in ink."""
    solid = [each.name for each in series if not each.dashed]
    colours = {name: MAIN if name == solid[-1] else OTHERS[i % len(OTHERS)] for i, name in enumerate(solid)}
    for each in series:
        if each.dashed:
            owner = next((name for name in solid if each.name.startswith(f"{name},")), None)
            colours[each.name] = colours[owner] if owner else INK
    return colours


def _surfaces(panels: list[Surface]) -> Figure:
    """Two panels a surface: seen from the side, and from above with its marked points."""
    wide, deep = float(np.ptp(panels[0].x)), float(np.ptp(panels[0].y))
    top = max(float(panel.z.max()) for panel in panels)
    map_height = _WIDTH * min(max(deep / wide, 0.3), 1.2)
    figure = Figure(figsize=(_WIDTH * len(panels) + 0.6, 2.0 + map_height + 0.9), layout="constrained")
    layout = figure.add_gridspec(2, len(panels), height_ratios=[2.0, map_height])
    levels = MaxNLocator(nbins=18).tick_values(0.0, top)
    maps = []
    for i, panel in enumerate(panels):
        x, y = np.meshgrid(panel.x, panel.y)
        solid: Any = figure.add_subplot(layout[0, i], projection="3d")
        mesh = {"rcount": 61, "ccount": 121, "linewidth": 0.12, "edgecolor": (1, 1, 1, 0.25), "antialiased": True}
        solid.plot_surface(x, y, panel.z, cmap=SURFACE, vmin=0.0, vmax=top, clip_on=False, **mesh)
        solid.set_zlim(0.0, top)
        # Equal units along all three axes: a slope of 1 is seen as 45 degrees.
        solid.set_box_aspect((wide, deep, top), zoom=1.75)
        solid.view_init(elev=_ELEVATION, azim=-_AZIMUTH)
        solid.set_axis_off()
        solid.set_title(panel.title, fontweight="bold" if panel.main else "normal", color=MAIN if panel.main else INK)
        plane = figure.add_subplot(layout[1, i])
        filled = plane.contourf(x, y, panel.z, levels=levels, cmap=SURFACE)
        plane.contour(x, y, panel.z, levels=levels, colors="white", linestyles="solid", linewidths=0.35, alpha=0.6)
        for peak in panel.peaks:
            plane.plot(*peak, "o", color=SIDE_A, markersize=4.5, markeredgewidth=0.7, markeredgecolor="white")
        plane.set_aspect("equal")
        plane.tick_params(length=0)
        for spine in plane.spines.values():
            spine.set_visible(False)
        if i:
            plane.set_yticklabels([])
        maps.append(plane)
    bar = figure.colorbar(filled, ax=maps, shrink=0.9, aspect=14, pad=0.015, ticks=MaxNLocator(nbins=4))
    bar.set_label("potential")
    outline: Any = bar.outline
    outline.set_visible(False)
    bar.ax.tick_params(length=0)
    return figure
