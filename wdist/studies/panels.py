"""Panels of a study's figure: series over an axis, and functions of the plane."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

from numpy.typing import NDArray

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Series:
    """Named points of one panel."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    errors: tuple[float, ...] = ()
    """Half widths of the spread in y; empty without a spread."""
    marks: bool = False
    """Whether points are drawn alone; otherwise a line joins them in their order."""
    reference: bool = False
    """Whether the series is for comparison only: it is drawn dashed or with open marks."""

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or len(self.errors) not in (0, len(self.x)):
            raise ValueError(f"series {self.name!r}: x has {len(self.x)} values, y {len(self.y)} and errors {len(self.errors)}")


Getter: TypeAlias = str | Callable[[Any], Any]
"""Name of an attribute of a row, or a function of it."""


def getter(cell: Getter) -> Callable[[Any], Any]:
    """The function that reads an attribute, or the function itself."""
    return attrgetter(cell) if isinstance(cell, str) else cell


def series_of(
    rows: Iterable[Any],
    *,
    name: Getter,
    x: Getter,
    y: Getter,
    errors: Getter = lambda row: None,
    marks: bool = False,
    reference: Getter = lambda row: False,
) -> tuple[Series, ...]:
    """One series for each name, with points in the order of the rows; a missing error counts as 0."""
    abscissa, ordinate, error, compares = map(getter, (x, y, errors, reference))
    return tuple(
        Series(
            name=each,
            x=tuple(float(abscissa(row)) for row in group),
            y=tuple(float(ordinate(row)) for row in group),
            errors=tuple(error(row) or 0.0 for row in group) if any(map(error, group)) else (),
            marks=marks,
            reference=compares(group[0]),
        )
        for each, group in grouped(rows, name).items()
    )


def grouped(rows: Iterable[R], by: Getter) -> dict[Any, list[R]]:
    """The rows by one of their values, in the order in which the values first appear."""
    groups: dict[Any, list[R]] = {}
    for row in rows:
        groups.setdefault(getter(by)(row), []).append(row)
    return groups


def curves(
    x: Iterable[float], ys: Mapping[str, Iterable[float]], *, marks: bool = False, reference: Container[str] = ()
) -> tuple[Series, ...]:
    """One series for each name, over common abscissae; those named in ``reference`` are for comparison only."""
    abscissae = tuple(map(float, x))
    return tuple(
        Series(name=name, x=abscissae, y=tuple(map(float, y)), marks=marks, reference=name in reference) for name, y in ys.items()
    )


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Series over one common axis."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False
    bins: bool = False
    """Whether the series are histograms: y is the height of the bin that begins at x."""
    ticks: tuple[str, ...] = ()
    """Labels of the abscissae 0, 1, 2, ..., if these are categories."""
    level: float | None = None
    """Height of a dashed line, such as the truth, the nominal error or a ratio of 1; None for none."""
    bottom: float | None = None
    top: float | None = None
    """Limits of the ordinate; None to choose them from the points."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A function of the plane."""

    title: str
    x: NDArray[Any]
    """Shape (columns,)."""
    y: NDArray[Any]
    """Shape (rows,)."""
    z: NDArray[Any]
    """Shape (rows, columns)."""
    peaks: tuple[tuple[float, float], ...] = ()
    """Points to mark."""
    main: bool = False
    """Whether its title stands out."""


@dataclass(frozen=True, kw_only=True)
class Mosaic:
    """A grid of small images."""

    title: str
    pixels: NDArray[Any]
    """Shape (rows, columns), between -1 and 1: negative values blue, 0 white, positive ones red; or uint8 colours, shape
    (rows, columns, 3)."""
