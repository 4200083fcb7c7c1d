"""A study as a picture: panels of points, curves and histograms, or surfaces above their maps."""

from collections import Counter
from textwrap import fill
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from wdist.report.plots.figure import DPI, INK, LIMIT, MAIN, MUTED, OTHERS, SIDE_A, draw_map, draw_scale, draw_surface
from wdist.studies.panels import Mosaic, Panel, Series, Surface, grouped
from wdist.studies.study import StudyResult

_WIDTH, _WIDEST, _HEIGHT = 7.6, 13.0, 3.6
"""Width, largest width and height in inches of panels that stand above each other; named abscissae widen them."""
_TICK = 0.3
"""Width of a named abscissa in inches."""
_COLUMNS, _SMALL_WIDTH, _SMALL_HEIGHT = 3, 3.5, 2.9
"""Columns of a grid of more than two panels, and the width and height of each panel in inches."""
_MANY_LINES = 12
"""Number of lines above which they are thin."""
_FEW_POINTS = 8
"""Number of points up to which a line has marks."""
Dash: TypeAlias = tuple[float, tuple[float, ...]]
_DASHES: tuple[Dash, ...] = ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (10, 2)))
_STRAIGHT_NAMES = 8
"""Average length of at most a dozen names that fit below a panel without being rotated."""
_TICK_LINE = 12
"""Characters of such a name on one line."""
_ENLARGED, _MARGIN, _TITLES = 3, 24, 100
"""Pixels of the file for each pixel of a page of images, around such pages, and above them."""


def draw_study(result: StudyResult) -> Figure:
    """Panels, one above the other or in a grid; surfaces above their maps; mosaics and pages of images side by side."""
    mosaics = [panel for panel in result.conclusion.panels if isinstance(panel, Mosaic)]
    surfaces = [panel for panel in result.conclusion.panels if isinstance(panel, Surface)]
    panels = [panel for panel in result.conclusion.panels if isinstance(panel, Panel)]
    draw_mosaics = _pages if mosaics and mosaics[0].pixels.ndim == 3 else _mosaics
    figure = draw_mosaics(mosaics) if mosaics else _surfaces(surfaces) if surfaces else _panels(panels)
    form = "  (quick form)" if result.reduced else ""
    figure.suptitle(f"{result.study.name}: {result.study.title}{form}", fontsize=12, x=0.02, ha="left")
    return figure


def _panels(panels: list[Panel]) -> Figure:
    columns = _COLUMNS if len(panels) > 2 else 1
    rows = max(-(-len(panels) // columns), 1)
    names = max((len(panel.ticks) for panel in panels), default=0)
    wide = min(max(_WIDTH, 2.6 + _TICK * names), _WIDEST), _HEIGHT * rows + 0.5
    figure = Figure(
        figsize=wide if columns == 1 else (_SMALL_WIDTH * columns + 0.4, _SMALL_HEIGHT * rows + 0.6), layout="constrained"
    )
    if panels:
        places = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, panel in zip(places, panels, strict=False):
            _draw(axes, panel, beside=columns == 1 or len(panel.series) > 4)
        for unused in places[len(panels) :]:
            unused.set_visible(False)
    return figure


def _draw(axes: Axes, panel: Panel, *, beside: bool) -> None:
    """Draws one panel, with its legend inside it, or beside it, where the legend hides nothing."""
    styles = _styles(panel)
    if panel.level is not None:
        axes.axhline(panel.level, **LIMIT)
    for series in panel.series:
        _draw_series(axes, series, styles[series.name], bins=panel.bins)
    axes.set_title(panel.title, loc="left" if beside else "center")
    scales = {"xscale": panel.log_x, "yscale": panel.log_y}
    axes.set(xlabel=panel.x_label, ylabel=panel.y_label, **{name: "log" for name, log in scales.items() if log})
    if panel.ticks:
        _name_ticks(axes, panel.ticks)
    if panel.bottom is not None or panel.top is not None:
        axes.set_ylim(bottom=panel.bottom, top=panel.top)
    axes.grid()
    if len(styles) > 1:
        handles = [Line2D([], [], label=name, **style) for name, style in styles.items()]
        place: Any = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)} if beside else {}
        axes.legend(handles=handles, framealpha=0.8, edgecolor="none", fontsize=8, handlelength=1.6, **place)


def _draw_series(axes: Axes, series: Series, style: dict[str, Any], *, bins: bool) -> None:
    colour = style["color"]
    if bins:
        axes.stairs(series.y[:-1], series.x, fill=True, alpha=0.35, color=colour)
        axes.stairs(series.y[:-1], series.x, color=colour, linewidth=1.2)
        return
    if series.errors:
        errors: Any = {"fmt": "none", "elinewidth": 1.0, "capsize": 2.5, "zorder": 3}
        axes.errorbar(series.x, series.y, yerr=list(series.errors), ecolor=colour, **errors)
    order = (2 if series.reference else 5) if series.marks else (4 if series.reference else 3)
    axes.plot(series.x, series.y, zorder=order, **style)


def _name_ticks(axes: Axes, names: tuple[str, ...]) -> None:
    turned = len(names) > 12 or sum(map(len, names)) > _STRAIGHT_NAMES * 12
    turn: Any = {"rotation": 50, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    axes.set_xticks(range(len(names)), names if turned else [fill(name, _TICK_LINE) for name in names], **turn)
    axes.set_xlim(-0.6, len(names) - 0.4)


def _styles(panel: Panel) -> dict[str, dict[str, Any]]:
    """Style of each name, that of its first series. The last result has the main colour.

    A reference line has the colour of the result whose name agrees with its own up to a comma; reference points are muted.
    """
    first = [alike[0] for alike in grouped(panel.series, "name").values()]
    results = [series.name for series in first if not series.reference]
    colours = {name: OTHERS[i % len(OTHERS)] for i, name in enumerate(results)} | {name: MAIN for name in results[-1:]}
    owners = {name.partition(",")[0]: colour for name, colour in reversed(colours.items())}
    thin = len(panel.series) > _MANY_LINES
    styles, used = dict[str, dict[str, Any]](), Counter[str]()
    for series in first:
        if not series.reference:
            styles[series.name] = _result_style(series, colours[series.name], thin=thin)
            continue
        muted = (INK, MUTED)[used.total() % 2]
        colour = muted if series.marks else owners.get(series.name.partition(",")[0], muted)
        dash = _DASHES[used[colour] % len(_DASHES)]
        used[colour] += 1
        line = {"color": colour, "linewidth": 0.8 if thin else 1.2, "linestyle": dash}
        styles[series.name] = _marks("D", 4.5, colour, "white") if series.marks else line
    return styles


def _result_style(series: Series, colour: str, *, thin: bool) -> dict[str, Any]:
    if series.marks:
        return _marks("o", 5.5, colour, colour)
    mark = {"marker": "o", "markersize": 4} if len(series.x) <= _FEW_POINTS and not thin else {}
    return {"color": colour, "linewidth": 0.8 if thin else 1.8, **mark}


def _marks(marker: str, size: float, colour: str, face: str) -> dict[str, Any]:
    return {"linestyle": "none", "marker": marker, "markersize": size, "color": colour, "markerfacecolor": face}


def _mosaics(panels: list[Mosaic]) -> Figure:
    """Pictures side by side, in equal units."""
    rows, columns = panels[0].pixels.shape
    figure = Figure(figsize=(_SMALL_WIDTH * len(panels) + 0.2, _SMALL_WIDTH * rows / columns + 0.8), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.imshow(panel.pixels, cmap="bwr", vmin=-1, vmax=1, interpolation="nearest")
        axes.set_title(panel.title)
        axes.set_axis_off()
    return figure


def _pages(panels: list[Mosaic]) -> Figure:
    """Pages of images side by side; each pixel is a square of whole pixels of the file, which keeps it sharp and the file small."""
    sizes = [(_ENLARGED * panel.pixels.shape[0], _ENLARGED * panel.pixels.shape[1]) for panel in panels]
    width = sum(columns + _MARGIN for _, columns in sizes) + _MARGIN
    height = max(rows for rows, _ in sizes) + _MARGIN + _TITLES
    figure, left = Figure(figsize=(width / DPI, height / DPI)), _MARGIN
    for panel, (rows, columns) in zip(panels, sizes, strict=True):
        bottom = height - _TITLES - rows
        axes = figure.add_axes((left / width, bottom / height, columns / width, rows / height))
        axes.imshow(panel.pixels, interpolation="nearest", aspect="auto")
        axes.set_title(panel.title)
        axes.set_axis_off()
        left += columns + _MARGIN
    return figure


def _surfaces(panels: list[Surface]) -> Figure:
    """Two panels for each surface: seen from the side, and from above with its marked points."""
    wide, deep = float(np.ptp(panels[0].x)), float(np.ptp(panels[0].y))
    top = max(float(panel.z.max()) for panel in panels)
    map_height = _SMALL_WIDTH * min(max(deep / wide, 0.3), 1.2)
    figure = Figure(figsize=(_SMALL_WIDTH * len(panels) + 0.6, 2.0 + map_height + 0.9), layout="constrained")
    layout = figure.add_gridspec(2, len(panels), height_ratios=[2.0, map_height])
    levels = MaxNLocator(nbins=18).tick_values(0.0, top)
    maps = []
    for i, panel in enumerate(panels):
        x, y = np.meshgrid(panel.x, panel.y)
        solid: Any = figure.add_subplot(layout[0, i], projection="3d")
        draw_surface(solid, x, y, panel.z, ends=(0.0, top), box=(wide, deep, top), zoom=1.75, mesh=(61, 121))
        solid.set_title(panel.title, fontweight="bold" if panel.main else "normal", color=MAIN if panel.main else INK)
        plane = figure.add_subplot(layout[1, i])
        filled = draw_map(plane, x, y, panel.z, levels=levels)
        for peak in panel.peaks:
            plane.plot(*peak, "o", color=SIDE_A, markersize=4.5, markeredgewidth=0.7, markeredgecolor="white")
        if i:
            plane.set_yticklabels([])
        maps.append(plane)
    draw_scale(figure, filled, maps, label="potential", aspect=14, ticks=4)
    return figure
