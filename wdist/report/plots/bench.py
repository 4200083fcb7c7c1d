"""A suite as a picture: a panel above the other, points with their spread, lines where things change with time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wdist.report.plots.figure import FAINT, INK, MAIN, MUTED, OTHERS, file_content

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wdist.studies.bench.bench import BenchResult, Panel, Series


_WIDTH, _WIDEST = 7.6, 13.0
_HEIGHT = 3.6
_TICK = 0.3
"""Inches that a named abscissa takes."""
_MANY_LINES = 12
"""More than these are drawn thin."""
Dash: TypeAlias = tuple[float, tuple[float, ...]]
_DASHES: tuple[Dash, ...] = ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (10, 2)))
_STRAIGHT_NAMES = 8
"""Characters of names, for each of at most a dozen, that stand below a panel without being turned."""


def bench_bytes(result: BenchResult, *, suffix: str) -> bytes:
    """The figure as a file's content.

    Arguments:
        result: what is drawn.
        suffix: ``.png``, ``.svg`` or ``.pdf``.
    """
    return file_content(lambda: draw_bench(result), suffix=suffix)


def draw_bench(result: BenchResult) -> Figure:
    """All panels, one above the other."""
    panels = result.conclusion.panels
    names = max((len(panel.ticks) for panel in panels), default=0)
    size = (min(max(_WIDTH, 2.6 + _TICK * names), _WIDEST), _HEIGHT * max(len(panels), 1) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    form = "  (quick form)" if result.quick else ""
    figure.suptitle(f"{result.what}: {result.title}{form}", fontsize=12, x=0.02, ha="left")
    if panels:
        for axes, panel in zip(figure.subplots(len(panels), 1, squeeze=False).flat, panels, strict=True):
            _draw(axes, panel)
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    colours, dashes = _colours(panel), _dashes(panel)
    if panel.level is not None:
        axes.axhline(panel.level, color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    thin = sum(series.line for series in panel.series) > _MANY_LINES
    for series in panel.series:
        _draw_series(axes, series, colours[series.name], dashes[series.name], thin=thin)
    axes.set_title(panel.title, loc="left")
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.log_x:
        axes.set_xscale("log")
    if panel.log_y:
        axes.set_yscale("log")
    if panel.ticks:
        turned = len(panel.ticks) > 12 or sum(map(len, panel.ticks)) > _STRAIGHT_NAMES * 12
        turn: Any = {"rotation": 50, "ha": "right", "rotation_mode": "anchor"} if turned else {}
        axes.set_xticks(range(len(panel.ticks)), panel.ticks, **turn)
        axes.set_xlim(-0.6, len(panel.ticks) - 0.4)
    if panel.bottom is not None or panel.top is not None:
        axes.set_ylim(bottom=panel.bottom, top=panel.top)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    handles = [_handle(series, colours[series.name], dashes[series.name]) for series in _first_of_each_name(panel)]
    if len(handles) > 1:
        # Beside the panel, where it hides nothing.
        axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8, handlelength=1.6)


def _draw_series(axes: Axes, series: Series, colour: str, dash: Dash, *, thin: bool) -> None:
    x, y = list(series.x), list(series.y)
    if series.line:
        style = _line(series, colour, dash) | ({"linewidth": 0.8} if thin else {})
        axes.plot(x, y, zorder=2 if series.reference else 3, **style)
        if len(x) == 1:
            axes.plot(x, y, "o", color=colour, markersize=4)
    else:
        if series.errors:
            axes.errorbar(x, y, yerr=list(series.errors), fmt="none", ecolor=colour, elinewidth=1.0, capsize=2.5, zorder=3)
        axes.plot(x, y, zorder=2 if series.reference else 4, **_marks(series, colour))
    for place, height, words in zip(x, y, series.labels, strict=False):
        axes.annotate(words, (place, height), xytext=(5, 3), textcoords="offset points", color=colour, fontsize=8)


def _marks(series: Series, colour: str) -> dict[str, Any]:
    face = "white" if series.reference else colour
    return {
        "linestyle": "none",
        "marker": "D" if series.reference else "o",
        "markersize": 4.5 if series.reference else 5.5,
        "color": colour,
        "markerfacecolor": face,
    }


def _line(series: Series, colour: str, dash: Dash) -> dict[str, Any]:
    if series.reference:
        return {"color": colour, "linewidth": 1.0, "alpha": 0.75, "linestyle": dash}
    return {"color": colour, "linewidth": 1.6}


def _handle(series: Series, colour: str, dash: Dash) -> Line2D:
    return Line2D([], [], label=series.name, **(_line(series, colour, dash) if series.line else _marks(series, colour)))


def _first_of_each_name(panel: Panel) -> list[Series]:
    return list({series.name: series for series in reversed(panel.series)}.values())[::-1]


def _dashes(panel: Panel) -> dict[str, Dash]:
    """Of lines for reference, whose two muted colours do not tell more than two of them apart."""
    return {series.name: _DASHES[i // 2 % len(_DASHES)] for i, series in enumerate(_references(panel))} | {
        series.name: _DASHES[0] for series in panel.series if not series.reference
    }


def _references(panel: Panel) -> list[Series]:
    return [series for series in _first_of_each_name(panel) if series.reference]


def _colours(panel: Panel) -> dict[str, str]:
    """Series of one name share a colour; the first result has the main one.

    A line for reference has the colour of the result whose name begins like its own, up to a comma; reference points are muted.
    """
    first = _first_of_each_name(panel)
    results = [series.name for series in first if not series.reference]
    colours = {name: (MAIN, *OTHERS)[i % (1 + len(OTHERS))] for i, name in enumerate(results)}
    owners = {name.partition(",")[0]: colour for name, colour in reversed(colours.items())}
    for i, series in enumerate(_references(panel)):
        muted = (INK, MUTED)[i % 2]
        colours[series.name] = owners.get(series.name.partition(",")[0], muted) if series.line else muted
    return colours
