"""Parts of a figure: each knows the size that suits it, and fills the area that it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    Area: TypeAlias = Figure | SubFigure


class Part(Protocol):
    """One part of a figure."""

    size: tuple[float, float]
    """Width and height in inches that suit it."""

    def draw_in(self, area: Area) -> None:
        """Fills an area of about that size."""
        ...
