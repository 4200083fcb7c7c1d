"""The names of curves, at their right ends and apart from one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class CurveEnd:
    """Where a curve ends, and what it is called."""

    x: float
    y: float
    words: str
    colour: str


def name_curves(axes: Axes, ends: Sequence[CurveEnd], *, x: float, apart: float) -> None:
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
