"""Figures as files: their style, the parts they are made of, and the colours of critics."""

import io
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from wdist.estimation.result import CriticResult, Estimate
from wdist.report.numbers import at_most, nearest
from wdist.report.sentences import chosen_by_folds

Area: TypeAlias = Figure | SubFigure
Grid: TypeAlias = NDArray[np.float64]
Box: TypeAlias = tuple[float, float, float]
"""Width, depth and height."""

INK, MUTED, FAINT = "#22313f", "#7a8793", "#d9dee3"
MAIN = "#0b6e8e"
OTHERS = ("#c8643c", "#8a6bb0", "#8f8f2f", "#b3477d", "#5b7f5b", "#6f6f6f")
SIDE_A, SIDE_B = "#c8643c", "#22313f"
SURFACE = LinearSegmentedColormap.from_list("potential", ["#0c2c47", "#0b6e8e", "#5fb3b3", "#cfe3cf", "#fbf6e4"])
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.axisbelow": True,
    "axes.titlesize": 10.5,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    **{f"{axis}tick.{name}": value for axis in "xy" for name, value in (("color", MUTED), ("labelsize", 8.5), ("major.size", 0))},
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "wdist",
}
DPI = 160
ELEVATION, AZIMUTH = 32, 62
"""Direction from which surfaces are seen, in degrees."""

_DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
"""Used once there are more critics than colours."""
LIMIT: Any = {"color": INK, "linewidth": 1.0, "linestyle": (0, (4, 3)), "zorder": 1}
"""The line of the truth, or of the upper bound."""


class Part(Protocol):
    """One part of a figure, which knows its preferred size and draws itself in an area."""

    size: tuple[float, float]
    """Width and height in inches."""

    def draw_in(self, area: Area) -> None:
        """Fills an area of about that size."""
        ...


def drawable(name: str, most: int | None = None) -> str:
    """A name for matplotlib, with dollar signs escaped and question marks for characters that cannot be printed.

    The middle of a name with more than ``most`` characters is left out.
    """
    if most is not None and len(name) > most:
        name = f"{name[: most // 2 - 1]}…{name[-(most // 2) :]}"
    visible = "".join(character if character.isprintable() else "?" for character in name)
    return visible.replace("$", r"\$")


def drawable_apart(names: Sequence[str], most: int) -> list[str]:
    """Different names for matplotlib, each cut so that it stays different: to about ``most`` characters, if those are enough."""
    cut = [drawable(name, most) for name in names]
    shown = []
    for name, label in zip(names, cut, strict=True):
        alike = [other for other, its in zip(names, cut, strict=True) if its == label]
        differ = next(
            (k for k, characters in enumerate(zip(*alike, strict=False)) if len(set(characters)) > 1), min(map(len, alike))
        )
        first = max(0, differ - most // 2)
        last = first + most - 4  # leaves room for both marks
        around = f"{'…' * (first > 0)}{name[first:last]}{'…' * (last < len(name))}"
        shown.append(drawable(around) if len(alike) > 1 else label)
    return shown if len(set(shown)) == len(set(names)) else [drawable(name) for name in names]


def critics_in_order(estimate: Estimate) -> list[CriticResult]:
    """Baselines from the worst to the best, then the main critic: the order in which the eye learns most."""
    return [*sorted(estimate.baselines, key=lambda critic: critic.population.estimate), estimate.critic]


def colours(estimate: Estimate) -> dict[str, str]:
    """Colour of each critic, by name."""
    return {critic.name: OTHERS[i % len(OTHERS)] for i, critic in enumerate(estimate.baselines)} | {estimate.critic.name: MAIN}


def dashes(estimate: Estimate) -> dict[str, Any]:
    """Line style of each critic, by name."""
    others = {critic.name: _DASHES[i // len(OTHERS) % len(_DASHES)] for i, critic in enumerate(estimate.baselines)}
    return others | {estimate.critic.name: _DASHES[0]}


def add_title(axes: Axes, critic: CriticResult, *, main: bool) -> None:
    """Names the critic of a panel, with its held-out estimate."""
    value = f"held-out {nearest(critic.population.estimate)}"
    if chosen_by_folds(critic):
        value = f"best of {len(critic.folds)} folds; {value} over all"
    axes.set_title(f"{critic.name}\n{value}", fontweight="bold" if main else "normal", color=MAIN if main else INK)


def reference(estimate: Estimate) -> tuple[float, str] | None:
    """The value to compare critics with, and its name: the truth, else the upper bound for the samples."""
    if estimate.truth is not None:
        return estimate.truth, f"true $W_1$, {nearest(estimate.truth)}"
    if estimate.samples.upper is not None:
        if estimate.samples.exact:
            return estimate.samples.upper, f"exact $W_1$ of the samples, {nearest(estimate.samples.upper)}"
        return estimate.samples.upper, f"upper bound, {at_most(estimate.samples.upper)}"
    return None


def tidy(axes: Axes, *, grid: Literal["x", "y"] | None = None) -> None:
    """Draws grid lines, and removes the left spine."""
    if grid is not None:
        axes.grid(axis=grid)
    axes.spines["left"].set_visible(False)


def draw_surface(solid: Any, *xyz: Grid, ends: tuple[float, float], box: Box, zoom: float, mesh: tuple[int, int]) -> None:
    """Draws a function of the plane as a surface, seen from the side; in a ``box`` in its own units, a slope of 1 is 45 degrees."""
    lines = {"rcount": mesh[0], "ccount": mesh[1], "linewidth": 0.12, "edgecolor": (1, 1, 1, 0.25), "antialiased": True}
    solid.plot_surface(*xyz, cmap=SURFACE, vmin=ends[0], vmax=ends[1], clip_on=False, **lines)
    solid.set_zlim(ends)
    solid.set_box_aspect(box, zoom=zoom)
    solid.view_init(elev=ELEVATION, azim=-AZIMUTH)
    solid.set_axis_off()


def draw_map(plane: Axes, *xyz: Grid, levels: Any) -> QuadContourSet:
    """Draws a function of the plane from above, with lines between its levels."""
    filled = plane.contourf(*xyz, levels=levels, cmap=SURFACE)
    plane.contour(*xyz, levels=levels, colors="white", linestyles="solid", linewidths=0.35, alpha=0.6)
    plane.set_aspect("equal")
    plane.spines[:].set_visible(False)
    return filled


def draw_scale(area: Area, filled: QuadContourSet, maps: list[Axes], *, label: str, aspect: int, ticks: int) -> None:
    """Draws the scale of maps that share their levels."""
    bar: Any = area.colorbar(filled, ax=maps, shrink=0.9, aspect=aspect, pad=0.015, ticks=MaxNLocator(nbins=ticks))
    bar.set_label(label)
    bar.outline.set_visible(False)


_UNDATED: dict[str, dict[str, None]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""No date, so that the same result gives the same file."""


def figure_file(draw: Callable[[Any], Figure | None], result: Any, *, suffix: str) -> bytes | None:
    """Draws a result in the common style, as a file of the kind that the suffix names; None if nothing is drawn."""
    with matplotlib.rc_context(STYLE):
        figure = draw(result)
        if figure is None:
            return None
        FigureCanvasAgg(figure)
        file, kind = io.BytesIO(), suffix.removeprefix(".")
        figure.savefig(file, format=kind, dpi=DPI, facecolor="white", metadata=_UNDATED.get(suffix, {}))
    return file.getvalue()
