"""A figure as the content of a file."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from wdist.report.numbers import at_most, nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wdist.estimation.result import CriticResult, Estimate


# MERGED report.figures.look: What all figures look like: colours, type, resolution.

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
DPI = 160


# MERGED report.figures.encoding: How the critics of an estimate are told apart in its figures: their order, colours, dashes and titles.

_DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
"""Where there are more critics than colours."""
LIMIT: Any = {"color": INK, "linewidth": 1.0, "linestyle": (0, (4, 3)), "zorder": 1}
"""The line of the truth, or of the upper bound."""


def critics_in_order(estimate: Estimate) -> list[CriticResult]:
    """Baselines from the worst to the best, then the main critic: the order in which the eye learns most."""
    return [*sorted(estimate.baselines, key=lambda critic: critic.population.estimate), estimate.critic]


def colours(estimate: Estimate) -> dict[str, str]:
    """Of each critic, by its name."""
    return {critic.name: OTHERS[i % len(OTHERS)] for i, critic in enumerate(estimate.baselines)} | {estimate.critic.name: MAIN}


def dashes(estimate: Estimate) -> dict[str, Any]:
    """Of each critic's line, by its name."""
    others = {critic.name: _DASHES[i // len(OTHERS) % len(_DASHES)] for i, critic in enumerate(estimate.baselines)}
    return others | {estimate.critic.name: _DASHES[0]}


def add_title(axes: Axes, critic: CriticResult, *, main: bool) -> None:
    """A panel's critic, with its objective value as it is named everywhere."""
    value = nearest(critic.population.estimate)
    told = f"held-out {value}" if critic.certified else f"{value}, not a bound"
    axes.set_title(f"{critic.name}\n{told}", fontweight="bold" if main else "normal", color=MAIN if main else INK)


def reference(estimate: Estimate) -> tuple[float, str] | None:
    """What the critics are held against, and its name: the truth, else the upper bound for the samples."""
    if estimate.truth is not None:
        return estimate.truth, f"true $W_1$, {nearest(estimate.truth)}"
    if estimate.samples.upper is not None:
        if estimate.samples.exact:
            return estimate.samples.upper, f"exact $W_1$ of the samples, {nearest(estimate.samples.upper)}"
        return estimate.samples.upper, f"upper bound, {at_most(estimate.samples.upper)}"
    return None


def panel_grid(panels: int, *, columns: int) -> tuple[int, int]:
    """Rows and columns of so many panels, at most ``columns`` in a row."""
    columns = min(panels, columns)
    return -(-panels // columns), columns


_UNDATED: dict[str, dict[str, None]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""No date inside, so that the same result gives the same file."""


def file_content(draw: Callable[[], Figure], *, suffix: str) -> bytes:
    """Draws in the house's style and returns the file.

    Arguments:
        draw: makes the figure.
        suffix: ``.png``, ``.svg`` or ``.pdf``.
    """
    with matplotlib.rc_context(STYLE):
        figure = draw()
        FigureCanvasAgg(figure)
        content = io.BytesIO()
        figure.savefig(content, format=suffix.removeprefix("."), dpi=DPI, facecolor="white", metadata=_UNDATED.get(suffix, {}))
    return content.getvalue()
