"""A table that fits its terminal: bars take the columns that are left, and columns go where there is no room for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from wdist.report.terminal.style import plain_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_NARROWEST_BAR, _WIDEST_BAR = 6, 32


class Column:
    """Header and cells of a table, top to bottom."""

    def __init__(self, header: str, cells: Sequence[str], styles: Sequence[str] = (), *, left: bool = False) -> None:
        self.header, self.left = header, left
        self._cells, self._styles = cells, styles or [""] * len(cells)

    def cells(self, *, ascii_only: bool) -> list[Text]:
        texts = [text.replace("±", "+-") for text in self._cells] if ascii_only else self._cells
        return [Text(text, style=style) for text, style in zip(texts, self._styles, strict=True)]


class Bars:
    """A bar for each row of a table.

    Arguments:
        values: none of them negative.
        reach: the value of a full bar.
        accented: for each, whether it is the one to look at.
    """

    def __init__(self, values: Sequence[float], *, reach: float, accented: Sequence[bool]) -> None:
        self._shares = [min(value / reach, 1.0) if reach > 0 else 0.0 for value in values]
        self._colours = ["cyan" if each else "bright_black" for each in accented]

    def cells(self, width: int, *, ascii_only: bool) -> list[RenderableType]:
        if ascii_only:  # blocks of eighths need UTF-8
            return [Text("#" * round(share * width)) for share in self._shares]
        return [
            Bar(size=1.0, begin=0.0, end=share, width=width, color=colour)
            for share, colour in zip(self._shares, self._colours, strict=True)
        ]


class FittedTable:
    """A table that fills its terminal: bars take the columns that are left; where none are, padding goes, then the last columns."""

    def __init__(self, *columns: Column, bars: Bars | None = None) -> None:
        self._columns, self._bars = columns, bars

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unbounded, ascii_only = options.update(max_width=10_000), options.ascii_only

        def left_by(padding: int, columns: int) -> int:
            table = self._table(padding=padding, columns=columns, ascii_only=ascii_only)
            return options.max_width - Measurement.get(console, unbounded, table).maximum

        every = len(self._columns)
        if self._bars is not None:
            for padding in (1, 0):
                width = min(left_by(padding, every) - 1 - padding, _WIDEST_BAR)
                if width >= _NARROWEST_BAR:
                    yield self._table(padding=padding, columns=every, ascii_only=ascii_only, bar_width=width)
                    return
        for padding, columns in ((1, every), *((0, columns) for columns in range(every, 1, -1))):
            if left_by(padding, columns) >= 0:
                break
        yield self._table(padding=padding, columns=columns, ascii_only=ascii_only)

    def _table(self, *, padding: int, columns: int, ascii_only: bool, bar_width: int = 0) -> Table:
        table = plain_table(padding)
        cells: list[Sequence[RenderableType]] = []
        for i, column in enumerate(self._columns[:columns]):
            # A name too long for any terminal goes on in the next line; a number is never cut.
            table.add_column(
                column.header,
                justify="left" if i == 0 or column.left else "right",
                no_wrap=i > 0,
                overflow="ellipsis" if i else "fold",
            )
            cells.append(column.cells(ascii_only=ascii_only))
            if i == 1 and bar_width and self._bars is not None:
                table.add_column("", no_wrap=True, min_width=bar_width)
                cells.append(self._bars.cells(bar_width, ascii_only=ascii_only))
        for row in zip(*cells, strict=True):
            table.add_row(*row)
        return table
